// Package jwks keeps the public keys of one issuer: discovered, fetched,
// refreshed, and asked for again at most as often as the cool-down allows.
//
// One Source belongs to one issuer, so that the key of one issuer can never
// verify the token of another. A request sees one immutable set of keys; a
// document that cannot be read never replaces a good set, which is used until
// it is too old.
package jwks

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	defaultRefresh  = 10 * time.Minute
	defaultMaxStale = 24 * time.Hour
	firstBackoff    = time.Second
	lastBackoff     = 30 * time.Second

	// Requests with an unknown kid may cause this many fetches at once, and one
	// more each cool-down: what an unauthenticated caller can cost the issuer.
	burst    = 3
	coolDown = 10 * time.Second
)

// Config is what a Source is made from.
type Config struct {
	// Issuer is the issuer identifier, compared byte for byte with "issuer" of
	// the discovery document. Required; a URL unless JWKSURI is given.
	Issuer string
	// JWKSURI is where the key set is; "" means that discovery tells.
	JWKSURI string
	// InsecureHTTP lets documents be fetched over http from other than loopback
	// hosts: whoever is on the way can then replace the keys.
	InsecureHTTP bool
	// CA has the PEM certificates of the authorities that may vouch for the
	// issuer, and for it alone; empty means those of the system.
	CA []byte
	// Refresh is the time between two background fetches where the issuer
	// states no max-age; 0 means 10 minutes.
	Refresh time.Duration
	// MaxStale is how long keys are used after the fetch that brought them; 0
	// means 24 hours. Twice in that time at least they are fetched again.
	MaxStale time.Duration
	// Before is a Source of the same issuer whose keys are used from the start,
	// as old as they are; nil means no keys.
	Before *Source
	// Transport makes the requests; nil means one like http.DefaultTransport.
	// Redirects, sizes and times are bounded whatever it is. With a CA it is
	// nil or an *http.Transport.
	Transport http.RoundTripper
	Now       func() time.Time // nil means time.Now
	Log       *slog.Logger     // nil means no log
}

// A Source has the keys of one issuer. It is safe for concurrent use. Keys are
// there as soon as Run has fetched them, or a request for a key has.
type Source struct {
	issuer   string
	fixed    string // the configured JWKSURI, or ""
	insecure bool
	refresh  time.Duration
	maxStale time.Duration
	client   *http.Client
	now      func() time.Time
	log      *slog.Logger

	none    *set                // the set of who has no keys, epoch 0
	current atomic.Pointer[set] // never nil; replaced whole, never mutated

	mu       sync.Mutex // guards what follows
	flight   *flight    // the fetch under way, or nil
	flights  uint64     // that have begun
	cooldown *rate.Limiter
	failure  error
	fetches  map[string]uint64 // ended, by result
	unknown  map[string]uint64 // requests that got no key, by reason

	found string // the discovered jwks_uri; owned by the fetch under way
}

// State is what is known of a Source, for readiness and operators.
type State struct {
	Keys    int       // keys that can verify a signature now
	Fetched time.Time // of the last good fetch; zero: never
	Failure error     // of the last fetch; nil when it was good

	Fetches map[string]uint64 // that have ended, by result: FetchOK and so on
	Unknown map[string]uint64 // requests for which there was no key, by reason
}

// New makes a Source without keys; it opens no connection. It refuses a URL
// that is neither https nor http to a loopback host, unless InsecureHTTP.
func New(c Config) (*Source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	client, err := newClient(c.Transport, c.CA)
	if err != nil {
		return nil, err
	}
	s := &Source{
		issuer:   c.Issuer,
		fixed:    c.JWKSURI,
		insecure: c.InsecureHTTP,
		refresh:  cmp.Or(c.Refresh, defaultRefresh),
		maxStale: cmp.Or(c.MaxStale, defaultMaxStale),
		client:   client,
		now:      c.Now,
		log:      c.Log,
		none:     &set{},
		cooldown: rate.NewLimiter(rate.Every(coolDown), burst),
		fetches:  map[string]uint64{},
		unknown:  map[string]uint64{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("issuer", c.Issuer)
	s.current.Store(s.none)
	if c.Before != nil {
		s.inherit(c.Before)
	}
	return s, nil
}

// inherit takes over the keys of before.
func (s *Source) inherit(before *Source) {
	keys := before.current.Load()
	if keys == before.none {
		return
	}
	mine := *keys
	mine.flight = 0 // fetched before any that s makes
	s.current.Store(&mine)
}

// check tells what is wrong with c.
func (c Config) check() error {
	if c.Issuer == "" {
		return errors.New("issuer is empty")
	}
	at, what := c.Issuer, "issuer"
	if c.JWKSURI != "" {
		at, what = c.JWKSURI, "jwks_uri"
	}
	u, err := checkURL(at, c.InsecureHTTP)
	switch {
	case err != nil:
		return fmt.Errorf("%s %q: %w", what, at, err)
	case c.JWKSURI == "" && (u.RawQuery != "" || u.ForceQuery):
		return fmt.Errorf("issuer %q: has a query (RFC 8414 §2)", at)
	case c.Refresh < 0:
		return fmt.Errorf("refresh %v is negative", c.Refresh)
	case c.MaxStale < 0:
		return fmt.Errorf("max stale %v is negative", c.MaxStale)
	}
	return nil
}

// Key returns the key that verifies signatures of alg made with the key named
// kid; kid "" asks for the only key that fits alg. A kid that is not in the set
// waits for a fetch that begins after the call, shared with all who wait, if the
// cool-down allows one: only such a fetch can tell that the issuer has no such
// key. A kid that is in the set never waits. The error is an *Error.
func (s *Source) Key(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	key, err := s.usable().key(ctx, kid, alg)
	if errors.Is(err, errNotInSet) {
		key, err = s.await(ctx, kid, alg)
	}
	if failure, ok := errors.AsType[*Error](err); ok {
		s.countUnknown(failure.reason)
	}
	return key, err
}

// usable returns the current set, or the empty one if it is too old.
func (s *Source) usable() *set {
	now := s.current.Load()
	if now != s.none && s.now().Sub(now.fetched) > s.maxStale {
		return s.none
	}
	return now
}

// Ready tells whether there is a key to verify with.
func (s *Source) Ready() bool { return s.usable().keys > 0 }

// State returns what is known now.
func (s *Source) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{
		Keys: s.usable().keys, Fetched: s.current.Load().fetched, Failure: s.failure,
		Fetches: maps.Clone(s.fetches), Unknown: maps.Clone(s.unknown),
	}
}

func (s *Source) countUnknown(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown[reason]++
}
