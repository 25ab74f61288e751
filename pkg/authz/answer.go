package authz

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

// An answer is what a check came to. The zero answer is no answer at all:
// result turns it into a 503.
type answer struct {
	allowed bool
	status  int
	layer   string
	event   string
	reason  string
	message string // constant text, or that of the deciding policy
	code    int    // of JSON-RPC; 0: the status
	extra   []mcp.Field
	body    []byte // instead of a JSON-RPC error

	supported []string // protocol versions, for -32022
	requested string

	upstream []mcp.Field
	remove   []string
}

// grants tells whether a gives the caller what it asked for.
func (a answer) grants() bool { return a.allowed || a.event == "metadata" }

// Layers, events and codes of contract §1 and §7.
const (
	routing        = "routing"
	authentication = "authentication"
	protocol       = "protocol"
	authorization  = "authorization"
	internal       = "internal"

	invalidRequest = -32600
)

func (c *check) metadata(d *document) answer {
	headers := []mcp.Field{
		{Name: "access-control-allow-origin", Value: "*"},
		{Name: "cache-control", Value: "public, max-age=300"},
	}
	a := answer{status: http.StatusOK, layer: routing, event: "metadata", reason: "metadata", body: d.body}
	if c.request.HTTP.Method == http.MethodOptions {
		a.body = []byte{}
		headers = append(headers,
			mcp.Field{Name: "access-control-allow-methods", Value: "GET, HEAD, OPTIONS"},
			mcp.Field{Name: "access-control-allow-headers", Value: "*"},
			mcp.Field{Name: "access-control-max-age", Value: "300"})
	} else {
		headers = append(headers, mcp.Field{Name: "content-type", Value: "application/json"})
	}
	a.extra = headers
	c.record.Server = d.site.Name
	return a
}

// unrouted is 404 only below /.well-known/, where old clients probe; on an
// endpoint they would take it for the end of their session.
func (c *check) unrouted() answer {
	a := answer{status: http.StatusForbidden, layer: routing, event: "unrouted", reason: "unknown_server", message: "no protected server here"}
	if strings.HasPrefix(c.request.Path, wellKnown) {
		a.status, a.message = http.StatusNotFound, "no metadata document here"
	}
	path, _, _ := strings.Cut(c.request.Path, "?") // a query may hold a token
	c.record.Host, c.record.Path = cut(c.request.Host, 256), cut(path, 256)
	return a
}

func refuseMethod() answer {
	return answer{
		status: http.StatusMethodNotAllowed, layer: protocol, event: "protocol_error", reason: "http_method",
		message: "HTTP method not allowed", code: invalidRequest,
		extra: allowedMethods,
	}
}

// allowedMethods is the header of RFC 9110 §15.5.6. It is not changed.
var allowedMethods = []mcp.Field{{Name: "allow", Value: "GET, POST, DELETE"}}

// unauthenticated answers with the challenge that fits: 401 only where another
// token would help.
func (c *check) unauthenticated(err *token.Error) answer {
	c.record.Presented = err.Presented
	a := answer{layer: authentication, event: "authentication_failed", reason: err.Reason, message: messageOf(err)}
	switch err.Fault {
	case token.Missing, token.Invalid:
		a.status = http.StatusUnauthorized
	case token.Malformed:
		a.status, a.code = http.StatusBadRequest, http.StatusBadRequest
	default:
		c.Log.WarnContext(c.ctx, "credential not verified", "reason", err.Reason, "error", err.Err, "decision_id", c.record.DecisionID)
		a = failure(err.Reason)
		if err.RetryAfter > 0 {
			a.extra = retryAfter(err.RetryAfter)
		}
		return a
	}
	a.extra = []mcp.Field{{Name: "www-authenticate", Value: c.challenge(err)}}
	if err.Nonce != "" {
		a.extra = append(a.extra, mcp.Field{Name: "dpop-nonce", Value: err.Nonce})
	}
	return a
}

// faulty answers what mcp.Parse found wrong.
func faulty(f *mcp.Fault) answer {
	a := answer{
		status: http.StatusBadRequest, layer: protocol, event: "protocol_error", reason: f.Reason, message: f.Detail,
		code: f.Code, supported: f.Supported, requested: f.Requested,
	}
	switch f.Reason {
	case "http_method":
		a.status, a.extra = http.StatusMethodNotAllowed, allowedMethods
	case "body_limit", "partial_body":
		a.status, a.code = http.StatusRequestEntityTooLarge, invalidRequest
	case "media_type", "content_encoding":
		a.status, a.code = http.StatusUnsupportedMediaType, invalidRequest
	case "body_not_forwarded":
		a.status, a.layer, a.event, a.extra = http.StatusServiceUnavailable, internal, "failure", retryAfter(time.Second)
	}
	return a
}

