package token_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// asking is how corp and partner of a world are asked about opaque tokens.
func asking(issuer *authztest.Issuer) *token.Introspection {
	return &token.Introspection{
		Endpoint: issuer.IntrospectionURI(), ClientID: authztest.IntrospectionClient, Secret: authztest.IntrospectionSecret,
		Cache: time.Minute,
	}
}

// A clock is moved by its test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// opaqueWorld is a world whose issuers corp and partner can be asked; change, if
// not nil, changes how corp is configured.
func opaqueWorld(t testing.TB, change func(corp *token.Issuer)) (*world, *clock) {
	t.Helper()
	c := &clock{at: start}
	w := &world{accept: token.Accept{Issuers: []string{"corp", "partner"}, Audiences: []string{resource}}}
	w.corp, w.partner = newIssuer(t, "ES256"), newIssuer(t, "ES256")
	config := token.Config{Now: c.now, Issuers: []token.Issuer{w.issuer(t, "corp", w.corp), w.issuer(t, "partner", w.partner)}}
	config.Issuers[0].Introspection = asking(w.corp)
	config.Issuers[1].Introspection = asking(w.partner)
	if change != nil {
		change(&config.Issuers[0])
	}
	var err error
	if w.verifier, err = token.New(config); err != nil {
		t.Fatalf("New: %v", err)
	}
	return w, c
}

// refusedAs checks the reason of a token that is not accepted.
func (w *world) refusedAs(t testing.TB, raw, reason string, fault token.Fault) {
	t.Helper()
	_, err := w.verify(t, raw)
	switch {
	case err == nil:
		t.Errorf("Verify = nil, want %s", reason)
	case err.Reason != reason || err.Fault != fault:
		t.Errorf("Verify = %v (fault %d), want %s (fault %d)", err, err.Fault, reason, fault)
	case fault == token.Ours && err.RetryAfter < time.Second:
		t.Errorf("Verify = %v, which says to come again after %v", err, err.RetryAfter)
	case strings.Contains(err.Error(), raw) || strings.Contains(err.Error(), "secret"):
		t.Errorf("Verify = %v, which holds the token or the secret", err)
	}
}

// What an issuer says of an opaque token becomes the claims that the same
// members of a JWT become.
func TestOpaqueToken(t *testing.T) {
	w, _ := opaqueWorld(t, func(corp *token.Issuer) {
		corp.GroupsClaims = []string{"groups"}
		corp.ScopesClaims, corp.ClientClaims = []string{"scp"}, []string{"cid"} // of its JWTs
	})
	got := w.accepted(t, w.corp.MintOpaque(claims{"scope": "read write", "groups": []string{"/eng/platform"}, "jti": "7", "username": "Alice"}))
	want := token.Claims{
		Kind: token.User, Issuer: "corp", Subject: "alice", Client: "cli", Audience: []string{resource}, ID: "7",
		Scopes: []string{"read", "write"}, Groups: []string{"/eng/platform", "/eng"},
		IssuedAt: start, ExpiresAt: start.Add(5 * time.Minute),
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(token.Claims{}, "Tags")); diff != "" {
		t.Errorf("Verify (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Alice"}, got.Tags["username"]); diff != "" {
		t.Errorf("tag username (-want +got):\n%s", diff)
	}
	// A JWT of the same issuer is verified by its keys: nobody is asked.
	before := w.corp.Fetches().Asked
	w.accepted(t, w.corp.Mint(claims{"scp": "read", "groups": []string{}}))
	if n := w.corp.Fetches().Asked; n != before {
		t.Errorf("a JWT was asked about %d times", n-before)
	}
}

