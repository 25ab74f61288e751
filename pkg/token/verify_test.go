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

// Each way in which a token can be at fault, alone.
func TestVerifyRefuses(t *testing.T) {
	absent := authztest.Absent
	header, payload := authztest.WithHeader, authztest.WithPayload
	type options = []authztest.MintOption
	plain := header("typ", "JWT")
	good := `"sub":"alice","aud":"` + resource + `","exp":1800000300`
	tests := []struct {
		name      string
		claims    claims
		options   options
		reason    string
		presented string
	}{
		{"typ of an ID-JAG", nil, options{header("typ", "oauth-id-jag+jwt")}, token.TokenType, "oauth-id-jag+jwt"},
		{"typ of a DPoP proof", nil, options{header("typ", "dpop+jwt")}, token.TokenType, "dpop+jwt"},
		{"typ empty", nil, options{header("typ", "")}, token.TokenType, ""},
		{"typ is a number", nil, options{header("typ", 1)}, token.MalformedToken, ""},
		{"crit", nil, options{header("crit", []string{"exp"})}, token.MalformedToken, ""},
		{"crit empty", nil, options{header("crit", nil)}, token.MalformedToken, ""},
		{"Cognito ID token", claims{"token_use": "id"}, options{plain}, token.TokenType, "id"},
		{"token_use is no string", claims{"token_use": true}, options{plain}, token.TokenType, ""},
		{"Keycloak ID token", claims{"typ": "ID"}, options{plain}, token.TokenType, "ID"},
		{"Keycloak refresh token", claims{"typ": "Refresh"}, options{plain}, token.TokenType, "Refresh"},
		{"Keycloak offline token", claims{"typ": "offline"}, options{plain}, token.TokenType, "offline"},
		{"Keycloak logout token", claims{"typ": "Logout"}, options{plain}, token.TokenType, "Logout"},
		{"payload typ is a list", claims{"typ": []string{"ID"}}, options{plain}, token.MalformedToken, ""},
		{"at_hash", claims{"at_hash": "h"}, options{plain}, token.TokenType, "at_hash"},
		{"c_hash null", claims{"c_hash": nil}, options{plain}, token.TokenType, "c_hash"},
		{"nonce", claims{"nonce": "n"}, options{plain}, token.TokenType, "nonce"},
		{"nonce without typ", claims{"nonce": "n"}, options{header("typ", absent)}, token.TokenType, "nonce"},
		{"bound to a key", claims{"cnf": claims{"jkt": "x"}}, nil, token.BoundToken, ""},
		{"bound to nothing", claims{"cnf": claims{}}, nil, token.BoundToken, ""},
		{"cnf null", claims{"cnf": nil}, nil, token.MalformedToken, ""},

		{"unsigned", nil, options{authztest.Unsigned()}, token.Algorithm, "none"},
		{"unsigned, in another case", nil, options{authztest.Unsigned(), header("alg", "nOnE")}, token.Algorithm, "nOnE"},
		{"HS256 with the public key", nil, options{authztest.Confused()}, token.Algorithm, "HS256"},
		{"HS512 in another case", nil, options{header("alg", "hs512")}, token.Algorithm, "hs512"},
		{"ES256K", nil, options{header("alg", "ES256K")}, token.Algorithm, "ES256K"},
		{"alg in another case", nil, options{header("alg", "es256")}, token.Algorithm, "es256"},
		{"no alg", nil, options{header("alg", absent)}, token.Algorithm, ""},
		{"alg is a list", nil, options{header("alg", []string{"ES256"})}, token.MalformedToken, ""},

		{"no iss", claims{"iss": absent}, nil, token.MissingClaim, ""},
		{"iss empty", claims{"iss": ""}, nil, token.MissingClaim, ""},
		{"iss is a list", claims{"iss": []string{"x"}}, nil, token.MalformedToken, ""},
		{"unknown issuer", claims{"iss": "https://evil.example.com"}, nil, token.UnknownIssuer, "https://evil.example.com"},

		{"expired", claims{"exp": in(-30 * time.Second)}, nil, token.Expired, "2027-01-15T07:59:30Z"},
		{"exp zero", claims{"exp": 0}, nil, token.Expired, "1970-01-01T00:00:00Z"},
		{"exp far below zero", claims{"exp": -1e300}, nil, token.Expired, "1970-01-01T00:00:00Z"},
		{"no exp", claims{"exp": absent}, nil, token.MissingClaim, ""},
		{"exp is a string", claims{"exp": "1800000300"}, nil, token.MalformedToken, ""},
		{"exp null", claims{"exp": nil}, nil, token.MalformedToken, ""},
		{"not yet valid", claims{"nbf": in(31 * time.Second)}, nil, token.NotYetValid, "2027-01-15T08:00:31Z"},
		{"nbf is a string", claims{"nbf": "0"}, nil, token.MalformedToken, ""},
		{"iat is a string", claims{"iat": "0"}, nil, token.MalformedToken, ""},

		{"another audience", claims{"aud": "https://other.example.com"}, nil, token.AudienceMismatch, "https://other.example.com"},
		{"other audiences", claims{"aud": []string{"a", "b"}}, nil, token.AudienceMismatch, "a b"},
		{"a prefix of the audience", claims{"aud": "https://mcp.example.com"}, nil, token.AudienceMismatch, "https://mcp.example.com"},
		{"more than the audience", claims{"aud": resource + "/x"}, nil, token.AudienceMismatch, resource + "/x"},
		{"the audience in another case", claims{"aud": strings.ToUpper(resource)}, nil, token.AudienceMismatch, strings.ToUpper(resource)},
		{"no aud", claims{"aud": absent}, nil, token.MissingClaim, ""},
		{"aud empty", claims{"aud": ""}, nil, token.MissingClaim, ""},
		{"aud of nothing", claims{"aud": []string{}}, nil, token.MissingClaim, ""},
		{"aud is a number", claims{"aud": 1}, nil, token.MalformedToken, ""},
		{"aud with a number", claims{"aud": []any{resource, 1}}, nil, token.MalformedToken, ""},
		{"aud is an object", claims{"aud": claims{resource: true}}, nil, token.MalformedToken, ""},

		{"no sub", claims{"sub": absent}, nil, token.MissingClaim, ""},
		{"sub empty", claims{"sub": ""}, nil, token.MissingClaim, ""},
		{"sub is a number", claims{"sub": 7}, nil, token.MalformedToken, ""},
		{"act is a string", claims{"act": "bot"}, nil, token.MalformedToken, ""},
		{"act null", claims{"act": nil}, nil, token.MalformedToken, ""},
		{"act without sub", claims{"act": claims{}}, nil, token.MissingClaim, ""},
		{"act.sub is a number", claims{"act": claims{"sub": 1}}, nil, token.MalformedToken, ""},
		{"act of nobody's issuer", claims{"act": claims{"sub": "bot", "iss": "https://evil.example.com"}}, nil, token.UnknownIssuer, "https://evil.example.com"},
		{"act.iss is a number", claims{"act": claims{"sub": "bot", "iss": 1}}, nil, token.MalformedToken, ""},

		{"kid is a number", nil, options{header("kid", 1)}, token.MalformedToken, ""},
		{"unknown kid", nil, options{authztest.WithKeyID("nobody")}, token.UnknownKey, "nobody"},
		{"kid of another algorithm", nil, options{authztest.WithKeyID("eddsa-1")}, token.UnknownKey, "eddsa-1"},
		{"forged under the right kid", nil, options{authztest.Forged()}, token.BadSignature, "es256-1"},
		{"forged without kid", nil, options{authztest.Forged(), authztest.WithKeyID("")}, token.BadSignature, ""},
		{"tampered", nil, options{authztest.Tampered()}, token.BadSignature, "es256-1"},
		{"EdDSA forged", nil, options{authztest.WithAlgorithm("EdDSA"), authztest.Forged()}, token.BadSignature, "eddsa-1"},

		{"payload no JSON", nil, options{payload("x")}, token.MalformedToken, ""},
		{"payload an array", nil, options{payload("[]")}, token.MalformedToken, ""},
		{"payload empty", nil, options{payload("")}, token.MalformedToken, ""},
		{"payload twice", nil, options{payload("{}{}")}, token.MalformedToken, ""},
		{"duplicate claim", nil, options{payload(`{"iss":"a","iss":"a",` + good + `}`)}, token.MalformedToken, ""},
		{"duplicate claim, escaped", nil, options{payload(`{"iss":"a","\u0069ss":"a",` + good + `}`)}, token.MalformedToken, ""},
		{"duplicate claim, deep", nil, options{payload(`{"x":[{"a":1,"a":1}],` + good + `}`)}, token.MalformedToken, ""},
		{"invalid UTF-8", nil, options{payload("{\"x\":\"\xff\"," + good + "}")}, token.MalformedToken, ""},
		{"BOM", nil, options{payload("\ufeff{" + good + "}")}, token.MalformedToken, ""},
		{"deeper than the limit", nil, options{payload(`{"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `,` + good + `}`)}, token.MalformedToken, ""},
		{"Iss is not iss", claims{"iss": absent, "Iss": "x"}, nil, token.MissingClaim, ""},
		{"header no JSON", nil, options{authztest.WithRawHeader("x")}, token.MalformedToken, ""},
		{"header with two algs", nil, options{authztest.WithRawHeader(`{"alg":"none","alg":"ES256"}`)}, token.MalformedToken, ""},
	}
	seen := map[string]bool{}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			raw := w.corp.Mint(test.claims, test.options...)
			got, err := w.verify(t, raw)
			if err == nil || err.Fault != token.Invalid || err.Reason != test.reason || err.Presented != test.presented {
				t.Errorf("Verify = %+v, %+v, want %s, presented %q", got, err, test.reason, test.presented)
			}
			afterwards := test.reason == token.UnknownKey || test.reason == token.BadSignature
			if asked := w.asked.Load() > 0; asked != afterwards {
				t.Errorf("asked for a key: %t, want %t", asked, afterwards)
			}
		})
		seen[test.reason] = true
	}
	for _, reason := range []string{
		token.MalformedToken, token.UnknownIssuer, token.Algorithm, token.UnknownKey, token.BadSignature, token.Expired,
		token.NotYetValid, token.AudienceMismatch, token.MissingClaim, token.TokenType, token.BoundToken,
	} {
		if !seen[reason] {
			t.Errorf("no test for %s", reason)
		}
	}
}

// A number that JSON can write and no computer can hold is no time at all.
func TestTimesNotFinite(t *testing.T) {
	w := newWorld(t, nil)
	for _, times := range []string{`"exp":1e999`, `"exp":1800000300,"nbf":-1e999`, `"exp":1800000300,"iat":1e999`} {
		text := `{"iss":"` + w.corp.URL() + `","aud":"` + resource + `","sub":"alice",` + times + `}`
		if got, err := w.verify(t, w.corp.Mint(nil, authztest.WithPayload(text))); err == nil || err.Reason != token.MalformedToken {
			t.Errorf("Verify(%s) = %+v, %v, want %s", times, got, err, token.MalformedToken)
		}
	}
}

func TestVerifyShape(t *testing.T) {
	w := newWorld(t, nil)
	good := w.corp.Mint(nil)
	parts := strings.Split(good, ".")
	pad := func(part string) string { return part + strings.Repeat("=", (4-len(part)%4)%4) }
	tests := map[string]string{
		"empty": "", "one part": parts[0], "two parts": parts[0] + "." + parts[1], "four parts": good + ".x", "five parts": good + ".x.y",
		"no header": "." + parts[1] + "." + parts[2], "no payload": parts[0] + ".." + parts[2],
		"padded":                   pad(parts[0]+"AA") + "." + parts[1] + "." + parts[2],
		"line break in payload":    parts[0] + "." + parts[1][:4] + "\n" + parts[1][4:] + "." + parts[2],
		"line break in header":     parts[0][:4] + "\r\n" + parts[0][4:] + "." + parts[1] + "." + parts[2],
		"line break in signature":  good[:len(good)-4] + "\n" + good[len(good)-4:],
		"line break at the end":    good + "\n",
		"base64, not base64url":    parts[0] + "." + parts[1] + "." + "++//" + parts[2][4:],
		"bits after the last byte": good[:len(good)-1] + string(nextBit(good[len(good)-1])),
		"blank":                    good + " ",
	}
	for name, raw := range tests {
		if got, err := w.verify(t, raw); err == nil || err.Reason != token.MalformedToken || err.Fault != token.Invalid {
			t.Errorf("%s: Verify = %+v, %v, want %s", name, got, err, token.MalformedToken)
		}
	}
	if _, err := w.verify(t, good); err != nil {
		t.Errorf("Verify of the token they were made from: %v", err)
	}
	if _, err := w.verify(t, strings.Repeat("a", token.MaxLimit+1)); err == nil || err.Reason != token.TokenLimit || err.Fault != token.Malformed {
		t.Errorf("Verify of more than any limit = %v, want %s", err, token.TokenLimit)
	}
}

// nextBit returns a base64url digit whose last bit differs: in the last digit
// of 64 bytes it stands for nothing.
func nextBit(digit byte) byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return digits[strings.IndexByte(digits, digit)^1]
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