// denials are the messages of what is refused without a policy's own words.
var denials = map[string]string{
	"argument_type":       "an argument has a type that its policies were not validated with",
	"argument_missing":    "a required argument is missing",
	"argument_case":       "an argument looks like one that policies read, and is not it",
	"argument_undeclared": "an argument is not declared by the tool",
	"claim_unreadable":    "a claim of the access token cannot be read",
	"source_unknown":      "the source address cannot be read",
}

// ofPolicies are the reasons that another principal could change.
var ofPolicies = map[string]bool{"denied_by_policy": true, "no_permit": true, "policy_error": true}

// denied is 403, since another token of the same caller would not help; for a
// caller without a credential it is 401, since one would.
func (c *check) denied(d policy.Decision, who token.Claims) answer {
	a := answer{status: http.StatusForbidden, layer: authorization, reason: d.Reason, message: d.Message}
	if a.message == "" {
		a.message = denials[d.Reason]
	}
	if a.message == "" {
		a.message = "not permitted by policy"
	}
	if who.Kind == token.Anonymous && ofPolicies[d.Reason] {
		a.status = http.StatusUnauthorized
		a.extra = []mcp.Field{{Name: "www-authenticate", Value: c.challenge(&token.Error{Fault: token.Missing})}}
	}
	return a
}

// allow says which headers change on the way to the server (contract §6): ours
// are set, every other that looks like ours is removed, and the credential stays
// here: a token unless the operator wants it forwarded, an API key always.
func (c *check) allow(who token.Claims) answer {
	a := answer{allowed: true, status: http.StatusOK, layer: authorization, reason: "permitted"}
	a.upstream = []mcp.Field{
		{Name: "x-cedargate-principal", Value: partyName(who.Kind, who.Issuer, who.Subject)},
		{Name: "x-cedargate-decision-id", Value: c.record.DecisionID},
	}
	byKey := len(c.site.APIKeys) > 0 && who.Issuer == token.KeyIssuer
	if byKey || !c.site.ForwardToken {
		a.remove = append(a.remove, "authorization")
	}
	if len(c.keyFields()) > 0 { // Envoy need not allow the removal of what nobody sends
		a.remove = append(a.remove, c.site.KeyHeader)
	}
	for _, f := range c.request.HTTP.Header {
		name := strings.ReplaceAll(f.Name, "_", "-")
		ours := f.Name == a.upstream[0].Name || f.Name == a.upstream[1].Name
		if strings.HasPrefix(name, "x-cedargate-") && !ours {
			a.remove = append(a.remove, f.Name)
		}
	}
	return a
}

// failure is our own fault: 503, so that the client does not take it for its
// own, and comes again.
func failure(reason string) answer {
	return answer{
		status: http.StatusServiceUnavailable, layer: internal, event: "failure", reason: reason,
		message: failures[reason], extra: retryAfter(time.Second),
	}
}

var failures = map[string]string{
	"issuer_unavailable": "the issuer cannot be asked",
	"key_unknown_yet":    "the key of the access token is not known yet",
	"deadline":           "not decided in time",
	"internal":           "not decided",
	"audit_unavailable":  "the decision cannot be recorded",
}

func retryAfter(d time.Duration) []mcp.Field {
	seconds := max(1, int64((d+time.Second-1)/time.Second))
	return []mcp.Field{{Name: "retry-after", Value: strconv.FormatInt(seconds, 10)}}
}

// result writes a as the client, or the proxy, is to see it.
func (c *check) result(a answer) Result {
	if a.allowed {
		return Result{Allowed: true, Status: a.status, Upstream: a.upstream, Remove: a.remove, Record: c.record}
	}
	if a.status == 0 {
		a = failure("internal")
	}
	r := Result{Status: a.status, Record: c.record}
	if a.body != nil {
		r.Header, r.Body = a.extra, a.body
		return r
	}
	r.Header = append([]mcp.Field{
		{Name: "content-type", Value: "application/json"},
		{Name: "cache-control", Value: "no-store"},
	}, a.extra...)
	r.Body = c.errorBody(a)
	return r
}

// errorBody is a JSON-RPC error response. The id is echoed byte for byte.
func (c *check) errorBody(a answer) []byte {
	code := a.code
	if code == 0 {
		code = a.status
	}
	b := []byte(`{"jsonrpc":"2.0",`)
	if c.call.ID != nil {
		b = append(append(append(b, `"id":`...), c.call.ID...), ',')
	}
	b = strconv.AppendInt(append(b, `"error":{"code":`...), int64(code), 10)
	b = appendString(append(b, `,"message":`...), a.message)
	b = appendString(append(b, `,"data":{"decisionId":`...), c.record.DecisionID)
	b = appendString(append(b, `,"reason":`...), a.reason)
	if a.supported != nil {
		b = append(b, `,"supported":[`...)
		for i, v := range a.supported {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, v)
		}
		b = appendString(append(b, `],"requested":`...), a.requested)
	}
	return append(b, "}}}"...)
}

// appendString quotes s; what is not UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	return b
}
