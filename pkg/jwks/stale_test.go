package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/jwks"
)

// The last good keys serve until they are too old; then nobody is let in with
// them, and nobody is sent to a login either. When the issuer is back, so are
// they.
func TestMaxStale(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		w := &wire{issuer: issuer}
		source := newSource(t, jwks.Config{
			Issuer: issuer.URL(), JWKSURI: issuer.JWKSURI(), Transport: w, MaxStale: time.Hour,
		})
		defer run(t, source)()
		synctest.Wait()
		good := source.Epoch()
		w.set(true, nil)
		time.Sleep(time.Hour)
		wantKey(t, source, issuer, "ES256")
		if got := source.Epoch(); !source.Ready() || got != good || good == 0 {
			t.Errorf("Ready() = %t, Epoch() = %d after an hour, want true, %d", source.Ready(), got, good)
		}
		time.Sleep(time.Nanosecond)
		for _, kid := range []string{issuer.KeyID(""), "", "nobody"} {
			for range 5 { // with the cool-down and without
				if _, err := source.Key(t.Context(), kid, "ES256"); reason(err) != jwks.IssuerUnavailable {
					t.Errorf("Key(%q) after more than an hour = %v, want %s", kid, err, jwks.IssuerUnavailable)
				}
			}
		}
		state := source.State()
		if source.Ready() || source.Epoch() != 0 || state.Keys != 0 || state.Failure == nil || state.Fetched.IsZero() {
			t.Errorf("Ready() = %t, Epoch() = %d, State() = %+v, want no keys, and since when", source.Ready(), source.Epoch(), state)
		}
		w.set(false, nil)
		time.Sleep(30 * time.Second)
		wantKey(t, source, issuer, "ES256")
		if source.Epoch() != good {
			t.Errorf("Epoch() = %d with the same keys again, want %d", source.Epoch(), good)
		}
	})
}

// While the issuer answers, no key is ever too old.
func TestMaxStaleIsShorterThanTheRefresh(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		w := &wire{issuer: issuer, edit: func(r *http.Response) { r.Header.Set("Cache-Control", "max-age=3600") }}
		source := newSource(t, jwks.Config{
			Issuer: issuer.URL(), JWKSURI: issuer.JWKSURI(), Transport: w, MaxStale: time.Minute,
		})
		defer run(t, source)()
		for range 600 {
			time.Sleep(time.Second)
			wantKey(t, source, issuer, "ES256")
		}
		w.wantAtMost(t, 30*time.Second, 30*time.Second)
	})
}

// A fetch that was under way when a request came may have been answered before
// the key was published: it can bring the key, but not show that there is none.
func TestOlderFetchShowsNothing(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	for _, spent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, source := startWire(t, issuer)
			wantKey(t, source, issuer, "ES256")
			if spent {
				source.Key(t.Context(), "nobody", "ES256")
			}
			w.takes = time.Second
			go source.Key(t.Context(), "random", "ES256") // begins a fetch
			time.Sleep(time.Millisecond)
			issuer.Rotate()
			_, err := source.Key(t.Context(), issuer.KeyID(""), "ES256")
			want := map[bool]string{false: "", true: jwks.KeyUnknownYet}[spent]
			if reason(err) != want {
				t.Errorf("Key of a key that was published during a fetch, cool-down spent %t: %v, want %q", spent, err, want)
			}
		})
	}
}

// crowd asks with random kids from 20 sides, each ten times a second.
func crowd(t *testing.T, source *jwks.Source) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				source.Key(ctx, fmt.Sprintf("random-%d-%d", i, n), "ES256")
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// Rotation under load with random kids: a key that was published one cool-down
// before its use never fails a good caller; one that is newer gets 503 with the
// time when to come again, and then it is there.
func TestRotationUnderAFlood(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		const coolDown = 10 * time.Second
		w, source := startWire(t, issuer)
		w.takes = 50 * time.Millisecond
		defer run(t, source)()
		defer crowd(t, source)()
		ask := func(kid string) error {
			ctx, cancel := context.WithTimeout(t.Context(), 75*time.Millisecond)
			defer cancel()
			_, err := source.Key(ctx, kid, "ES256")
			return err
		}
		time.Sleep(time.Minute)
		start, before := time.Now(), w.requests()
		for round := range 12 {
			old := issuer.KeyID("")
			issuer.Rotate()
			published, kid := time.Now(), issuer.KeyID("")
			wantSoon(t, ask(kid), kid, coolDown)
			for time.Since(published) < 3*coolDown {
				time.Sleep(coolDown/7 + time.Duration(round)*time.Millisecond)
				if err := ask(old); err != nil {
					t.Fatalf("round %d: Key of an old key = %v", round, err)
				}
				if err := ask(kid); err != nil && time.Since(published) > coolDown+w.takes {
					t.Fatalf("round %d: Key %v after it was published = %v", round, time.Since(published), err)
				}
			}
		}
		most := int(time.Since(start)/coolDown) + 4 // a burst, and what Run fetches
		most += int(time.Since(start) / (7 * time.Minute))
		if got := w.requests() - before; got > most {
			t.Errorf("%d fetches in %v, want at most %d", got, time.Since(start), most)
		}
	})
}

// wantSoon expects a key, or to be told when it will be there.
func wantSoon(t *testing.T, err error, kid string, coolDown time.Duration) {
	t.Helper()
	var e *jwks.Error
	if err == nil {
		return
	}
	if !errors.As(err, &e) || e.KeyReason() != jwks.KeyUnknownYet || e.RetryAfter() < time.Second || e.RetryAfter() > coolDown {
		t.Errorf("Key(%q) at once = %v, want the key, or %s within %v", kid, err, jwks.KeyUnknownYet, coolDown)
	}
}

// A drip sends a blank each second.
type drip struct{ ctx context.Context }

func (d drip) Read(into []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		into[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

// A body that never ends is given up after the time of a fetch; callers with
// known keys do not notice.
func TestSlowBody(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	synctest.Test(t, func(t *testing.T) {
		w, source := startWire(t, issuer)
		wantKey(t, source, issuer, "ES256")
		w.edit = func(r *http.Response) { r.Body = io.NopCloser(drip{r.Request.Context()}) }
		start := time.Now()
		outcome := make(chan error)
		go func() {
			_, err := source.Key(t.Context(), "new", "ES256")
			outcome <- err
		}()
		synctest.Wait()
		wantKey(t, source, issuer, "ES256")
		if err := <-outcome; reason(err) != jwks.IssuerUnavailable || time.Since(start) > 6*time.Second {
			t.Errorf("Key = %v after %v, want %s after 5 s", err, time.Since(start), jwks.IssuerUnavailable)
		}
		if got := source.State().Fetches[jwks.FetchNoAnswer]; got != 1 {
			t.Errorf("fetches without an answer: %d, want 1", got)
		}
	})
}
