package token

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

const (
	// inactiveFor bounds how long it is remembered that a token is not active;
	// failedFor of cache.go is the same for signatures.
	inactiveFor = 10 * time.Second
	// retryIn is how long it is remembered that there was no answer.
	retryIn = time.Second

	// What does not turn out to be an active token costs an issuer askBurst
	// requests at once, then askRate in a second.
	askBurst = 50
	askRate  = 10

	answersBytes = 16 << 20 // of answers about active tokens, about
)

// An introspector asks one issuer about tokens, and remembers the answers. It
// is safe for concurrent use.
type introspector struct {
	Introspection
	issuer   *Issuer // reads the answers
	client   asker
	now      func() time.Time
	active   *otter.Cache[tokenID, *answer] // also a while after they were fresh
	inactive *otter.Cache[tokenID, *answer]

	mu      sync.Mutex
	flights map[tokenID]*asking
	bucket  bucket
}

// An answer is what an issuer says about a token, or why it said nothing: then
// err is set.
type answer struct {
	active       bool
	payload      strictjson.Value // of an active token
	err          *Error           // of Fault Ours
	since, until time.Time
	bytes        uint32 // of memory, about
	lapsed       bool   // active, though exp has passed: not to be kept
}

func (a *answer) fresh(now time.Time) bool { return !now.Before(a.since) && now.Before(a.until) }

// An asking is one request; whoever has the same token waits for done.
type asking struct {
	done   chan struct{}
	answer *answer // after done
}

func newIntrospector(issuer Issuer, now func() time.Time) (*introspector, error) {
	i := &introspector{
		Introspection: *issuer.Introspection, issuer: issuer.asAnswered(), now: now,
		flights: make(map[tokenID]*asking), bucket: bucket{level: askBurst},
	}
	err := i.checked()
	if err != nil {
		return nil, err
	}
	if i.client, err = newAsker(i.Transport, i.CA); err != nil {
		return nil, err
	}
	if i.active, err = otter.New(&otter.Options[tokenID, *answer]{
		MaximumWeight: answersBytes,
		Weigher:       func(_ tokenID, a *answer) uint32 { return a.bytes },
	}); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if i.inactive, err = otter.New(&otter.Options[tokenID, *answer]{MaximumSize: maxFailures}); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return i, nil
}

// ask returns what the issuer says about raw, now or a moment ago. It waits for
// the answer, but leaves a part of the time of ctx in which the caller can be
// told that there was none.
func (i *introspector) ask(ctx context.Context, id tokenID, raw string) *answer {
	f, known := i.recall(id)
	if known != nil {
		return known
	}
	if f == nil {
		if f = i.begin(ctx, id, raw); f == nil {
			return &answer{err: unavailable(errors.New("asked too often about tokens that are not active"))}
		}
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/10))
		defer cancel()
	}
	select {
	case <-f.done:
		return f.answer
	case <-ctx.Done():
		return &answer{err: unavailable(fmt.Errorf("waiting for %s: %w", i.Endpoint, context.Cause(ctx)))}
	}
}

// recall returns an answer that is still good, or the request that is about it.
func (i *introspector) recall(id tokenID) (*asking, *answer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	for _, cache := range []*otter.Cache[tokenID, *answer]{i.active, i.inactive} {
		if a, ok := cache.GetIfPresent(id); ok && a.fresh(now) {
			return nil, a
		}
	}
	return i.flights[id], nil
}

// begin makes the request, or finds one that was made since; nil if the issuer
// would be asked too often. A token that was active the last time is not
// counted: a flood of others takes nothing from whoever is known. Nor is the
// request bound to the caller: its answer is for whoever comes next.
func (i *introspector) begin(ctx context.Context, id tokenID, raw string) *asking {
	_, wasActive := i.active.GetIfPresent(id)
	i.mu.Lock()
	defer i.mu.Unlock()
	if f := i.flights[id]; f != nil {
		return f
	}
	if !wasActive && !i.bucket.take(i.now()) {
		return nil
	}
	f := &asking{done: make(chan struct{})}
	i.flights[id] = f
	ctx = context.WithoutCancel(ctx)
	go func() {
		f.answer = i.answerFor(ctx, raw)
		i.land(id, f, !wasActive)
	}()
	return f
}

// land keeps an answer, and hands it to those who wait. One that was worth its
// cost gives back what it was counted for.
func (i *introspector) land(id tokenID, f *asking, counted bool) {
	a := f.answer
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.flights, id)
	switch {
	case a.lapsed:
	case a.active:
		i.active.Set(id, a)
		i.inactive.Invalidate(id)
		if counted {
			i.bucket.give()
		}
	case a.err == nil:
		i.active.Invalidate(id)
		i.inactive.Set(id, a)
	default:
		i.inactive.Set(id, a)
	}
	close(f.done)
}

// answerFor asks the issuer. It never fails: an answer that cannot be had is one
// too, and says nothing about the token.
func (i *introspector) answerFor(ctx context.Context, raw string) (a *answer) {
	// A bug in the reading of an answer must not end the process.
	defer func() {
		if p := recover(); p != nil {
			a = i.failed(fmt.Errorf("reading the answer: panic: %v", p))
		}
	}()
	payload, err := i.post(ctx, raw)
	if err != nil {
		return i.failed(fmt.Errorf("introspection %s: %w", i.Endpoint, err))
	}
	now := i.now()
	a = &answer{active: payload.Get("active").True(), since: now, until: now.Add(min(i.Cache, inactiveFor))}
	if !a.active {
		return a
	}
	a.payload, a.until, a.bytes = payload, now.Add(i.Cache), uint32(1024+8*len(payload.Raw()))
	if exp, ok := instant(payload.Get("exp")); ok && !exp.IsZero() && exp.Before(a.until) {
		a.until, a.lapsed = exp, !now.Before(exp)
	}
	return a
}

func (i *introspector) failed(err error) *answer {
	now := i.now()
	return &answer{err: unavailable(err), since: now, until: now.Add(retryIn)}
}

// unavailable says that the issuer did not tell: nobody is sent to a login.
func unavailable(err error) *Error {
	return &Error{Fault: Ours, Reason: IssuerUnavailable, RetryAfter: retryIn, Err: err}
}

// A bucket bounds a rate: it holds askBurst, and askRate flow in each second.
type bucket struct {
	level float64
	last  time.Time
}

// take tells whether there was one to take. A clock that goes back adds nothing.
func (b *bucket) take(now time.Time) bool {
	if passed := now.Sub(b.last); !b.last.IsZero() && passed > 0 {
		b.level = min(askBurst, b.level+passed.Seconds()*askRate)
	}
	b.last = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

func (b *bucket) give() { b.level = min(askBurst, b.level+1) }
