package authz

import (
	"errors"
	"strings"

	"github.com/cedargate/cedargate/pkg/token"
)

// authenticate tells who asks. Who has no credential is verified to be a
// workload, or nobody in particular, where the server takes such callers; whose
// credential is bad never is.
func (c *check) authenticate() (token.Claims, *token.Error) {
	credential, unread := token.ParseCredential(headers(c.request.HTTP, "authorization"), c.keyFields(), c.TokenBytes)
	if unread != nil && (unread.Fault != token.Missing || !c.site.Anonymous && len(c.site.Workloads) == 0) {
		return token.Claims{}, unread
	}
	c.dpop = credential.DPoP
	credential.Proofs = headers(c.request.HTTP, "dpop")
	credential.Method = c.request.HTTP.Method
	credential.URL = c.site.endpoint(c.request.Path)
	credential.Peer = c.request.Peer
	credential.Peer.Forwarded = headers(c.request.HTTP, "x-forwarded-client-cert")
	who, err := c.Tokens.Verify(c.ctx, credential, c.site.Accept())
	if err == nil {
		if who.Kind == token.Nobody {
			return who, &token.Error{Reason: "internal", Err: errors.New("verified claims of nobody")}
		}
		return who, nil
	}
	var refused *token.Error
	if !errors.As(err, &refused) {
		refused = &token.Error{Reason: "internal", Err: err}
	}
	return token.Claims{}, refused
}

// keyFields are the values of the server's header for API keys.
func (c *check) keyFields() []string {
	if c.site.KeyHeader == "" {
		return nil
	}
	return headers(c.request.HTTP, c.site.KeyHeader)
}

// endpoint is the configured URL that path belongs to: the resource in the
// spelling that the request used, or the origin of the resource with another of
// the server's paths.
func (s *site) endpoint(path string) string {
	path, _, _ = strings.Cut(path, "?")
	for _, spelling := range spellings(s.Resource) {
		if pathOf(spelling) == path {
			return spelling
		}
	}
	scheme, rest, _ := strings.Cut(s.Resource, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host + path
}

// dpopAlgorithms is the parameter of RFC 9449 §7.1 that says what may sign a
// proof.
var dpopAlgorithms = `algs="` + strings.Join(token.ProofAlgorithms(), " ") + `"`

// challenge is the WWW-Authenticate value for err. Bearer always comes first,
// since most clients look no further (mcp.md §2.3); DPoP follows where the client
// knows it or the server wants it, and an error that is of the proof is there
// alone.
func (c *check) challenge(err *token.Error) string {
	of := c.site.challengeFor(c.request)
	dpop := []string{dpopAlgorithms}
	switch proof := err.Reason == token.InvalidDPoPProof || err.Reason == token.UseDPoPNonce; {
	case err.Fault == token.Malformed:
		return of.request
	case proof:
		dpop = []string{`error="` + err.Reason + `"`, `error_description="` + messageOf(err) + `"`, dpopAlgorithms}
		return of.missing + ", DPoP " + strings.Join(dpop, ", ")
	}
	bearer := of.missing
	if err.Fault == token.Invalid {
		bearer = of.invalid
		dpop = []string{`error="invalid_token"`, dpopAlgorithms}
	}
	wanted := c.dpop || err.Reason == token.BoundToken || c.site.RequireDPoP
	if !wanted || len(c.site.AuthorizationServers) == 0 {
		return bearer
	}
	return bearer + ", DPoP " + strings.Join(dpop, ", ")
}

// messageOf is what the caller is told about a credential that is refused.
func messageOf(err *token.Error) string {
	switch {
	case err.Fault == token.Missing:
		return "authentication required"
	case err.Fault == token.Malformed:
		return "the credential cannot be read"
	case err.Reason == token.InvalidDPoPProof:
		return "the DPoP proof is not valid here"
	case err.Reason == token.UseDPoPNonce:
		return "the DPoP proof needs the nonce of this answer"
	}
	return "the access token is not valid here"
}
