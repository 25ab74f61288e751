package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

func in(d time.Duration) int64 { return start.Add(d).Unix() }

func TestVerifyAccepts(t *testing.T) {
	absent := authztest.Absent
	header := authztest.WithHeader
	tests := []struct {
		name    string
		claims  claims
		options []authztest.MintOption
	}{
		{"as minted", nil, nil},
		{"EdDSA", nil, []authztest.MintOption{authztest.WithAlgorithm("EdDSA")}},
		{"EdDSA under its new name", nil, []authztest.MintOption{authztest.WithAlgorithm("EdDSA"), header("alg", "Ed25519")}},
		{"no kid, one key for the algorithm", nil, []authztest.MintOption{authztest.WithKeyID("")}},
		{"typ in another case", nil, []authztest.MintOption{header("typ", "AT+JWT")}},
		{"typ in full", nil, []authztest.MintOption{header("typ", "application/at+jwt")}},
		{"typ JWT", nil, []authztest.MintOption{header("typ", "JWT")}},
		{"no typ", nil, []authztest.MintOption{header("typ", absent)}},
		{"jku and jwk are not looked at", nil, []authztest.MintOption{header("jku", "http://127.0.0.1:1/"), header("jwk", claims{"kty": "oct"}), header("x5u", "x")}},
		{"one audience of several", claims{"aud": []string{"https://other.example.com", resource}}, nil},
		{"the other spelling of the resource", claims{"aud": resource + "/"}, nil},
		{"expired within the leeway", claims{"exp": in(-29 * time.Second)}, nil},
		{"exp with a fraction", claims{"exp": float64(in(0)) + 0.5}, nil},
		{"exp beyond all calendars", claims{"exp": 1e300}, nil},
		{"nbf within the leeway", claims{"nbf": in(30 * time.Second)}, nil},
		{"nbf before 1970", claims{"nbf": -1e300}, nil},
		{"iat in the future", claims{"iat": in(time.Hour)}, nil},
		{"no iat, no jti, no client", claims{"iat": absent, "jti": absent, "client_id": absent}, nil},
		{"Keycloak before 25: nonce and typ Bearer", claims{"nonce": "n", "typ": "Bearer"}, []authztest.MintOption{header("typ", "JWT")}},
		{"Cognito: nonce and token_use", claims{"nonce": "n", "token_use": "access"}, []authztest.MintOption{header("typ", absent)}},
		{"at+jwt settles it", claims{"nonce": "n", "at_hash": "h", "typ": "ID"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			if got := w.accepted(t, w.corp.Mint(test.claims, test.options...)); got.Issuer != "corp" || got.Subject != "alice" {
				t.Errorf("Verify = %s/%s, want corp/alice", got.Issuer, got.Subject)
			}
		})
	}
}

// A token with every fault is answered with the first; each step mends one.
func TestOrderOfChecks(t *testing.T) {
	w := newWorld(t, func(corp *token.Issuer) { corp.Algorithms = []string{"ES256"} })
	c := claims{
		"cnf": claims{}, "iss": authztest.Absent, "exp": in(-time.Hour), "nbf": in(time.Hour),
		"aud": "other", "sub": "", "act": claims{"sub": ""},
	}
	h := map[string]any{"crit": []string{"x"}, "typ": "x+jwt", "alg": "none", "kid": "nobody"}
	sign := authztest.Forged()
	steps := []struct {
		reason string
		mend   func()
	}{
		{token.MalformedToken, func() { delete(h, "crit") }},
		{token.TokenType, func() { h["typ"] = "at+jwt" }},
		{token.BoundToken, func() { delete(c, "cnf") }},
		{token.Algorithm, func() { h["alg"] = "EdDSA" }},
		{token.MissingClaim, func() { c["iss"] = w.stranger.URL() }},
		{token.UnknownIssuer, func() { c["iss"] = w.internal.URL() }},
		{token.IssuerNotForServer, func() { c["iss"] = w.corp.URL() }},
		{token.Algorithm, func() { h["alg"] = "ES256" }},
		{token.Expired, func() { c["exp"] = authztest.Absent }},
		{token.MissingClaim, func() { c["exp"] = in(time.Hour) }},
		{token.NotYetValid, func() { c["nbf"] = in(0) }},
		{token.AudienceMismatch, func() { c["aud"] = "" }},
		{token.MissingClaim, func() { c["aud"] = resource }},
		{token.MissingClaim, func() { c["sub"] = "alice" }},
		{token.MissingClaim, func() { delete(c, "act") }},
		{token.UnknownKey, func() { h["kid"] = w.corp.KeyID("ES256") }},
		{token.BadSignature, func() { sign = func() authztest.MintOption { return authztest.WithAlgorithm("ES256") }() }},
		{"", func() {}},
	}
	for i, step := range steps {
		options := []authztest.MintOption{sign}
		for name, value := range h {
			options = append(options, authztest.WithHeader(name, value))
		}
		got := ""
		if _, err := w.verify(t, w.corp.Mint(c, options...)); err != nil {
			got = err.Reason
		}
		if got != step.reason {
			t.Fatalf("step %d: Verify of claims %v, header %v = %q, want %q", i, c, h, got, step.reason)
		}
		step.mend()
	}
}

