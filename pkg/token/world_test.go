package token_test

import (
	"context"
	"crypto"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/jwks"
	"github.com/cedargate/cedargate/pkg/token"
)

const resource = "https://mcp.example.com/mcp"

// start is when all tests happen.
var start = time.Unix(1_800_000_000, 0).UTC()

func now() time.Time { return start }

type claims = map[string]any

// A world has three issuers that the verifier knows, and one that it does not.
// The server accepts corp and partner.
type world struct {
	corp, partner, internal, stranger *authztest.Issuer
	verifier                          *token.Verifier
	accept                            token.Accept
	asked                             atomic.Int64 // how often a key was asked for
}

// countingKeys counts in the world.
type countingKeys struct {
	token.Keys
	asked *atomic.Int64
}

func (k countingKeys) Key(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	k.asked.Add(1)
	return k.Keys.Key(ctx, kid, alg)
}

// newWorld makes a world; change, if not nil, changes how corp is configured.
func newWorld(t testing.TB, change func(corp *token.Issuer)) *world {
	t.Helper()
	w := &world{accept: token.Accept{Issuers: []string{"corp", "partner"}, Audiences: []string{resource, resource + "/"}}}
	w.corp = newIssuer(t, "ES256", "EdDSA")
	w.partner = newIssuer(t, "ES256")
	w.internal = newIssuer(t, "ES256")
	w.stranger = newIssuer(t, "ES256")
	config := token.Config{Now: now, Issuers: []token.Issuer{
		w.issuer(t, "corp", w.corp), w.issuer(t, "partner", w.partner), w.issuer(t, "internal", w.internal),
	}}
	if change != nil {
		change(&config.Issuers[0])
	}
	var err error
	if w.verifier, err = token.New(config); err != nil {
		t.Fatalf("New: %v", err)
	}
	return w
}

func newIssuer(t testing.TB, algorithms ...string) *authztest.Issuer {
	t.Helper()
	issuer, err := authztest.NewIssuer(authztest.IssuerConfig{Algorithms: algorithms, Audience: resource, Now: now})
	if err != nil {
		t.Fatalf("NewIssuer: %v", err)
	}
	t.Cleanup(func() { issuer.Close() })
	return issuer
}

func (w *world) issuer(t testing.TB, name string, issuer *authztest.Issuer) token.Issuer {
	t.Helper()
	source, err := jwks.New(jwks.Config{Issuer: issuer.URL(), Now: now})
	if err != nil {
		t.Fatalf("jwks.New: %v", err)
	}
	return token.Issuer{Name: name, Issuer: issuer.URL(), Keys: countingKeys{source, &w.asked}}
}

func (w *world) verify(t testing.TB, raw string) (token.Claims, *token.Error) {
	t.Helper()
	got, err := w.verifier.Verify(t.Context(), token.Credential{Raw: raw}, w.accept)
	if err == nil {
		return got, nil
	}
	var refused *token.Error
	if !errors.As(err, &refused) {
		t.Fatalf("Verify = %v, want an *Error", err)
	}
	if got.Kind != token.Nobody || got.Subject != "" {
		t.Errorf("Verify = %+v beside an error", got)
	}
	return got, refused
}

// accepted verifies a token that is good.
func (w *world) accepted(t testing.TB, raw string) token.Claims {
	t.Helper()
	got, err := w.verify(t, raw)
	if err != nil {
		t.Fatalf("Verify = %v, presented %q", err, err.Presented)
	}
	return got
}
