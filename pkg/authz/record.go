package authz

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"go.opentelemetry.io/otel/trace"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

// noteRequest notes what is known before anything is decided.
func (c *check) noteRequest() {
	c.record.UserAgent = header(c.request.HTTP, "user-agent")
	src := sourceOf(c.request, c.TrustedHops)
	c.record.SourceAddress = src.text
	if src.text != c.request.Source {
		c.record.PeerAddress = c.request.Source
	}
}

func (c *check) noteCall(call mcp.Call) {
	c.call = call
	c.link(call)
	r := &c.record
	if c.site != nil {
		r.Server = c.site.Name
	}
	r.Method = call.Method
	r.RPCID = string(call.ID)
	r.ProtocolVersion = call.Version
	r.ClientInfo = call.ClientInfo
	if call.Session != "" {
		sum := sha256.Sum256([]byte(call.Session))
		r.Session = hex.EncodeToString(sum[:6])
	}
	if len(call.Questions) == 0 {
		return
	}
	switch q := call.Questions[0]; q.Target {
	case mcp.OnTool:
		r.Tool = q.Name
	case mcp.OnPrompt:
		r.Prompt = q.Name
	case mcp.OnResource:
		r.URI = q.URI.Canonical
		if q.URI.Sent != q.URI.Canonical {
			r.URISent = q.URI.Sent
		}
	}
}

// link joins the span of the check to the trace that the client names in the
// message (SEP-414): as a link, never as the parent, since anyone can write it.
func (c *check) link(call mcp.Call) {
	if link, ok := audit.Link(call.Traceparent, call.Tracestate); ok {
		trace.SpanFromContext(c.ctx).AddLink(link)
	}
}

func (c *check) noteCaller(who token.Claims) {
	r := &c.record
	r.Principal = partyName(who.Kind, who.Issuer, who.Subject)
	r.Issuer = who.Issuer
	if who.Client != "" {
		r.Client = name("Client", who.Issuer, who.Client)
	}
	if who.Actor != nil {
		r.Actor = name("Agent", who.Actor.Issuer, who.Actor.Subject)
	}
	r.TokenID, r.TokenIssuedAt, r.TokenExpiresAt, r.Scopes = who.ID, who.IssuedAt, who.ExpiresAt, who.Scopes
}

func (c *check) noteQuestion(ask policy.Request, d policy.Decision) {
	q := audit.Question{
		Action:   ask.Action,
		Resource: entityName(ask.Resource),
		Decision: "deny",
		Policies: d.Policies,
		Errors:   d.Errors,
	}
	if d.Allowed {
		q.Decision = "allow"
	}
	c.record.Questions = append(c.record.Questions, q)
}

func (c *check) noteDecision(d policy.Decision, who token.Claims) {
	r := &c.record
	r.PolicySet = c.Policies.Hash()
	r.Argument, r.ExpectedType, r.ArgumentPolicies = d.Argument, d.ExpectedType, d.Readers
	c.noteAbsent(d)
	if len(who.Unreadable) > 0 {
		r.Detail = "unreadable: " + strings.Join(who.Unreadable, " ")
	}
}

// noteAnswer notes what is answered. It may be called again when the answer
// changes: a late allow becomes a failure.
func (c *check) noteAnswer(a answer) {
	r := &c.record
	r.Event, r.Layer, r.Reason, r.Status = a.event, a.layer, a.reason, a.status
	r.Decision = "deny"
	if a.grants() {
		r.Decision = "allow"
	}
	switch {
	case a.event == "" && c.call.Method == "tools/call":
		r.Event = "tool_call"
	case a.event == "":
		r.Event = "request"
	case a.event == "protocol_error" || a.event == "failure":
		r.Detail = a.message
	}
	r.Duration = time.Since(c.start)
}

// partyName is how a principal is written in records and headers.
func partyName(kind token.Kind, issuer, subject string) string {
	switch kind {
	case token.Agent:
		return name("Agent", issuer, subject)
	case token.Anonymous:
		return "Anonymous/anonymous"
	default:
		return name("User", issuer, subject)
	}
}

// name writes kind/issuer/id with bytes outside visible ASCII and "%"
// percent-encoded, so that it can stand in a header (contract §6).
func name(kind, issuer, id string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString(kind + "/" + issuer + "/")
	for i := range len(id) {
		if ch := id[i]; ch <= ' ' || ch >= 0x7f || ch == '%' {
			b.WriteByte('%')
			b.WriteByte(upper[ch>>4])
			b.WriteByte(upper[ch&15])
		} else {
			b.WriteByte(ch)
		}
	}
	return b.String()
}

// entityName writes MCP::Tool::"github/refund" as Tool/github/refund.
func entityName(e cedar.EntityUID) string {
	return strings.TrimPrefix(string(e.Type), "MCP::") + "/" + string(e.ID)
}

// cut shortens s to at most n bytes.
func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