// Invariant 7: one issuer's key never verifies another issuer's token, though
// both call it by one name.
func TestInvariant07IssuersAreApart(t *testing.T) {
	w := newWorld(t, nil)
	if w.corp.KeyID("ES256") != w.partner.KeyID("ES256") {
		t.Fatalf("kids %q and %q differ: the test shows nothing", w.corp.KeyID("ES256"), w.partner.KeyID("ES256"))
	}
	for range 2 { // the second time with all keys fetched
		for claimed, signer := range map[*authztest.Issuer]*authztest.Issuer{w.corp: w.partner, w.partner: w.corp} {
			raw := signer.Mint(claims{"iss": claimed.URL()})
			if got, err := w.verify(t, raw); err == nil || err.Reason != token.BadSignature {
				t.Errorf("Verify of a token in another's name = %+v, %v, want %s", got, err, token.BadSignature)
			}
		}
	}
	corp, partner := w.accepted(t, w.corp.Mint(nil)), w.accepted(t, w.partner.Mint(nil))
	if corp.Subject != partner.Subject || corp.Issuer == partner.Issuer {
		t.Errorf("Verify = %s/%s and %s/%s, want one subject of two issuers", corp.Issuer, corp.Subject, partner.Issuer, partner.Subject)
	}
	if _, err := w.verify(t, w.stranger.Mint(nil)); err == nil || err.Reason != token.UnknownIssuer {
		t.Errorf("Verify of a stranger's token = %v, want %s", err, token.UnknownIssuer)
	}
	if got, err := w.verify(t, w.internal.Mint(nil)); err == nil || err.Reason != token.IssuerNotForServer || err.Presented != w.internal.URL() {
		t.Errorf("Verify of an issuer of another server = %+v, %v, want %s", got, err, token.IssuerNotForServer)
	}
}

// A server without audiences or issuers accepts nothing, not even nothing.
func TestAcceptOfNothing(t *testing.T) {
	w := newWorld(t, nil)
	for _, test := range []struct {
		accept token.Accept
		claims claims
		want   string
	}{
		{token.Accept{}, nil, token.IssuerNotForServer},
		{token.Accept{Issuers: []string{"corp"}}, nil, token.AudienceMismatch},
		{token.Accept{Issuers: []string{"corp"}, Audiences: []string{""}}, claims{"aud": []string{"", "x"}}, token.AudienceMismatch},
	} {
		w.accept = test.accept
		if got, err := w.verify(t, w.corp.Mint(test.claims)); err == nil || err.Reason != test.want {
			t.Errorf("Verify for %+v = %+v, %v, want %s", test.accept, got, err, test.want)
		}
	}
}

