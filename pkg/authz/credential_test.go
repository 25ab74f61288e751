package authz_test

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/token"
)

// stranger is a verifier that takes callers without a credential, and no other.
func stranger(_ context.Context, c token.Credential, accept token.Accept) (token.Claims, error) {
	if c.Raw != "" || !accept.Anonymous {
		return token.Claims{}, &token.Error{Fault: token.Invalid, Reason: "bad_signature"}
	}
	return token.Claims{Kind: token.Anonymous}, nil
}

// What policies deny a caller without a credential is 401 with the challenge of
// a request without one, whatever the reason; it is recorded as the policies'.
func TestAnonymousIsChallenged(t *testing.T) {
	const challenge = `Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"`
	tests := []struct{ policies, reason string }{
		{``, "no_permit"},
		{`forbid (principal, action, resource);`, "denied_by_policy"},
		{`forbid (principal, action, resource) when { 9223372036854775807 + context.time.hour > 0 };`, "policy_error"},
	}
	for _, test := range tests {
		e, records := engineWith(t, test.policies, func(c *authz.Config) {
			c.Tokens, c.Servers[0].Anonymous = verifierFunc(stranger), true
		})
		got := e.Check(t.Context(), without(toolCall(), "authorization"))
		if got.Status != http.StatusUnauthorized || headerOf(got, "www-authenticate") != challenge || reason(t, got) != test.reason {
			t.Errorf("Check with %q = %d %s, challenge %q, want 401 %s", test.policies, got.Status, got.Body, headerOf(got, "www-authenticate"), test.reason)
		}
		r := records.all()[0]
		if r.Principal != "Anonymous/anonymous" || r.Layer != "authorization" || r.Reason != test.reason || r.Status != 401 {
			t.Errorf("record of it = %+v, want Anonymous/anonymous, authorization, %s, 401", r, test.reason)
		}
	}
}

// The server alone decides whether its callers need a credential: the verifier
// is not even asked about none.
func TestNoCredentialIsNotVerified(t *testing.T) {
	e, _ := engineWith(t, permitAll, func(c *authz.Config) {
		c.Tokens = verifierFunc(func(context.Context, token.Credential, token.Accept) (token.Claims, error) {
			t.Error("Verify was called without a credential")
			return token.Claims{Kind: token.Anonymous}, nil
		})
	})
	if got := e.Check(t.Context(), without(toolCall(), "authorization")); got.Status != http.StatusUnauthorized || reason(t, got) != "no_credential" {
		t.Errorf("Check without a credential = %d %s, want 401 no_credential", got.Status, got.Body)
	}
}

// The verifier is told what the server accepts, and in which header a key came;
// the key is removed wherever it was.
func TestKeyGoesToTheVerifierAlone(t *testing.T) {
	var asked token.Credential
	var accepts token.Accept
	e, _ := engineWith(t, permitAll, func(c *authz.Config) {
		s := &c.Servers[0]
		s.APIKeys, s.KeyHeader, s.ForwardToken = []string{"bot"}, "x-api-key", true
		c.Tokens = verifierFunc(func(_ context.Context, c token.Credential, accept token.Accept) (token.Claims, error) {
			asked, accepts = c, accept
			return token.Claims{Kind: token.Agent, Issuer: token.KeyIssuer, Subject: "bot"}, nil
		})
	})
	bare := without(toolCall(), "authorization")
	tests := []struct {
		request authz.Request
		want    token.Credential
		removed []string
	}{
		{toolCall(), token.Credential{Raw: "good"}, []string{"authorization"}},
		{with(bare, "x-api-key", "good"), token.Credential{Raw: "good", Key: true}, []string{"authorization", "x-api-key"}},
		{with(toolCall(), "x-api-key", ""), token.Credential{Raw: "good"}, []string{"authorization", "x-api-key"}},
	}
	for _, test := range tests {
		got := e.Check(t.Context(), test.request)
		if asked.Raw != test.want.Raw || asked.Key != test.want.Key || !got.Allowed || !slices.Equal(got.Remove, test.removed) {
			t.Errorf("Check asked about %+v and removes %q, want %+v and %q", asked, got.Remove, test.want, test.removed)
		}
	}
	want := token.Accept{Issuers: []string{"corp"}, Audiences: []string{"https://mcp.example.com/mcp"}, Keys: []string{"bot"}}
	if diff := cmp.Diff(want, accepts); diff != "" {
		t.Errorf("Accept (-want +got):\n%s", diff)
	}
}

// A server that no issuer gives tokens for has no metadata document at any path.
func TestKeysAlone(t *testing.T) {
	e, _ := engineWith(t, permitAll, func(c *authz.Config) {
		s := &c.Servers[0]
		s.Issuers, s.AuthorizationServers, s.Scopes, s.APIKeys = nil, nil, []string{"read"}, []string{"bot"}
	})
	for _, path := range []string{"", "/mcp", "/mcp/", "/"} {
		r := asking(without(toolCall(), "authorization"), http.MethodGet)
		r.Path = "/.well-known/oauth-protected-resource" + path
		for _, r.Named = range []bool{false, true} {
			r.Server = "github"
			if got := e.Check(t.Context(), r); got.Status != http.StatusNotFound {
				t.Errorf("GET %s = %d %s, want 404", r.Path, got.Status, got.Body)
			}
		}
	}
	if got := e.Check(t.Context(), without(toolCall(), "authorization")); headerOf(got, "www-authenticate") != "Bearer" {
		t.Errorf("challenge = %q, want Bearer", headerOf(got, "www-authenticate"))
	}
	const invalid = `Bearer error="invalid_token", error_description="the access token is not valid here"`
	if got := e.Check(t.Context(), with(without(toolCall(), "authorization"), "authorization", "Bearer bad")); headerOf(got, "www-authenticate") != invalid {
		t.Errorf("challenge for a bad key = %q, want %q", headerOf(got, "www-authenticate"), invalid)
	}
}
