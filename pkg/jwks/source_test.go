package jwks_test

import (
	"context"
	"crypto"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/jwks"
)

// A clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newIssuer(t testing.TB, c authztest.IssuerConfig) *authztest.Issuer {
	t.Helper()
	issuer, err := authztest.NewIssuer(c)
	if err != nil {
		t.Fatalf("NewIssuer(%+v): %v", c, err)
	}
	t.Cleanup(func() { issuer.Close() })
	return issuer
}

func newSource(t testing.TB, c jwks.Config) *jwks.Source {
	t.Helper()
	source, err := jwks.New(c)
	if err != nil {
		t.Fatalf("New(%+v): %v", c, err)
	}
	return source
}

// reason is that of the error: "" for none.
func reason(err error) string {
	var e *jwks.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.KeyReason()
	}
	return "not an *Error: " + err.Error()
}

func equal(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// wantKey asks for a key of the issuer and expects the one it signs with.
func wantKey(t *testing.T, source *jwks.Source, issuer *authztest.Issuer, alg string) {
	t.Helper()
	kid := issuer.KeyID(alg)
	key, err := source.Key(t.Context(), kid, alg)
	if err != nil || !equal(key, issuer.PublicKey(alg)) {
		t.Errorf("Key(%q, %q) = %v, %v, want the issuer's key", kid, alg, key, err)
	}
}

func TestDiscovery(t *testing.T) {
	for _, path := range []string{"", "/", "/realms/main", "/realms/main/"} {
		for name, form := range map[string]authztest.DiscoveryForm{
			"RFC 8414": authztest.RFC8414, "OpenID insert": authztest.OpenIDInsert, "OpenID append": authztest.OpenIDAppend,
		} {
			t.Run(name+" "+path, func(t *testing.T) {
				issuer := newIssuer(t, authztest.IssuerConfig{Path: path, Discovery: []authztest.DiscoveryForm{form}})
				source := newSource(t, jwks.Config{Issuer: issuer.URL()})
				wantKey(t, source, issuer, "ES256")
			})
		}
	}
}

func TestDiscoveryOrder(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		http.NotFound(w, r)
	}))
	defer server.Close()
	source := newSource(t, jwks.Config{Issuer: server.URL + "/a/b"})
	if _, err := source.Key(t.Context(), "k", "ES256"); reason(err) != jwks.IssuerUnavailable {
		t.Errorf("Key = %v, want %s", err, jwks.IssuerUnavailable)
	}
	want := "/.well-known/oauth-authorization-server/a/b /.well-known/openid-configuration/a/b /a/b/.well-known/openid-configuration"
	if got := strings.Join(asked, " "); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

func TestConfiguredURISkipsDiscovery(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	source := newSource(t, jwks.Config{Issuer: "kubernetes/serviceaccount", JWKSURI: issuer.JWKSURI()})
	wantKey(t, source, issuer, "ES256")
	if got, want := issuer.Fetches(), (authztest.Fetches{Keys: 1}); got != want {
		t.Errorf("fetches %+v, want %+v", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name string
		c    jwks.Config
		want string
	}{
		{"no issuer", jwks.Config{}, "issuer is empty"},
		{"plain http", jwks.Config{Issuer: "http://login.example.com"}, "neither https nor http to a loopback host"},
		{"looks like loopback", jwks.Config{Issuer: "http://127.0.0.1.example.com"}, "neither https"},
		{"localhost as a label", jwks.Config{Issuer: "http://localhost.example.com"}, "neither https"},
		{"loopback as userinfo", jwks.Config{Issuer: "http://localhost@example.com"}, "userinfo"},
		{"ftp", jwks.Config{Issuer: "ftp://localhost/"}, "neither https"},
		{"no URL", jwks.Config{Issuer: "corp"}, "no host"},
		{"no host", jwks.Config{Issuer: "https:///realm"}, "no host"},
		{"port alone", jwks.Config{Issuer: "https://:443/"}, "no host"},
		{"query", jwks.Config{Issuer: "https://login.example.com/?tenant=a"}, "query"},
		{"fragment", jwks.Config{Issuer: "https://login.example.com/#a"}, "fragment"},
		{"jwks_uri over http", jwks.Config{Issuer: "https://a.example.com", JWKSURI: "http://a.example.com/keys"}, "jwks_uri"},
		{"2 KiB of jwks_uri", jwks.Config{Issuer: "i", JWKSURI: "https://a.example.com/" + strings.Repeat("a", 2048)}, "longer"},
		{"negative refresh", jwks.Config{Issuer: "https://a.example.com", Refresh: -1}, "negative"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source, err := jwks.New(test.c)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New(%+v) = %v, %v, want an error with %q", test.c, source, err, test.want)
			}
		})
	}
	for _, issuer := range []string{"https://login.example.com/", "http://localhost:8080", "http://127.8.9.1/x", "http://[::1]:80"} {
		if _, err := jwks.New(jwks.Config{Issuer: issuer}); err != nil {
			t.Errorf("New(Issuer: %q): %v", issuer, err)
		}
	}
}

