package jwks_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/jwks"
)

// A wire answers without a network, so that time can be that of the test.
type wire struct {
	issuer *authztest.Issuer

	mu    sync.Mutex
	hold  chan struct{} // not nil: answers wait for it to be closed
	down  bool
	at    []time.Time   // of the requests
	takes time.Duration // from what the issuer says until it is here
	edit  func(*http.Response)
}

func (w *wire) set(down bool, hold chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down, w.hold = down, hold
}

func (w *wire) requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.at)
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.at = append(w.at, time.Now())
	hold, down, takes, edit := w.hold, w.down, w.takes, w.edit
	w.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if down {
		return nil, errors.New("connection refused")
	}
	recorder := httptest.NewRecorder()
	w.issuer.ServeHTTP(recorder, r)
	time.Sleep(takes)
	response := recorder.Result()
	response.Request = r
	if edit != nil {
		edit(response)
	}
	return response, nil
}

// wantAtMost compares the times between the requests of a wire with the longest
// that they may be; each is shortened by up to a quarter.
func (w *wire) wantAtMost(t *testing.T, longest ...time.Duration) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var between []time.Duration
	for i := range w.at[1:] {
		between = append(between, w.at[i+1].Sub(w.at[i]))
	}
	if len(between) < len(longest) {
		t.Fatalf("times between the requests are %v, want %d", between, len(longest))
	}
	for i, most := range longest {
		if between[i] > most || between[i] < most*3/4 {
			t.Errorf("times between the requests are %v, want at most %v and three quarters at least", between, longest)
			return
		}
	}
}

// startWire returns a source that reads from the issuer over a wire, without
// discovery. It is called inside a bubble; the issuer is made outside.
func startWire(t *testing.T, issuer *authztest.Issuer) (*wire, *jwks.Source) {
	w := &wire{issuer: issuer}
	return w, newSource(t, jwks.Config{Issuer: issuer.URL(), JWKSURI: issuer.JWKSURI(), Transport: w})
}

func run(t *testing.T, source *jwks.Source) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		source.Run(ctx)
		close(done)
	}()
	return func() {
		cancel()
		<-done
	}
}

func TestRunRecoversByItself(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		w, source := startWire(t, issuer)
		w.set(true, nil)
		defer run(t, source)()
		time.Sleep(95 * time.Second)
		if source.Ready() {
			t.Error("Ready() = true while the issuer is down")
		}
		w.set(false, nil)
		time.Sleep(30 * time.Second)
		if !source.Ready() {
			t.Error("Ready() = false 30 s after the issuer came up")
		}
		wantKey(t, source, issuer, "ES256")
		const s = time.Second
		w.wantAtMost(t, s, 2*s, 4*s, 8*s, 16*s, 30*s, 30*s)
	})
}

// Keys that are taken back are gone after one refresh, though nobody asked for
// another; the backoff begins anew at each failure.
func TestRunRefreshes(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		w, source := startWire(t, issuer)
		defer run(t, source)()
		synctest.Wait()
		old := issuer.KeyID("")
		wantKey(t, source, issuer, "ES256")
		issuer.Rotate()
		issuer.Retire()

		for range 2 {
			w.set(true, nil)
			for n := w.requests(); w.requests() == n; {
				time.Sleep(100 * time.Millisecond)
			}
			if !source.Ready() {
				t.Error("Ready() = false with the last good keys while the issuer is down")
			}
			w.set(false, nil)
			time.Sleep(time.Second)
			wantKey(t, source, issuer, "ES256")
		}
		w.wantAtMost(t, 10*time.Minute, time.Second, 10*time.Minute, time.Second)
		if _, err := source.Key(t.Context(), old, "ES256"); err == nil {
			t.Error("Key of a key that was taken back succeeded")
		}
	})
}

// Two processes that start at once do not ask at once for ever.
func TestRunIsShortenedAtRandom(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for range 20 {
			w, source := startWire(t, issuer)
			stop := run(t, source)
			time.Sleep(10*time.Minute + time.Second)
			stop()
			seen[w.at[1].Sub(w.at[0])] = true
		}
		if len(seen) < 10 {
			t.Errorf("20 sources waited only %d different times", len(seen))
		}
	})
}

