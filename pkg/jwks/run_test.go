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

	mu   sync.Mutex
	hold chan struct{} // not nil: answers wait for it to be closed
	down bool
	at   []time.Time // of the requests
}

func (w *wire) set(down bool, hold chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down, w.hold = down, hold
}

// seconds are those of the requests since start.
func (w *wire) seconds(start time.Time) (at []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.at {
		at = append(at, int(one.Sub(start).Seconds()))
	}
	return at
}

func (w *wire) requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.at)
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.at = append(w.at, time.Now())
	hold, down := w.hold, w.down
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
	return recorder.Result(), nil
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
		start := time.Now()
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

		if diff := cmp.Diff([]int{0, 1, 3, 7, 15, 31, 61, 91, 121}, w.seconds(start)); diff != "" {
			t.Errorf("seconds of the fetches (-want +got):\n%s", diff)
		}
	})
}

// Keys that are taken back are gone after one refresh, though nobody asked for
// another; the backoff begins anew at each failure.
func TestRunRefreshes(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w, source := startWire(t, issuer)
		defer run(t, source)()
		time.Sleep(500 * time.Millisecond)
		old := issuer.KeyID("")
		wantKey(t, source, issuer, "ES256")
		issuer.Rotate()
		issuer.Retire()

		w.set(true, nil)
		time.Sleep(10 * time.Minute)
		if _, err := source.Key(t.Context(), old, "ES256"); err != nil || !source.Ready() {
			t.Errorf("Key of the last good set while the issuer is down: %v", err)
		}
		w.set(false, nil)
		time.Sleep(time.Second)
		wantKey(t, source, issuer, "ES256")
		w.set(true, nil)
		time.Sleep(10*time.Minute + 3*time.Second)

		if diff := cmp.Diff([]int{0, 600, 601, 1201, 1202, 1204}, w.seconds(start)); diff != "" {
			t.Errorf("seconds of the fetches (-want +got):\n%s", diff)
		}
		if _, err := source.Key(t.Context(), old, "ES256"); err == nil {
			t.Error("Key of a key that was taken back succeeded")
		}
	})
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
