package token

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

const (
	// verifiedFor bounds how long a verification is believed. Nothing extends
	// it: a token that is used all day is verified every five minutes.
	verifiedFor = 5 * time.Minute
	// failedFor is how long a bad signature is remembered.
	failedFor = 10 * time.Second

	defaultCacheBytes = 32 << 20
	// maxFailures bounds the bad signatures that are remembered; one takes about
	// 600 bytes.
	maxFailures = 4096
)

// A tokenID is the hash of a token: the token itself is kept nowhere.
type tokenID [sha256.Size]byte

// idOf hashes raw, without an allocation for tokens of the usual length.
func idOf(raw string) tokenID {
	var room [2048]byte
	return sha256.Sum256(append(room[:0], raw...))
}

// A cache remembers what signatures said. Anybody can fill the failures, so
// they have a place of their own; only who holds good tokens can fill the rest.
//
// Whatever depends on the request rather than on the token is not for the
// cache: it is checked each time, in recall or by whoever calls verifyToken.
type cache struct {
	verified *otter.Cache[tokenID, *verified]
	failed   *otter.Cache[tokenID, failure]
	slots

	mu      sync.Mutex
	flights map[flightID]*flight
}

// verified is a token that was verified.
type verified struct {
	claims       Claims
	issuer       *Issuer
	epoch        uint64 // of the keys, before they were asked
	since, until time.Time
	bytes        uint32 // of memory, about
}

// A failure is a signature that is bad.
type failure struct {
	err   *Error
	epoch uint64
	until time.Time
}

// A flight is one verification; whoever has the same token waits for done.
type flight struct {
	done chan struct{}
	who  Claims // after done
	err  *Error // after done
	lost bool   // after done: it ended with the request that made it
}

// A flightID tells flights apart: a verification that began before the keys
// changed is not for a request that came after.
type flightID struct {
	token tokenID
	epoch uint64
}

func newCache(bytes int) (*cache, error) {
	if bytes == 0 {
		bytes = defaultCacheBytes
	}
	c := &cache{flights: make(map[flightID]*flight), slots: newSlots()}
	var err error
	if c.verified, err = otter.New(&otter.Options[tokenID, *verified]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(_ tokenID, v *verified) uint32 { return v.bytes },
	}); err != nil {
		return nil, fmt.Errorf("token cache: %w", err)
	}
	if c.failed, err = otter.New(&otter.Options[tokenID, failure]{MaximumSize: maxFailures}); err != nil {
		return nil, fmt.Errorf("token cache: %w", err)
	}
	return c, nil
}

// recall returns the claims of a token that was verified a moment ago, unless
// something has changed since: the time, the keys, or who asks. A token that it
// does not return is read anew, and that tells what is wrong with it.
func (v *Verifier) recall(id tokenID, accept Accept) (Claims, bool) {
	known, ok := v.cache.verified.GetIfPresent(id)
	if !ok {
		return Claims{}, false
	}
	now := v.now()
	if now.Before(known.since) || !now.Before(known.until) || now.Before(known.claims.NotBefore.Add(-v.leeway)) {
		return Claims{}, false
	}
	if known.epoch != known.issuer.epoch() || !known.claims.acceptable(accept) {
		return Claims{}, false
	}
	return known.claims, true
}

// acceptable tells whether a server takes c: the checks of check that differ
// from one server to another.
func (c *Claims) acceptable(accept Accept) bool {
	meant := func(audience string) bool { return audience != "" && slices.Contains(accept.Audiences, audience) }
	return slices.Contains(accept.Issuers, c.Issuer) && slices.ContainsFunc(c.Audience, meant) &&
		(c.Actor == nil || slices.Contains(accept.Issuers, c.Actor.Issuer))
}

// verifyOnce verifies the signature of r, or waits for the request that is
// about it, or remembers that it is bad.
func (v *Verifier) verifyOnce(ctx context.Context, r *reading, id tokenID, raw string, accept Accept) (Claims, error) {
	if r.issuer.epoch == nil {
		who, err := v.verifyHere(ctx, r, raw)
		return who, plain(err)
	}
	flown := flightID{id, r.issuer.epoch()}
	for {
		f, first := v.cache.join(flown)
		if first {
			v.fly(ctx, f, r, flown, raw, accept)
			return f.who, plain(f.err)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return Claims{}, spent(ctx)
		}
		if !f.lost {
			return f.who, plain(f.err)
		}
	}
}