func TestRSA(t *testing.T) {
	w := newWorld(t, nil)
	issuer := newIssuer(t, "RS256", "PS256")
	var err error
	w.verifier, err = token.New(token.Config{Now: now, Issuers: []token.Issuer{w.issuer(t, "corp", issuer)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{"RS256", "PS256"} {
		w.accepted(t, issuer.Mint(nil, authztest.WithAlgorithm(alg)))
	}
	refused := map[string][]authztest.MintOption{
		"forged":               {authztest.Forged()},
		"tampered":             {authztest.Tampered()},
		"padding of the other": {authztest.WithAlgorithm("PS256"), authztest.WithHeader("alg", "RS256"), authztest.WithKeyID("rs256-1")},
	}
	for name, options := range refused {
		if got, err := w.verify(t, issuer.Mint(nil, options...)); err == nil || err.Reason != token.BadSignature {
			t.Errorf("%s: Verify = %+v, %v, want %s", name, got, err, token.BadSignature)
		}
	}
	if got, err := w.verify(t, issuer.Mint(nil, authztest.Confused())); err == nil || err.Reason != token.Algorithm {
		t.Errorf("HS256 with the public key: Verify = %+v, %v, want %s", got, err, token.Algorithm)
	}
}

func TestIDTokenShape(t *testing.T) {
	w := newWorld(t, func(corp *token.Issuer) { corp.AllowIDTokenShape = true })
	plain := authztest.WithHeader("typ", authztest.Absent)
	w.accepted(t, w.corp.Mint(claims{"nonce": "n", "at_hash": "h", "c_hash": "h"}, plain))
	for _, c := range []claims{{"token_use": "id"}, {"typ": "ID"}} {
		if got, err := w.verify(t, w.corp.Mint(c, plain)); err == nil || err.Reason != token.TokenType {
			t.Errorf("Verify with %v = %+v, %v, want %s", c, got, err, token.TokenType)
		}
	}
	// It is lifted for that issuer alone.
	if got, err := w.verify(t, w.partner.Mint(claims{"nonce": "n"}, plain)); err == nil || err.Reason != token.TokenType {
		t.Errorf("Verify for another issuer = %+v, %v, want %s", got, err, token.TokenType)
	}
}

func TestRequireOneOf(t *testing.T) {
	w := newWorld(t, func(corp *token.Issuer) { corp.RequireOneOf = []string{"scp", "idtyp"} })
	w.accepted(t, w.corp.Mint(claims{"scp": "read"}))
	w.accepted(t, w.corp.Mint(claims{"idtyp": "app"}))
	w.accepted(t, w.partner.Mint(nil))
	for _, c := range []claims{nil, {"scope": "read"}, {"scp": nil}} {
		if got, err := w.verify(t, w.corp.Mint(c)); err == nil || err.Reason != token.TokenType {
			t.Errorf("Verify with %v = %+v, %v, want %s", c, got, err, token.TokenType)
		}
	}
}

// A curve that does not belong to the algorithm is refused even if the keys
// would hand it out.
func TestCurveOfAnotherAlgorithm(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(corp *token.Issuer) { corp.Keys = fixedKeys{key: p384.Public()} })
	got, refused := w.verify(t, w.corp.Mint(nil))
	if refused == nil || refused.Reason != token.BadSignature || !strings.Contains(refused.Error(), "key is of invalid type") {
		t.Errorf("Verify with a P-384 key for ES256 = %+v, %v, want %s", got, refused, token.BadSignature)
	}
}

// Invariant 8: no error holds a part of the token.
func TestInvariant08NoTokenInErrors(t *testing.T) {
	w := newWorld(t, nil)
	for _, raw := range []string{
		w.corp.Mint(nil, authztest.Forged()), w.corp.Mint(nil, authztest.WithPayload("x")), w.corp.Mint(claims{"exp": 1}),
		w.corp.Mint(nil, authztest.WithKeyID("nobody")), w.corp.Mint(nil) + "!", w.stranger.Mint(nil),
	} {
		_, err := w.verify(t, raw)
		if err == nil {
			t.Fatalf("Verify(%q) succeeded", raw)
		}
		for _, part := range strings.Split(raw, ".") {
			if text := err.Error() + err.Presented; len(part) > 8 && strings.Contains(text, part[:8]) {
				t.Errorf("Verify = %v, presented %q: holds a part of %q", err, err.Presented, raw)
			}
		}
	}
}

func TestPresentedIsCut(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.verify(t, w.corp.Mint(claims{"aud": strings.Repeat("a", 255) + "éé"}))
	if want := strings.Repeat("a", 255); err == nil || err.Presented != want {
		t.Errorf("Verify = %v, want 255 bytes presented: no half of a rune", err)
	}
}

// The cost of a token that is refused before its signature is in proportion to
// its length, whatever is inside.
func TestHostilePayloads(t *testing.T) {
	w := newWorld(t, nil)
	size := token.MaxLimit / 2
	for name, text := range map[string]string{
		"many members": "{" + repeat(size, func(i int) string {
			return `"k` + base64.RawURLEncoding.EncodeToString([]byte{byte(i >> 8), byte(i)}) + `":1,`
		}) + `"z":1}`,
		"many arrays": `{"a":[` + strings.Repeat("[],", size/3) + `[]]}`,
		"long number": `{"exp":` + strings.Repeat("9", size) + `}`,
		"long aud":    `{"aud":[` + strings.Repeat(`"",`, size/3) + `""]}`,
	} {
		began := time.Now()
		_, err := w.verify(t, w.corp.Mint(nil, authztest.WithPayload(text)))
		if err == nil {
			t.Errorf("%s: Verify succeeded", name)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: Verify took %v", name, took)
		}
	}
}

func repeat(size int, piece func(int) string) string {
	var b strings.Builder
	for i := 0; b.Len() < size && i < 1<<16; i++ {
		b.WriteString(piece(i))
	}
	return b.String()
}

func TestUnknownKidLaterKnown(t *testing.T) {
	w := newWorld(t, nil)
	w.accepted(t, w.corp.Mint(nil))
	w.corp.Rotate()
	got := w.accepted(t, w.corp.Mint(claims{"sub": "bob"}))
	if diff := cmp.Diff("bob", got.Subject); diff != "" {
		t.Errorf("Verify after a rotation: %s", diff)
	}
}
