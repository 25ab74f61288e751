package authz_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/token"
)

// What bound tokens are verified with: the configured URL in the spelling that
// the request used, whatever host and query the request has.
func TestCredentialOfARequest(t *testing.T) {
	var asked token.Credential
	e, _ := engineWith(t, permitAll, func(c *authz.Config) {
		c.Servers[0].Paths = []string{"/mcp", "/mcp/", "/v2"}
		c.Tokens = verifierFunc(func(_ context.Context, c token.Credential, _ token.Accept) (token.Claims, error) {
			asked = c
			return token.Claims{Kind: token.User, Issuer: "corp", Subject: "alice"}, nil
		})
	})
	for path, url := range map[string]string{
		"/mcp": "https://mcp.example.com/mcp", "/mcp/?htu=https://evil.example/": "https://mcp.example.com/mcp/", "/v2": "https://mcp.example.com/v2",
	} {
		r := with(with(without(toolCall(), "authorization"), "authorization", "DPoP good"), "dpop", "proof")
		r = with(with(r, "x-forwarded-client-cert", "Hash=a"), "x-forwarded-client-cert", "Hash=b")
		r = with(r, "x-forwarded-host", "evil.example")
		r.Path, r.Named, r.Server, r.Host = path, true, "github", "evil.example"
		r.Peer = token.Peer{Principal: "spiffe://a/b", Certificate: "pem"}
		e.Check(t.Context(), r)
		want := token.Credential{
			Raw: "good", DPoP: true, Proofs: []string{"proof"}, Method: "POST", URL: url,
			Peer: token.Peer{Principal: "spiffe://a/b", Certificate: "pem", Forwarded: []string{"Hash=a", "Hash=b"}},
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("the credential of %s (-want +got):\n%s", path, diff)
		}
	}
}

// Bearer is always the first scheme, and an error of the proof is DPoP's alone.
func TestDPoPChallenges(t *testing.T) {
	const metadata = `resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"`
	const invalid = `Bearer error="invalid_token", ` + metadata + `, error_description="the access token is not valid here"`
	algs := `algs="` + strings.Join(token.ProofAlgorithms(), " ") + `"`
	proof := func(reason, words string) string {
		return `Bearer ` + metadata + `, DPoP error="` + reason + `", error_description="` + words + `", ` + algs
	}
	for _, test := range []struct {
		scheme  string
		err     token.Error
		require bool
		want    string
	}{
		{"Bearer", token.Error{Fault: token.Invalid, Reason: token.Expired}, false, invalid},
		{"DPoP", token.Error{Fault: token.Invalid, Reason: token.Expired}, false, invalid + `, DPoP error="invalid_token", ` + algs},
		{"Bearer", token.Error{Fault: token.Invalid, Reason: token.BoundToken}, false, invalid + `, DPoP error="invalid_token", ` + algs},
		{"Bearer", token.Error{Fault: token.Missing, Reason: token.NoCredential}, true, `Bearer ` + metadata + `, DPoP ` + algs},
		{"DPoP", token.Error{Fault: token.Invalid, Reason: token.InvalidDPoPProof}, false, proof("invalid_dpop_proof", "the DPoP proof is not valid here")},
		{"DPoP", token.Error{Fault: token.Invalid, Reason: token.UseDPoPNonce, Nonce: "n"}, true, proof("use_dpop_nonce", "the DPoP proof needs the nonce of this answer")},
		{"DPoP", token.Error{Fault: token.Malformed, Reason: token.MalformedCredential}, true, `Bearer error="invalid_request", ` + metadata + `, error_description="the credential cannot be read"`},
	} {
		e, _ := engineWith(t, permitAll, func(c *authz.Config) {
			c.Servers[0].RequireDPoP = test.require
			c.Tokens = verifierFunc(func(context.Context, token.Credential, token.Accept) (token.Claims, error) {
				return token.Claims{}, &test.err
			})
		})
		got := e.Check(t.Context(), with(without(toolCall(), "authorization"), "authorization", test.scheme+" good"))
		if headerOf(got, "www-authenticate") != test.want || headerOf(got, "dpop-nonce") != test.err.Nonce || reason(t, got) != test.err.Reason {
			t.Errorf("Check with %s and %s = %d %q, nonce %q, want %q", test.scheme, test.err.Reason, got.Status, headerOf(got, "www-authenticate"), headerOf(got, "dpop-nonce"), test.want)
		}
	}
}

// A workload needs no token, and what it may not do is 403: a token would be
// that of somebody else.
func TestWorkloadIsNobodysUser(t *testing.T) {
	for policies, status := range map[string]int{permitAll: http.StatusOK, "": http.StatusForbidden} {
		e, records := engineWith(t, policies, func(c *authz.Config) {
			c.Servers[0].Workloads = []string{"batch"}
			v, err := token.New(token.Config{Workloads: []token.Workload{{Name: "batch", TrustDomain: "example.org"}}})
			if err != nil {
				t.Fatal(err)
			}
			c.Tokens = v
		})
		r := without(toolCall(), "authorization")
		r.Peer.Principal = "spiffe://example.org/ns/batch/sa/nightly"
		if got := e.Check(t.Context(), r); got.Status != status || records.all()[0].Principal != "Agent/batch/ns/batch/sa/nightly" {
			t.Errorf("Check with %q = %d %s as %s, want %d as the workload", policies, got.Status, got.Body, records.all()[0].Principal, status)
		}
		r.Peer = token.Peer{}
		if got := e.Check(t.Context(), r); reason(t, got) != "no_credential" {
			t.Errorf("Check without a certificate = %d %s, want 401 no_credential", got.Status, got.Body)
		}
	}
}