// plain makes no error of a nil *Error.
func plain(err *Error) error {
	if err == nil {
		return nil
	}
	return err
}

// fly makes the verification that others may wait for, and keeps what it says;
// unless it is known already, perhaps since a flight that has just landed.
func (v *Verifier) fly(ctx context.Context, f *flight, r *reading, id flightID, raw string, accept Accept) {
	f.lost = true // should it panic
	defer v.cache.land(id, f)
	var known bool
	if f.who, known = v.recall(id.token, accept); known {
		f.lost = false
		return
	}
	if bad, ok := v.cache.failed.GetIfPresent(id.token); ok && bad.epoch == id.epoch && v.now().Before(bad.until) {
		f.err, f.lost = bad.err, false
		return
	}
	f.who, f.err = v.verifyHere(ctx, r, raw)
	f.lost = ctx.Err() != nil
	switch now := v.now(); {
	case f.err == nil:
		v.cache.keep(r, id, raw, now)
	case f.err.Reason == BadSignature:
		v.cache.failed.Set(id.token, failure{err: f.err, epoch: id.epoch, until: now.Add(failedFor)})
	}
}

// keep remembers the claims of r.
func (c *cache) keep(r *reading, id flightID, raw string, now time.Time) {
	until := now.Add(verifiedFor)
	if exp := r.claims.ExpiresAt; exp.Before(until) {
		until = exp
	}
	if id.epoch == 0 || !now.Before(until) {
		return // no set of keys had a name yet, or the token lives by the leeway
	}
	c.verified.Set(id.token, &verified{
		claims: r.claims, issuer: r.issuer, epoch: id.epoch, since: now, until: until, bytes: r.claims.bytes(len(raw)),
	})
}

// join returns the flight of a token, and whether the caller is to make it.
func (c *cache) join(id flightID) (f *flight, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[id]; f != nil {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	c.flights[id] = f
	return f, true
}

// land ends a flight.
func (c *cache) land(id flightID, f *flight) {
	c.mu.Lock()
	delete(c.flights, id)
	c.mu.Unlock()
	close(f.done)
}

// slots hold an element for each signature that is being verified: a flood of
// bad tokens waits in line, and leaves the CPU to those who are known.
type slots chan struct{}

func newSlots() slots { return make(slots, runtime.GOMAXPROCS(0)) }

// begin waits for a slot, no longer than ctx; end gives it back.
func (s slots) begin(ctx context.Context) *Error {
	select {
	case s <- struct{}{}:
		return nil
	default:
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return spent(ctx)
	}
}

func (s slots) end() { <-s }

// spent says that the time of the request is over.
func spent(ctx context.Context) *Error {
	return &Error{Fault: Ours, Reason: Deadline, RetryAfter: time.Second, Err: fmt.Errorf("waiting for a verification: %w", context.Cause(ctx))}
}

// clip takes the room behind the slices away: who appends to one of them must
// not write into that of another request.
func (c *Claims) clip() {
	for _, list := range []*[]string{&c.Audience, &c.Scopes, &c.Groups, &c.Roles, &c.AMR, &c.AbsentGroups, &c.AbsentRoles, &c.Unreadable} {
		*list = slices.Clip(*list)
	}
}

// bytes is about the memory of c, read from a token of that length: its texts
// may be cut from the payload or be copies of their own.
func (c *Claims) bytes(length int) uint32 {
	const fixed, perList, perText = 1024, 128, 32
	n := fixed + 2*length
	lists := func(list []string) { n += perList + perText*len(list) }
	for _, list := range [][]string{c.Audience, c.Scopes, c.Groups, c.Roles, c.AMR} {
		lists(list)
	}
	for _, list := range c.Tags {
		lists(list)
	}
	for _, group := range c.Groups { // parents of paths are in none of the claims
		n += len(group)
	}
	return uint32(n)
}
