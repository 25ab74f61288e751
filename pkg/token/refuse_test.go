package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// A refusal is one way in which a token can be at fault, alone.
type refusal struct {
	name      string
	claims    claims
	options   []authztest.MintOption
	reason    string
	presented string
}

func checkRefusals(t *testing.T, tests []refusal) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			got, err := w.verify(t, w.corp.Mint(test.claims, test.options...))
			if err == nil || err.Fault != token.Invalid || err.Reason != test.reason || err.Presented != test.presented {
				t.Errorf("Verify = %q, %v, want %s, presented %q", got.Subject, err, test.reason, test.presented)
			}
			// Invariant 12: what can be refused without a key costs no fetch.
			needsKey := test.reason == token.UnknownKey || test.reason == token.BadSignature
			if asked := w.asked.Load() > 0; asked != needsKey {
				t.Errorf("asked for a key: %t, want %t", asked, needsKey)
			}
		})
	}
}

type options = []authztest.MintOption

// A token that is for something else than access, or for whoever holds a key.
func TestRefusesTypes(t *testing.T) {
	header, plain := authztest.WithHeader, authztest.WithHeader("typ", "JWT")
	checkRefusals(t, []refusal{
		{"typ of an ID-JAG", nil, options{header("typ", "oauth-id-jag+jwt")}, token.TokenType, "oauth-id-jag+jwt"},
		{"typ of a DPoP proof", nil, options{header("typ", "dpop+jwt")}, token.TokenType, "dpop+jwt"},
		{"typ empty", nil, options{header("typ", "")}, token.TokenType, ""},
		{"typ is a number", nil, options{header("typ", 1)}, token.MalformedToken, "typ"},
		{"crit", nil, options{header("crit", []string{"exp"})}, token.MalformedToken, "crit"},
		{"crit empty", nil, options{header("crit", nil)}, token.MalformedToken, "crit"},
		{"Cognito ID token", claims{"token_use": "id"}, options{plain}, token.TokenType, "id"},
		{"token_use is no string", claims{"token_use": true}, options{plain}, token.TokenType, ""},
		{"Keycloak ID token", claims{"typ": "ID"}, options{plain}, token.TokenType, "ID"},
		{"Keycloak refresh token", claims{"typ": "Refresh"}, options{plain}, token.TokenType, "Refresh"},
		{"Keycloak offline token", claims{"typ": "offline"}, options{plain}, token.TokenType, "offline"},
		{"Keycloak logout token", claims{"typ": "Logout"}, options{plain}, token.TokenType, "Logout"},
		{"payload typ is a list", claims{"typ": []string{"ID"}}, options{plain}, token.MalformedToken, "typ"},
		{"at_hash", claims{"at_hash": "h"}, options{plain}, token.TokenType, "at_hash"},
		{"c_hash null", claims{"c_hash": nil}, options{plain}, token.TokenType, "c_hash"},
		{"nonce", claims{"nonce": "n"}, options{plain}, token.TokenType, "nonce"},
		{"nonce without typ", claims{"nonce": "n"}, options{header("typ", authztest.Absent)}, token.TokenType, "nonce"},
		{"bound to a key", claims{"cnf": claims{"jkt": "x"}}, nil, token.BoundToken, "cnf"},
		{"bound to nothing", claims{"cnf": claims{}}, nil, token.BoundToken, "cnf"},
		{"cnf null", claims{"cnf": nil}, nil, token.MalformedToken, "cnf"},
	})
}

func TestRefusesAlgorithms(t *testing.T) {
	checkRefusals(t, []refusal{
		{"unsigned", nil, options{authztest.Unsigned()}, token.Algorithm, "none"},
		{"unsigned, in another case", nil, options{authztest.Unsigned(), authztest.WithHeader("alg", "nOnE")}, token.Algorithm, "nOnE"},
		{"HS256 with the public key", nil, options{authztest.Confused()}, token.Algorithm, "HS256"},
		{"HS512 in another case", nil, options{authztest.WithHeader("alg", "hs512")}, token.Algorithm, "hs512"},
		{"ES256K", nil, options{authztest.WithHeader("alg", "ES256K")}, token.Algorithm, "ES256K"},
		{"alg in another case", nil, options{authztest.WithHeader("alg", "es256")}, token.Algorithm, "es256"},
		{"no alg", nil, options{authztest.WithHeader("alg", authztest.Absent)}, token.Algorithm, ""},
		{"alg is a list", nil, options{authztest.WithHeader("alg", []string{"ES256"})}, token.MalformedToken, "alg"},
	})
}

func TestRefusesIssuers(t *testing.T) {
	checkRefusals(t, []refusal{
		{"no iss", claims{"iss": authztest.Absent}, nil, token.MissingClaim, "iss"},
		{"iss empty", claims{"iss": ""}, nil, token.MissingClaim, "iss"},
		{"iss is a list", claims{"iss": []string{"x"}}, nil, token.MalformedToken, "iss"},
		{"unknown issuer", claims{"iss": "https://evil.example.com"}, nil, token.UnknownIssuer, "https://evil.example.com"},
	})
}

