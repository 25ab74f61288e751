package token_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// tellingKeys are keys that tell when they change, and count who asks.
type tellingKeys struct {
	key   atomic.Pointer[crypto.PublicKey]
	epoch atomic.Uint64
	asked atomic.Int64
	hold  chan struct{} // nil, or what Key waits for
}

func (k *tellingKeys) Key(ctx context.Context, _, _ string) (crypto.PublicKey, error) {
	k.asked.Add(1)
	if k.hold != nil {
		select {
		case <-k.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return *k.key.Load(), nil
}

func (k *tellingKeys) Epoch() uint64 { return k.epoch.Load() }

// set puts key in the place of what was there.
func (k *tellingKeys) set(key crypto.PublicKey) {
	k.key.Store(&key)
	k.epoch.Add(1)
}

// A memory is a verifier that remembers, with a clock that is set by hand.
type memory struct {
	login    *authztest.Issuer
	keys     *tellingKeys
	clock    atomic.Int64 // nanoseconds since start
	verifier *token.Verifier
	accept   token.Accept
}

func newMemory(t testing.TB, bytes int) *memory {
	t.Helper()
	m := &memory{
		login: newIssuer(t, "ES256"), keys: &tellingKeys{},
		accept: token.Accept{Issuers: []string{"corp"}, Audiences: []string{resource}},
	}
	m.keys.set(m.login.PublicKey(""))
	var err error
	m.verifier, err = token.New(token.Config{
		Issuers: []token.Issuer{
			{Name: "corp", Issuer: m.login.URL(), GroupsClaims: []string{"groups"}, Keys: m.keys},
			{Name: "partner", Issuer: "https://partner.example.com", Keys: m.keys},
		},
		Now:        func() time.Time { return start.Add(time.Duration(m.clock.Load())) },
		CacheBytes: bytes,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// verify returns the reason, "" for claims, and how often a key was asked for.
func (m *memory) verify(t testing.TB, raw string, accept token.Accept) (reason string, asked int64) {
	t.Helper()
	before := m.keys.asked.Load()
	_, err := m.verifier.Verify(t.Context(), token.Credential{Raw: raw}, accept)
	var refused *token.Error
	if errors.As(err, &refused) {
		reason = refused.Reason
	} else if err != nil {
		t.Fatalf("Verify = %v, want an *Error", err)
	}
	return reason, m.keys.asked.Load() - before
}

// A moment is a point of a test, and what a verification does there.
type moment struct {
	at     time.Duration // since start
	reason string
	asked  int64
}

func (m *memory) play(t *testing.T, name, raw string, moments []moment) {
	t.Helper()
	for _, want := range moments {
		m.clock.Store(int64(want.at))
		if reason, asked := m.verify(t, raw, m.accept); reason != want.reason || asked != want.asked {
			t.Errorf("%s, after %v: reason %q, asked for the key %d times, want %q and %d", name, want.at, reason, asked, want.reason, want.asked)
		}
	}
}

// What was verified is believed for five minutes and to its expiry, and no use
// of it extends that. Time is checked with every use.
func TestRememberedFor(t *testing.T) {
	in := func(d time.Duration) int64 { return start.Add(d).Unix() }
	tests := []struct {
		name    string
		claims  claims
		moments []moment
	}{
		{"long", claims{"exp": in(time.Hour)}, []moment{
			{0, "", 1}, {time.Minute, "", 0}, {5*time.Minute - 1, "", 0}, {5 * time.Minute, "", 1}, {6 * time.Minute, "", 0}, {10 * time.Minute, "", 1},
		}},
		{"short", claims{"exp": in(time.Minute)}, []moment{
			{0, "", 1}, {time.Minute - 1, "", 0},
			{time.Minute, "", 1}, {time.Minute + 1, "", 1}, // within the leeway it is verified each time
			{90 * time.Second, "expired", 0},
		}},
		{"not yet valid when the clock goes back", claims{"exp": in(time.Hour), "nbf": in(0)}, []moment{
			{0, "", 1}, {0, "", 0}, {-time.Second, "", 1}, {-31 * time.Second, "not_yet_valid", 0},
		}},
		{"valid by the leeway", claims{"exp": in(time.Hour), "nbf": in(20 * time.Second)}, []moment{{0, "", 1}, {1, "", 0}, {-20 * time.Second, "not_yet_valid", 0}}},
	}
	for _, tt := range tests {
		m := newMemory(t, 0)
		m.play(t, tt.name, m.login.Mint(tt.claims), tt.moments)
	}
}

// A token that one server takes is not taken by another for it.
func TestRememberedForOneServer(t *testing.T) {
	m := newMemory(t, 0)
	raw := m.login.Mint(nil)
	acting := m.login.Mint(claims{"act": claims{"sub": "bot", "iss": "https://partner.example.com"}})
	both := token.Accept{Issuers: []string{"corp", "partner"}, Audiences: []string{resource}}
	for _, remembered := range []string{raw, acting} {
		for _, asked := range []int64{1, 0} {
			if reason, n := m.verify(t, remembered, both); reason != "" || n != asked {
				t.Fatalf("Verify: %q, asked %d times, want none and %d", reason, n, asked)
			}
		}
	}
	tests := []struct {
		name, raw string
		accept    token.Accept
		want      string
	}{
		{"audience", raw, token.Accept{Issuers: []string{"corp"}, Audiences: []string{"https://other.example.com"}}, "audience_mismatch"},
		{"no audience", raw, token.Accept{Issuers: []string{"corp"}}, "audience_mismatch"},
		{"issuer", raw, token.Accept{Issuers: []string{"partner"}, Audiences: []string{resource}}, "issuer_not_for_server"},
		{"no issuer", raw, token.Accept{Audiences: []string{resource}}, "issuer_not_for_server"},
		{"issuer of the actor", acting, m.accept, "unknown_issuer"},
	}
	for _, tt := range tests {
		if reason, asked := m.verify(t, tt.raw, tt.accept); reason != tt.want || asked != 0 {
			t.Errorf("%s: %q, asked %d times, want %s and 0", tt.name, reason, asked, tt.want)
		}
	}
	if reason, asked := m.verify(t, raw, both); reason != "" || asked != 0 {
		t.Errorf("afterwards: %q, asked %d times, want a hit", reason, asked)
	}
}

// Nothing verified outlives a change of the keys, be it good or bad.
func TestKeysChange(t *testing.T) {
	m := newMemory(t, 0)
	stranger := newIssuer(t, "ES256")
	raw := m.login.Mint(nil)
	good := func(reason string, asked int64) {
		t.Helper()
		m.play(t, "keys", raw, []moment{{0, reason, asked}, {0, reason, 0}})
	}
	good("", 1)
	m.keys.set(stranger.PublicKey(""))
	good("bad_signature", 1)
	m.keys.set(m.login.PublicKey(""))
	good("", 1)
	m.keys.epoch.Store(0) // no keys: nothing is kept under that name
	m.play(t, "no epoch", raw, []moment{{0, "", 1}, {0, "", 1}})
}

// Bad signatures are remembered for ten seconds, and what is refused without a
// signature still is refused for what it is.
func TestFailuresAreRemembered(t *testing.T) {
	m := newMemory(t, 0)
	forged := m.login.Mint(nil, authztest.Forged())
	m.play(t, "forged", forged, []moment{
		{0, "bad_signature", 1}, {9 * time.Second, "bad_signature", 0}, {10 * time.Second, "bad_signature", 1}, {11 * time.Second, "bad_signature", 0},
	})
	if reason, _ := m.verify(t, forged, token.Accept{Issuers: []string{"partner"}}); reason != "issuer_not_for_server" {
		t.Errorf("at another server: %q, want issuer_not_for_server", reason)
	}
	m.play(t, "good", m.login.Mint(nil), []moment{{11 * time.Second, "", 1}})
}

// A hundred requests with one new token cost one verification; one that cannot
// wait is answered, and one that gives up takes nobody with it.
func TestOneVerificationForAll(t *testing.T) {
	m := newMemory(t, 0)
	m.keys.hold = make(chan struct{})
	raw := m.login.Mint(nil)
	verify := func(ctx context.Context) error {
		_, err := m.verifier.Verify(ctx, token.Credential{Raw: raw}, m.accept)
		return err
	}
	leader, giveUp := context.WithCancel(t.Context())
	led := make(chan error, 1)
	go func() { led <- verify(leader) }()
	for m.keys.asked.Load() == 0 {
		if leader.Err() != nil {
			t.Fatal("the first one ended")
		}
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var refused *token.Error
	if err := verify(late); !errors.As(err, &refused) || refused.Reason != token.Deadline || refused.Fault != token.Ours || refused.RetryAfter == 0 {
		t.Errorf("who cannot wait: %v, want %s, ours, with a time", err, token.Deadline)
	}
	var others sync.WaitGroup
	for range 100 {
		others.Go(func() {
			if err := verify(t.Context()); err != nil {
				t.Errorf("who waits: %v, want nil", err)
			}
		})
	}
	giveUp()
	if err := <-led; err == nil {
		t.Error("who gave up was answered")
	}
	close(m.keys.hold)
	others.Wait()
	if n := m.keys.asked.Load(); n != 2 {
		t.Errorf("asked for the key %d times, want 2: by who gave up and by one of the others", n)
	}
}

// The memory is bounded by bytes, whatever the tokens hold.
func TestMemoryIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		extra claims
		most  int64 // that fit into the bytes
	}{
		{"small", nil, 90},
		{"large", claims{"groups": strings.Split(strings.Repeat("/a/b/c ", 500), " ")}, 15},
		{"many texts", claims{"x": strings.Split(strings.Repeat("a", 1000), "")}, 10},
	} {
		m := newMemory(t, 256<<10)
		var all []string
		for n := range 200 {
			c := claims{"jti": fmt.Sprint(n), "exp": start.Add(time.Hour).Unix()}
			for name, value := range tt.extra {
				c[name] = value
			}
			all = append(all, m.login.Mint(c))
			m.verify(t, all[n], m.accept)
		}
		kept := int64(0)
		for _, raw := range all {
			_, asked := m.verify(t, raw, m.accept)
			kept += 1 - asked
		}
		if kept > tt.most {
			t.Errorf("%s: %d tokens are remembered, want at most %d", tt.name, kept, tt.most)
		}
	}
}

// A hit allocates nothing.
func TestHitAllocatesNothing(t *testing.T) {
	m := newMemory(t, 0)
	raw, ctx := m.login.Mint(claims{"groups": []string{"/eng/platform"}}), t.Context()
	n := testing.AllocsPerRun(100, func() {
		if _, err := m.verifier.Verify(ctx, token.Credential{Raw: raw}, m.accept); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("a hit makes %v allocations, want none", n)
	}
}

// What one request appends to its claims is not in those of another.
func TestClaimsAreNotShared(t *testing.T) {
	m := newMemory(t, 0)
	raw := m.login.Mint(claims{"groups": []string{"a", "b", "c"}, "scope": "x y z"})
	for range 3 {
		who, err := m.verifier.Verify(t.Context(), token.Credential{Raw: raw}, m.accept)
		if err != nil {
			t.Fatal(err)
		}
		if len(who.Groups) != cap(who.Groups) || len(who.Scopes) != cap(who.Scopes) {
			t.Errorf("room behind groups (%d) or scopes (%d)", cap(who.Groups)-len(who.Groups), cap(who.Scopes)-len(who.Scopes))
		}
	}
}

// Without a way to tell when keys change, nothing is remembered.
func TestKeysThatDoNotTell(t *testing.T) {
	w := newWorld(t, func(corp *token.Issuer) {
		corp.Keys = token.Keys(corp.Keys)
	})
	raw := w.corp.Mint(nil)
	for want := range int64(3) {
		w.accepted(t, raw)
		if got := w.asked.Load(); got != want+1 {
			t.Errorf("asked for the key %d times, want %d", got, want+1)
		}
	}
}

func TestCacheBytesNegative(t *testing.T) {
	keys := &tellingKeys{}
	if _, err := token.New(token.Config{CacheBytes: -1, Issuers: []token.Issuer{{Name: "a", Issuer: "https://a.example.com", Keys: keys}}}); err == nil {
		t.Error("New with -1 bytes = nil, want an error")
	}
}

// Whoever waits for the verification of a request that gives up has the rest of
// its own time for one.
func TestVerificationThatIsGivenUp(t *testing.T) {
	m := newMemory(t, 0)
	raw := m.login.Mint(nil)
	synctest.Test(t, func(t *testing.T) {
		m.keys.hold = make(chan struct{})
		ctx, giveUp := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		verify := func(ctx context.Context) {
			_, err := m.verifier.Verify(ctx, token.Credential{Raw: raw}, m.accept)
			errs <- err
		}
		go verify(ctx)
		synctest.Wait() // it asks for the key
		go verify(t.Context())
		synctest.Wait() // it waits for the first
		giveUp()
		if err := <-errs; err == nil {
			t.Error("Verify = nil for the request that gave up")
		}
		close(m.keys.hold)
		if err := <-errs; err != nil {
			t.Errorf("Verify = %v for the one that waited, want nil", err)
		}
	})
}