// The issuer says how long its keys are good, within bounds.
func TestCacheControl(t *testing.T) {
	const standard = 10 * time.Minute
	tests := []struct {
		control, age string
		want         time.Duration
	}{
		{"max-age=300", "", 5 * time.Minute},
		{`public, MAX-AGE="300", must-revalidate`, "", 5 * time.Minute},
		{"max-age=300", "100", 200 * time.Second},
		{"max-age=300", "yesterday", 5 * time.Minute},
		{"max-age=300", "1000", time.Minute},
		{"max-age=900, max-age=300", "", 5 * time.Minute},
		{"max-age=0", "", time.Minute},
		{"max-age=-5", "", time.Minute},
		{"max-age", "", time.Minute},
		{"max-age=86400", "", time.Hour},
		{"max-age=99999999999999999999999999", "", time.Hour},
		{"no-store", "", standard},
		{"s-maxage=300", "", standard},
		{"x-max-age=300", "", standard},
		{"", "300", standard},
	}
	issuer := newIssuer(t, authztest.IssuerConfig{})
	for _, tt := range tests {
		t.Run(tt.control+" "+tt.age, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, source := startWire(t, issuer)
				w.edit = func(r *http.Response) {
					r.Header.Set("Cache-Control", tt.control)
					r.Header.Set("Age", tt.age)
				}
				defer run(t, source)()
				time.Sleep(tt.want + time.Second)
				w.wantAtMost(t, tt.want)
			})
		})
	}
}

// Fetches in the background are free: the burst is there for requests.
func TestBackgroundDoesNotSpendTheCoolDown(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		w, source := startWire(t, issuer)
		defer run(t, source)()
		synctest.Wait()
		var reasons []string
		for range 4 {
			_, err := source.Key(t.Context(), "nobody", "ES256")
			reasons = append(reasons, reason(err))
		}
		want := []string{jwks.UnknownKey, jwks.UnknownKey, jwks.UnknownKey, jwks.KeyUnknownYet}
		if diff := cmp.Diff(want, reasons); diff != "" || w.requests() != 4 {
			t.Errorf("%d fetches, reasons (-want +got):\n%s", w.requests(), diff)
		}
	})
}

// Everyone who needs the fetch that is under way waits for that one, and it
// spends the cool-down once.
func TestOneFetchIsShared(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		w, source := startWire(t, issuer)
		hold := make(chan struct{})
		w.set(false, hold)
		outcomes := make(chan error, 100)
		impatient, giveUp := context.WithCancel(t.Context())
		for i := range cap(outcomes) {
			ctx := t.Context()
			if i == 0 {
				ctx = impatient
			}
			go func() {
				_, err := source.Key(ctx, issuer.KeyID(""), "ES256")
				outcomes <- err
			}()
			synctest.Wait()
		}
		giveUp() // the one who began the fetch: the others still get it
		if err := <-outcomes; reason(err) != jwks.IssuerUnavailable {
			t.Errorf("Key after its context is done = %v, want %s", err, jwks.IssuerUnavailable)
		}
		close(hold)
		for range cap(outcomes) - 1 {
			if err := <-outcomes; err != nil {
				t.Errorf("Key after a shared fetch = %v", err)
			}
		}
		if n := w.requests(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}

// A request whose caller has gone costs the issuer nothing.
func TestNobodyWaitsNothingIsFetched(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		w, source := startWire(t, issuer)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := source.Key(gone, "nobody", "ES256"); reason(err) != jwks.IssuerUnavailable || !errors.Is(err, context.Canceled) {
			t.Errorf("Key with a context that is done = %v, want %s", err, jwks.IssuerUnavailable)
		}
		synctest.Wait()
		if n := w.requests(); n != 0 {
			t.Errorf("%d fetches, want none", n)
		}
	})
}

func TestSlowIssuerIsGivenUpAfterFiveSeconds(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w, source := startWire(t, issuer)
		w.set(false, make(chan struct{}))
		_, err := source.Key(t.Context(), "k", "ES256")
		if took := time.Since(start); reason(err) != jwks.IssuerUnavailable || took != 5*time.Second {
			t.Errorf("Key = %v after %v, want %s after 5 s", err, took, jwks.IssuerUnavailable)
		}
	})
}

func TestLogNamesWhatWasSkipped(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	issuer.Break(authztest.MalformedKey)
	var log bytes.Buffer
	source := newSource(t, jwks.Config{Issuer: issuer.URL(), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	wantKey(t, source, issuer, "ES256")
	if !strings.Contains(log.String(), "key skipped") || !strings.Contains(log.String(), "kid=malformed") {
		t.Errorf("log %q, want a line about the malformed key", log.String())
	}
	// The set has that kid: another fetch would not make it a key.
	if _, err := source.Key(t.Context(), "malformed", "ES256"); reason(err) != jwks.UnknownKey {
		t.Errorf("Key of a malformed key = %v, want %s", err, jwks.UnknownKey)
	}
	if n := issuer.Fetches().Keys; n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}
