package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"
)

// The results of a fetch, as State counts them.
const (
	FetchOK        = "ok"         // keys came
	FetchEmpty     = "empty"      // a good key set without a key that verifies
	FetchNoAnswer  = "no_answer"  // no connection, or no whole answer in time
	FetchBadAnswer = "bad_answer" // another status than 200, or no document by the rules
)

// A flight is one fetch; whoever needs its outcome waits for done.
type flight struct {
	number uint64 // in the order of beginning, from 1
	done   chan struct{}
	set    *set  // after done, nil on failure
	err    error // after done
}

// Run fetches the keys at once and then again and again until ctx is done. A
// good set is fetched again when the max-age that came with it ends, which
// counts as 1 minute at least and 1 hour at most, or after Config.Refresh if
// none came; in any case twice in Config.MaxStale. While there is a failure, or
// there are no keys, it tries again after 1 s, 2 s, 4 s and so on, at most 30 s.
// Each of these times is shortened by up to a quarter at random, so that many
// processes do not ask at once. Run is to be called once.
func (s *Source) Run(ctx context.Context) {
	backoff := firstBackoff
	for {
		good := s.fetchInBackground(ctx)
		wait := s.untilRefresh()
		if good {
			backoff = firstBackoff
		} else {
			wait = min(backoff, wait)
			backoff = min(2*backoff, lastBackoff)
		}
		timer := time.NewTimer(shortened(wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// untilRefresh is how long the current set needs no other one.
func (s *Source) untilRefresh() time.Duration {
	wait := s.refresh
	if fresh := s.current.Load().fresh; fresh > 0 {
		wait = fresh
	}
	return min(wait, s.maxStale/2)
}

// shortened takes up to a quarter from d, at random.
func shortened(d time.Duration) time.Duration { return d - rand.N(d/4+1) }

// fetchInBackground fetches, or waits for the fetch under way, and tells
// whether there are fresh keys now. It does not count for the cool-down.
func (s *Source) fetchInBackground(ctx context.Context) bool {
	s.mu.Lock()
	f := s.flight
	if f == nil {
		f = s.begin(ctx, true)
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.err == nil && f.set.keys > 0
	case <-ctx.Done():
		return false
	}
}

// await returns the key from a set that was fetched after the call. What a
// fetch that was under way brings counts only if the kid is in it: the key may
// have been published just after the issuer answered. It waits no longer than
// ctx.
func (s *Source) await(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	s.mu.Lock()
	arrived := s.flights
	s.mu.Unlock()
	seen := s.usable()
	key, err := seen.key(ctx, kid, alg)
	for errors.Is(err, errNotInSet) {
		switch {
		case seen.flight <= arrived:
		case seen.keys == 0:
			return nil, s.unavailable(errors.New("the key set has no keys"))
		default:
			return nil, &Error{reason: UnknownKey, err: err}
		}
		if seen, err = s.refetch(ctx, seen); err != nil {
			return nil, err
		}
		key, err = seen.key(ctx, kid, alg)
	}
	return key, err
}

// refetch returns another set than seen, or the *Error that says why there is
// none. It waits no longer than ctx.
func (s *Source) refetch(ctx context.Context, seen *set) (*set, error) {
	if ctx.Err() != nil { // nobody is there to use what the fetch would cost
		return nil, s.unavailable(context.Cause(ctx))
	}
	s.mu.Lock()
	if now := s.usable(); now != seen {
		s.mu.Unlock()
		return now, nil
	}
	f := s.flight
	if f == nil {
		if !s.cooldown.AllowN(s.now(), 1) {
			s.mu.Unlock()
			return nil, s.coolingDown(seen)
		}
		// The fetch serves all who wait for it: it must outlive this request.
		f = s.begin(context.WithoutCancel(ctx), false)
	}
	s.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, s.unavailable(fmt.Errorf("waiting for keys: %w", context.Cause(ctx)))
	}
	if f.err != nil {
		return nil, s.unavailable(f.err)
	}
	return f.set, nil
}

// begin starts a fetch. The caller holds s.mu, and there is no fetch under way.
func (s *Source) begin(ctx context.Context, rediscover bool) *flight {
	s.flights++
	f := &flight{number: s.flights, done: make(chan struct{})}
	s.flight = f
	go func() {
		f.set, f.err = s.fetch(ctx, rediscover)
		s.land(f)
	}()
	return f
}

// land makes the outcome of f known.
func (s *Source) land(f *flight) {
	s.mu.Lock()
	before := s.current.Load()
	s.failure = f.err
	if f.err == nil {
		f.set.flight, f.set.fetched = f.number, s.now()
		s.current.Store(f.set)
	}
	if !errors.Is(f.err, context.Canceled) {
		s.fetches[f.result()]++
	}
	s.flight = nil
	s.mu.Unlock()
	close(f.done)

	switch {
	case errors.Is(f.err, context.Canceled): // Run has ended
	case f.err != nil:
		s.log.Warn("fetching keys failed", "error", f.err, "keys_kept", s.usable().keys)
	case f.set.keys == 0:
		s.log.Warn("the key set has no key that can verify a signature")
	case !maps.Equal(before.kids, f.set.kids):
		s.log.Info("keys changed", "keys", f.set.keys)
	}
}

// result names the outcome of a flight that has ended.
func (f *flight) result() string {
	switch {
	case errors.Is(f.err, errNoAnswer):
		return FetchNoAnswer
	case f.err != nil:
		return FetchBadAnswer
	case f.set.keys == 0:
		return FetchEmpty
	}
	return FetchOK
}

func (s *Source) unavailable(cause error) *Error {
	return &Error{reason: IssuerUnavailable, after: s.untilAllowed(), err: cause}
}

func (s *Source) coolingDown(seen *set) *Error {
	reason := KeyUnknownYet
	if seen.keys == 0 {
		reason = IssuerUnavailable
	}
	return &Error{reason: reason, after: s.untilAllowed(), err: fmt.Errorf(
		"the issuer is asked at most %d times at once and then every %v", burst, coolDown)}
}

// untilAllowed is the time until the cool-down allows a fetch: whole seconds,
// at least one.
func (s *Source) untilAllowed() time.Duration {
	missing := 1 - s.cooldown.TokensAt(s.now())
	wait := time.Duration(missing * float64(coolDown))
	whole := wait.Truncate(time.Second)
	if whole < wait {
		whole += time.Second
	}
	return max(whole, time.Second)
}
