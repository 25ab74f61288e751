package jwks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// A flight is one fetch; whoever needs its outcome waits for done.
type flight struct {
	done chan struct{}
	set  *set  // after done, nil on failure
	err  error // after done
}

// Run fetches the keys at once and then again and again until ctx is done.
// While there is a failure, or there are no keys, it tries again after 1 s, 2 s,
// 4 s and so on, at most 30 s. It is to be called once.
func (s *Source) Run(ctx context.Context) {
	backoff := firstBackoff
	for {
		wait := s.refresh
		if s.fetchInBackground(ctx) {
			backoff = firstBackoff
		} else {
			wait = min(backoff, s.refresh)
			backoff = min(2*backoff, lastBackoff)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

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

// refetch returns a set that is newer than seen, or the *Error that says why
// there is none. It waits no longer than ctx.
func (s *Source) refetch(ctx context.Context, seen *set) (*set, error) {
	if ctx.Err() != nil { // nobody is there to use what the fetch would cost
		return nil, s.unavailable(context.Cause(ctx))
	}
	s.mu.Lock()
	if now := s.current.Load(); now != seen {
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
	f := &flight{done: make(chan struct{})}
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
		s.fetched = s.now()
		s.current.Store(f.set)
	}
	s.flight = nil
	s.mu.Unlock()
	close(f.done)

	switch {
	case errors.Is(f.err, context.Canceled): // Run has ended
	case f.err != nil:
		s.log.Warn("fetching keys failed", "error", f.err, "keys_kept", before.keys)
	case f.set.keys == 0:
		s.log.Warn("the key set has no key that can verify a signature")
	case !maps.Equal(before.kids, f.set.kids):
		s.log.Info("keys changed", "keys", f.set.keys)
	}
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
