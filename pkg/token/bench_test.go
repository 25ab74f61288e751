package token_test

import (
	"crypto"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

var benchAlgorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}

func benchClaims() claims {
	return claims{
		"exp": start.Add(time.Hour).Unix(), "email": "alice@example.com", "scope": "github:read github:write",
		"groups": []string{"/eng/platform", "/eng/security", "on-call"},
	}
}

// A token that was verified a moment ago.
func BenchmarkTokenHit(b *testing.B) {
	m := newMemory(b, 0)
	raw, ctx := m.login.Mint(benchClaims()), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.verifier.Verify(ctx, token.Credential{Raw: raw}, m.accept); err != nil {
			b.Fatal(err)
		}
	}
}

// A token that was never seen: everything that is checked, by algorithm.
func BenchmarkTokenMiss(b *testing.B) {
	for _, alg := range benchAlgorithms {
		b.Run(alg, func(b *testing.B) {
			login := newIssuer(b, alg)
			raw := login.Mint(benchClaims())
			v, err := token.New(token.Config{Now: now, Issuers: []token.Issuer{
				{Name: "corp", Issuer: login.URL(), GroupsClaims: []string{"groups"}, Keys: fixedKeys{key: login.PublicKey("")}},
			}})
			if err != nil {
				b.Fatal(err)
			}
			ctx, accept := b.Context(), token.Accept{Issuers: []string{"corp"}, Audiences: []string{resource}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(ctx, token.Credential{Raw: raw}, accept); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The same tokens with golang-jwt alone: parsed, signature, exp, iss and aud.
func BenchmarkTokenGolangJWT(b *testing.B) {
	for _, alg := range benchAlgorithms {
		b.Run(alg, func(b *testing.B) {
			login := newIssuer(b, alg)
			raw, key := login.Mint(benchClaims()), login.PublicKey("")
			find := func(*jwt.Token) (any, error) { return key, nil }
			parser := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithTimeFunc(now), jwt.WithExpirationRequired(),
				jwt.WithIssuer(login.URL()), jwt.WithAudience(resource))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parser.Parse(raw, find); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A token that was verified a moment ago, with a DPoP proof of its own, which is
// verified each time.
func BenchmarkTokenProof(b *testing.B) {
	login, h := newIssuer(b, "ES256"), newHolder(b)
	raw := h.bound(login)
	v, accept := benchVerifier(b, login, login.PublicKey(""))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		c := dpop(raw, h.proof(b, raw, nil))
		b.StartTimer()
		if _, err := v.Verify(ctx, c, accept); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTokenRefused is the cost of what is refused before any key.
func BenchmarkTokenRefused(b *testing.B) {
	issuer := newIssuer(b, "ES256")
	raw := issuer.Mint(claims{"exp": 1})
	v, accept := benchVerifier(b, issuer, issuer.PublicKey(""))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token.Credential{Raw: raw}, accept); err == nil {
			b.Fatal("an expired token was accepted")
		}
	}
}

func benchVerifier(b *testing.B, issuer *authztest.Issuer, key crypto.PublicKey) (*token.Verifier, token.Accept) {
	v, err := token.New(token.Config{Now: now, Issuers: []token.Issuer{{
		Name: "corp", Issuer: issuer.URL(), Keys: fixedKeys{key: key}, GroupsClaims: []string{"groups"},
	}}})
	if err != nil {
		b.Fatal(err)
	}
	return v, token.Accept{Issuers: []string{"corp"}, Audiences: []string{resource}}
}