// Each fault at the first fetch leaves no key and no readiness; after it the
// next request that may ask finds the keys.
func TestFaultAtStart(t *testing.T) {
	faults := map[string]authztest.Fault{
		"503": authztest.Down, "no answer": authztest.Dropped, "redirect": authztest.Redirects,
		"10 MB": authztest.Huge, "not JSON": authztest.NotJSON, "all malformed": authztest.AllMalformed,
		"no keys": authztest.NoKeys, "wrong issuer": authztest.WrongIssuer,
		"insecure jwks_uri": authztest.InsecureKeys, "no jwks_uri": authztest.WithoutKeyURI,
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			issuer := newIssuer(t, authztest.IssuerConfig{})
			issuer.Break(fault)
			source := newSource(t, jwks.Config{Issuer: issuer.URL()})
			key, err := source.Key(t.Context(), issuer.KeyID(""), "ES256")
			if key != nil || reason(err) != jwks.IssuerUnavailable {
				t.Fatalf("Key = %v, %v, want %s", key, err, jwks.IssuerUnavailable)
			}
			if source.Ready() {
				t.Error("Ready() = true without a key")
			}
			if state := source.State(); state.Keys != 0 || (state.Failure == nil) != (fault == authztest.NoKeys) {
				t.Errorf("State() = %+v", state)
			}
			issuer.Break(authztest.Healthy)
			wantKey(t, source, issuer, "ES256")
			if state := source.State(); !source.Ready() || state.Keys != 1 || state.Failure != nil || state.Fetched.IsZero() {
				t.Errorf("Ready() = %t, State() = %+v after recovery", source.Ready(), state)
			}
		})
	}
}

// Each fault later costs only those who ask for a kid that is not there.
func TestFaultLaterKeepsTheLastGoodKeys(t *testing.T) {
	faults := map[string]authztest.Fault{
		"503": authztest.Down, "no answer": authztest.Dropped, "redirect": authztest.Redirects,
		"10 MB": authztest.Huge, "not JSON": authztest.NotJSON, "all malformed": authztest.AllMalformed,
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			issuer := newIssuer(t, authztest.IssuerConfig{})
			source := newSource(t, jwks.Config{Issuer: issuer.URL()})
			wantKey(t, source, issuer, "ES256")
			issuer.Break(fault)
			if _, err := source.Key(t.Context(), "rotated", "ES256"); reason(err) != jwks.IssuerUnavailable {
				t.Errorf("Key of an unknown kid = %v, want %s", err, jwks.IssuerUnavailable)
			}
			wantKey(t, source, issuer, "ES256")
			if !source.Ready() {
				t.Error("Ready() = false with the last good keys")
			}
		})
	}
}

func TestEmptySetTakesKeysBack(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	source := newSource(t, jwks.Config{Issuer: issuer.URL()})
	wantKey(t, source, issuer, "ES256")
	issuer.Break(authztest.NoKeys)
	for _, kid := range []string{"rotated", issuer.KeyID("")} {
		if _, err := source.Key(t.Context(), kid, "ES256"); reason(err) != jwks.IssuerUnavailable {
			t.Errorf("Key(%q) = %v, want %s", kid, err, jwks.IssuerUnavailable)
		}
	}
	if source.Ready() {
		t.Error("Ready() = true after the issuer took all keys back")
	}
}

func TestRotation(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	source := newSource(t, jwks.Config{Issuer: issuer.URL()})
	wantKey(t, source, issuer, "ES256")
	old := issuer.KeyID("")
	issuer.Rotate()
	wantKey(t, source, issuer, "ES256")
	if _, err := source.Key(t.Context(), old, "ES256"); err != nil {
		t.Errorf("Key of a published old key: %v", err)
	}
	issuer.Rotate()
	issuer.Retire()
	wantKey(t, source, issuer, "ES256")
	if _, err := source.Key(t.Context(), old, "ES256"); err == nil {
		t.Error("Key of a retired key succeeded")
	}
}

