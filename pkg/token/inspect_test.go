package token_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// outcome writes an inspection briefly: "exp!" failed, "key-" was skipped.
func outcome(in token.Inspection) string {
	var all []string
	for _, s := range in.Steps {
		switch {
		case s.Skipped:
			all = append(all, s.Name+"-")
		case !s.Passed:
			all = append(all, s.Name+"!")
		default:
			all = append(all, s.Name)
		}
	}
	return strings.Join(all, " ")
}

func TestInspect(t *testing.T) {
	const all = "shape crit typ cnf alg iss alg of the issuer exp nbf aud sub act kid key signature"
	unknown := strings.NewReplacer("iss alg of the issuer", "iss! alg of the issuer-", "aud sub act kid key signature", "aud- sub- act- kid key- signature-").Replace(all)
	replace := func(from, to string) string { return strings.Replace(all, from, to, 1) }
	w := newWorld(t, nil)
	tests := []struct {
		name, raw, steps, reason string
	}{
		{"good", w.corp.Mint(nil), all, ""},
		{"expired, and for another", w.corp.Mint(claims{"exp": in(-time.Hour), "aud": "x"}), strings.NewReplacer("exp", "exp!", "aud", "aud!").Replace(all), token.Expired},
		{"an ID token", w.corp.Mint(claims{"nonce": "n"}, authztest.WithHeader("typ", "JWT")), replace("typ", "typ!"), token.TokenType},
		{"forged", w.corp.Mint(nil, authztest.Forged()), replace("signature", "signature!"), token.BadSignature},
		{"an unknown issuer", w.stranger.Mint(nil), unknown, token.UnknownIssuer},
		{"an issuer of another server", w.internal.Mint(nil), unknown, token.IssuerNotForServer},
		{"an unknown key", w.corp.Mint(nil, authztest.WithKeyID("nobody")), replace("key signature", "key! signature-"), token.UnknownKey},
		{"no token", "x.y", "shape!", token.MalformedToken},
		{"nothing", "", "credential!", token.NoCredential},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			credential := token.Credential{Raw: test.raw}
			got := w.verifier.Inspect(t.Context(), credential, w.accept)
			if steps := outcome(got); steps != test.steps {
				t.Errorf("Inspect = %s, want %s", steps, test.steps)
			}
			verified, err := w.verify(t, test.raw)
			if (got.Err == nil) != (err == nil) || err != nil && got.Err.Reason != err.Reason {
				t.Errorf("Inspect found %v, Verify %v", got.Err, err)
			}
			if (got.Err == nil) != (test.reason == "") || got.Err != nil && got.Err.Reason != test.reason {
				t.Errorf("Inspect found %v, want %q", got.Err, test.reason)
			}
			if got.Claims.Kind != verified.Kind || got.Claims.Subject != verified.Subject {
				t.Errorf("Inspect = %+v, Verify %+v", got.Claims, verified)
			}
		})
	}
}

// Invariant 8: what an inspection shows holds no part of the token.
func TestInvariant08NoTokenInInspection(t *testing.T) {
	w := newWorld(t, nil)
	for _, raw := range []string{w.corp.Mint(nil), w.corp.Mint(nil, authztest.Forged()), w.stranger.Mint(nil)} {
		for _, step := range w.verifier.Inspect(t.Context(), token.Credential{Raw: raw}, w.accept).Steps {
			text := step.Found
			if step.Err != nil {
				text += step.Err.Error() + step.Err.Presented
			}
			if slices.ContainsFunc(strings.Split(raw, "."), func(part string) bool { return strings.Contains(text, part[:8]) }) {
				t.Errorf("step %s says %q: holds a part of %q", step.Name, text, raw)
			}
		}
	}
}