func TestRefusesTimes(t *testing.T) {
	checkRefusals(t, []refusal{
		{"expired", claims{"exp": in(-30 * time.Second)}, nil, token.Expired, "2027-01-15T07:59:30Z"},
		{"exp zero", claims{"exp": 0}, nil, token.Expired, "1970-01-01T00:00:00Z"},
		{"exp far below zero", claims{"exp": -1e300}, nil, token.Expired, "1970-01-01T00:00:00Z"},
		{"no exp", claims{"exp": authztest.Absent}, nil, token.MissingClaim, "exp"},
		{"exp is a string", claims{"exp": "1800000300"}, nil, token.MalformedToken, "exp"},
		{"exp null", claims{"exp": nil}, nil, token.MalformedToken, "exp"},
		{"not yet valid", claims{"nbf": in(31 * time.Second)}, nil, token.NotYetValid, "2027-01-15T08:00:31Z"},
		{"nbf is a string", claims{"nbf": "0"}, nil, token.MalformedToken, "nbf"},
		{"iat is a string", claims{"iat": "0"}, nil, token.MalformedToken, "iat"},
	})
}

func TestRefusesAudiences(t *testing.T) {
	checkRefusals(t, []refusal{
		{"another audience", claims{"aud": "https://other.example.com"}, nil, token.AudienceMismatch, "https://other.example.com"},
		{"other audiences", claims{"aud": []string{"a", "b"}}, nil, token.AudienceMismatch, "a b"},
		{"a prefix of the audience", claims{"aud": "https://mcp.example.com"}, nil, token.AudienceMismatch, "https://mcp.example.com"},
		{"more than the audience", claims{"aud": resource + "/x"}, nil, token.AudienceMismatch, resource + "/x"},
		{"the audience in another case", claims{"aud": strings.ToUpper(resource)}, nil, token.AudienceMismatch, strings.ToUpper(resource)},
		{"no aud", claims{"aud": authztest.Absent}, nil, token.MissingClaim, "aud"},
		{"aud empty", claims{"aud": ""}, nil, token.MissingClaim, "aud"},
		{"aud of nothing", claims{"aud": []string{}}, nil, token.MissingClaim, "aud"},
		{"aud is a number", claims{"aud": 1}, nil, token.MalformedToken, "aud"},
		{"aud with a number", claims{"aud": []any{resource, 1}}, nil, token.MalformedToken, "aud"},
		{"aud is an object", claims{"aud": claims{resource: true}}, nil, token.MalformedToken, "aud"},
	})
}

func TestRefusesSubjects(t *testing.T) {
	checkRefusals(t, []refusal{
		{"no sub", claims{"sub": authztest.Absent}, nil, token.MissingClaim, "sub"},
		{"sub empty", claims{"sub": ""}, nil, token.MissingClaim, "sub"},
		{"sub is a number", claims{"sub": 7}, nil, token.MalformedToken, "sub"},
		{"act is a string", claims{"act": "bot"}, nil, token.MalformedToken, "act"},
		{"act null", claims{"act": nil}, nil, token.MalformedToken, "act"},
		{"act without sub", claims{"act": claims{}}, nil, token.MissingClaim, "act.sub"},
		{"act.sub is a number", claims{"act": claims{"sub": 1}}, nil, token.MalformedToken, "act.sub"},
		{"act of nobody's issuer", claims{"act": claims{"sub": "bot", "iss": "https://evil.example.com"}}, nil, token.UnknownIssuer, "https://evil.example.com"},
		{"act.iss is a number", claims{"act": claims{"sub": "bot", "iss": 1}}, nil, token.MalformedToken, "act.iss"},
	})
}

func TestRefusesKeys(t *testing.T) {
	checkRefusals(t, []refusal{
		{"kid is a number", nil, options{authztest.WithHeader("kid", 1)}, token.MalformedToken, "kid"},
		{"unknown kid", nil, options{authztest.WithKeyID("nobody")}, token.UnknownKey, "nobody"},
		{"kid of another algorithm", nil, options{authztest.WithKeyID("eddsa-1")}, token.UnknownKey, "eddsa-1"},
		{"forged under the right kid", nil, options{authztest.Forged()}, token.BadSignature, "es256-1"},
		{"forged without kid", nil, options{authztest.Forged(), authztest.WithKeyID("")}, token.BadSignature, ""},
		{"tampered", nil, options{authztest.Tampered()}, token.BadSignature, "es256-1"},
		{"EdDSA forged", nil, options{authztest.WithAlgorithm("EdDSA"), authztest.Forged()}, token.BadSignature, "eddsa-1"},
	})
}

// One strict reading, invariant 5.
func TestRefusesWhatCanBeReadTwice(t *testing.T) {
	payload := authztest.WithPayload
	good := `"sub":"alice","aud":"` + resource + `","exp":1800000300`
	checkRefusals(t, []refusal{
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
		{"Iss is not iss", claims{"iss": authztest.Absent, "Iss": "x"}, nil, token.MissingClaim, "iss"},
		{"header no JSON", nil, options{authztest.WithRawHeader("x")}, token.MalformedToken, ""},
		{"header with two algs", nil, options{authztest.WithRawHeader(`{"alg":"none","alg":"ES256"}`)}, token.MalformedToken, ""},
	})
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
		"a dot": ".", "one part": parts[0], "two parts": parts[0] + "." + parts[1], "four parts": good + ".x", "five parts": good + ".x.y",
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