// Two fetches of discovery and keys at start, then the key set alone: the
// metadata document is remembered.
func TestUnknownKidCostsOneRequest(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	source := newSource(t, jwks.Config{Issuer: issuer.URL()})
	for range 2 {
		if _, err := source.Key(t.Context(), "nobody", "ES256"); reason(err) != jwks.UnknownKey {
			t.Errorf("Key = %v, want %s", err, jwks.UnknownKey)
		}
	}
	if got, want := issuer.Fetches(), (authztest.Fetches{Discovery: 1, Keys: 2}); got != want {
		t.Errorf("fetches %+v, want %+v", got, want)
	}
}

// Invariant 12: a flood of unknown kids costs the issuer the burst and one
// request each cool-down, and costs good callers nothing.
func TestInvariant12FloodOfUnknownKids(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	clock := newClock()
	source := newSource(t, jwks.Config{Issuer: issuer.URL(), Now: clock.Now})
	wantKey(t, source, issuer, "ES256") // the first of three

	flood := func() map[string]int {
		answers := map[string]int{}
		for i := range 500 {
			_, err := source.Key(t.Context(), "random-"+string(rune('a'+i%26))+time.Duration(i).String(), "ES256")
			answers[reason(err)]++
			wantKey(t, source, issuer, "ES256")
		}
		return answers
	}
	steps := []struct {
		wait    time.Duration
		fetches int // since the start
	}{{0, 3}, {9 * time.Second, 3}, {time.Second, 4}, {time.Minute, 7}, {time.Hour, 10}}
	for _, step := range steps {
		clock.Advance(step.wait)
		before := issuer.Fetches().Keys
		answers := flood()
		if got := issuer.Fetches().Keys; got != step.fetches {
			t.Errorf("after %v: %d fetches, want %d", step.wait, got, step.fetches)
		}
		if fresh := step.fetches - before; answers[jwks.UnknownKey] != fresh || answers[jwks.KeyUnknownYet] != 500-fresh {
			t.Errorf("after %v: answers %v, want %d %s and the rest %s", step.wait, answers, fresh, jwks.UnknownKey, jwks.KeyUnknownYet)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	clock := newClock()
	source := newSource(t, jwks.Config{Issuer: issuer.URL(), Now: clock.Now})
	after := func() (string, time.Duration) {
		_, err := source.Key(t.Context(), "nobody", "ES256")
		var e *jwks.Error
		if !errors.As(err, &e) {
			t.Fatalf("Key = %v, want an *Error", err)
		}
		return e.KeyReason(), e.RetryAfter()
	}
	issuer.Break(authztest.Down)
	steps := []struct {
		advance time.Duration
		reason  string
		want    time.Duration
	}{
		{0, jwks.IssuerUnavailable, time.Second}, // two fetches left
		{0, jwks.IssuerUnavailable, time.Second},
		{0, jwks.IssuerUnavailable, 10 * time.Second},                      // that was the last one
		{3500 * time.Millisecond, jwks.IssuerUnavailable, 7 * time.Second}, // rounded up
		{6 * time.Second, jwks.IssuerUnavailable, time.Second},             // half a second
	}
	for i, step := range steps {
		clock.Advance(step.advance)
		if reason, got := after(); reason != step.reason || got != step.want {
			t.Errorf("step %d: %s, retry after %v, want %s after %v", i, reason, got, step.reason, step.want)
		}
	}
}

// A caller with a kid that is there does not wait for anything: not even a
// context that is done keeps it from its key.
func TestKnownKidNeverWaits(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	source := newSource(t, jwks.Config{Issuer: issuer.URL()})
	wantKey(t, source, issuer, "ES256")
	issuer.Break(authztest.Slow)

	waiting, giveUp := context.WithCancel(t.Context())
	outcome := make(chan error)
	go func() {
		_, err := source.Key(waiting, "nobody", "ES256")
		outcome <- err
	}()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if _, err := source.Key(done, issuer.KeyID(""), "ES256"); err != nil {
			t.Fatalf("Key of a known kid while a fetch hangs: %v", err)
		}
	}
	giveUp()
	if err := <-outcome; reason(err) != jwks.IssuerUnavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("Key after its context is done = %v, want %s", err, jwks.IssuerUnavailable)
	}
}