// What an issuer calls active is checked like the payload of a JWT.
func TestAnswerIsChecked(t *testing.T) {
	tests := []struct {
		why    string
		claims claims
		reason string // "" means accepted
	}{
		{"as it is", nil, ""},
		{"without iss", claims{"iss": authztest.Absent}, ""},
		{"of somebody else", claims{"iss": "https://evil.example/"}, token.UnknownIssuer},
		{"iss is no string", claims{"iss": 1}, token.MalformedToken},
		{"for another server", claims{"aud": "https://other.example.com/mcp"}, token.AudienceMismatch},
		{"for several", claims{"aud": []string{"x", resource}}, ""},
		{"for nobody", claims{"aud": authztest.Absent}, token.MissingClaim},
		{"of nobody", claims{"sub": authztest.Absent}, token.MissingClaim},
		{"without exp", claims{"exp": authztest.Absent}, ""},
		{"exp is a string", claims{"exp": "soon"}, token.MalformedToken},
		{"over", claims{"exp": start.Add(-time.Minute).Unix()}, token.Expired},
		{"over, within the leeway", claims{"exp": start.Add(-29 * time.Second).Unix()}, ""},
		{"not yet", claims{"nbf": start.Add(time.Minute).Unix()}, token.NotYetValid},
		{"bound to a key", claims{"cnf": claims{"jkt": "x"}}, token.BoundToken},
		{"bound, and does not say to what", claims{"token_type": "DPoP"}, token.BoundToken},
		{"a token type in capitals", claims{"token_type": "BEARER"}, ""},
		{"another token type", claims{"token_type": "N_A"}, token.TokenType},
		{"a token type of the wrong kind", claims{"token_type": true}, token.MalformedToken},
		{"a refresh token", claims{"token_type": authztest.Absent}, token.TokenType},
		{"a refresh token of Keycloak", claims{"typ": "Refresh"}, token.TokenType},
		{"a refresh token of Hydra", claims{"token_use": "refresh_token"}, token.TokenType},
		{"an access token of Hydra", claims{"token_use": "access_token"}, ""},
		{"an access token by its typ", claims{"token_type": authztest.Absent, "typ": "Bearer"}, ""},
		{"an access token by its use", claims{"token_type": authztest.Absent, "token_use": "access"}, ""},
		{"an act without sub", claims{"act": claims{}}, token.MissingClaim},
	}
	for _, test := range tests {
		w, _ := opaqueWorld(t, nil)
		raw := w.corp.MintOpaque(test.claims)
		if test.reason == "" {
			w.accepted(t, raw)
			continue
		}
		for range 2 { // also when it is remembered
			if _, err := w.verify(t, raw); err == nil || err.Reason != test.reason || err.Fault != token.Invalid {
				t.Errorf("%s: Verify = %v, want %s", test.why, err, test.reason)
			}
		}
	}
}

// An issuer whose answers have no type says with require_one_of what its access
// tokens have.
func TestAnswerWithoutType(t *testing.T) {
	w, _ := opaqueWorld(t, func(corp *token.Issuer) { corp.RequireOneOf = []string{"scope"} })
	w.accepted(t, w.corp.MintOpaque(claims{"token_type": authztest.Absent, "scope": "read"}))
	w.refusedAs(t, w.corp.MintOpaque(claims{"token_type": authztest.Absent}), token.TokenType, token.Invalid)
}

func TestClientWithoutSubject(t *testing.T) {
	w, _ := opaqueWorld(t, func(corp *token.Issuer) { corp.ClientsWithoutSub = true })
	got := w.accepted(t, w.corp.MintOpaque(claims{"sub": authztest.Absent, "client_id": "job"}))
	if got.Kind != token.Agent || got.Subject != "job" {
		t.Errorf("Verify = %+v, want the agent job", got)
	}
	w.refusedAs(t, w.corp.MintOpaque(claims{"sub": authztest.Absent, "username": "alice"}), token.MissingClaim, token.Invalid)
}

// Inspect shows which issuer knows the token, and each check of its answer.
func TestInspectOpaque(t *testing.T) {
	w, _ := opaqueWorld(t, nil)
	got := w.verifier.Inspect(t.Context(), token.Credential{Raw: w.partner.MintOpaque(claims{"aud": "x", "sub": 1})}, w.accept)
	var steps []string
	for _, s := range got.Steps {
		steps = append(steps, fmt.Sprint(s.Name, " ", s.Passed))
	}
	want := []string{"introspection true", "token_type true", "cnf true", "iss true", "exp true", "nbf true", "aud false", "sub false", "act true"}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if got.Err == nil || got.Err.Reason != token.AudienceMismatch || got.Steps[0].Found != "active at issuer partner" {
		t.Errorf("Inspect = %+v", got)
	}
	good := w.verifier.Inspect(t.Context(), token.Credential{Raw: w.corp.MintOpaque(nil)}, w.accept)
	if good.Err != nil || good.Claims.Subject != "alice" {
		t.Errorf("Inspect = %+v, want alice", good)
	}
	bad := w.verifier.Inspect(t.Context(), token.Credential{Raw: "random"}, w.accept)
	if bad.Err == nil || bad.Err.Reason != token.InactiveToken || len(bad.Steps) != 1 {
		t.Errorf("Inspect = %+v, want %s", bad, token.InactiveToken)
	}
}

// An opaque token that is bound to a key needs a proof with each request, also
// when its answer is remembered.
func TestOpaqueTokenBoundToAKey(t *testing.T) {
	w, _ := opaqueWorld(t, nil)
	h := newHolder(t)
	raw := w.corp.MintOpaque(claims{"token_type": "DPoP", "cnf": claims{"jkt": h.jkt()}})
	for range 2 {
		if err := w.refusal(t, dpop(raw, h.proof(t, raw, nil))); err != nil {
			t.Errorf("Verify with a proof = %v, want nil", err)
		}
		w.wantRefused(t, "as Bearer", token.Credential{Raw: raw}, token.BoundToken)
		w.wantRefused(t, "with the proof of another key", dpop(raw, newHolder(t).proof(t, raw, nil)), token.InvalidDPoPProof)
	}
	plain := w.corp.MintOpaque(nil)
	w.wantRefused(t, "a token that is not bound, as DPoP", dpop(plain, h.proof(t, plain, nil)), token.BoundToken)
}
