// Package jwks keeps the public keys of one issuer: discovered, fetched,
// refreshed, and asked for again at most as often as the cool-down allows.
//
// One Source belongs to one issuer, so that the key of one issuer can never
// verify the token of another. A request sees one immutable set of keys; a
// document that cannot be read never replaces a good set.
package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	defaultRefresh = 10 * time.Minute
	firstBackoff   = time.Second
	lastBackoff    = 30 * time.Second

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
	// Refresh is the time between two background fetches; 0 means 10 minutes.
	Refresh time.Duration
	// Transport makes the requests; nil means one like http.DefaultTransport.
	// Redirects, sizes and times are bounded whatever it is.
	Transport http.RoundTripper
	Now       func() time.Time // nil means time.Now
	Log       *slog.Logger     // nil means no log
}

// A Source has the keys of one issuer. It is safe for concurrent use. Keys are
// there as soon as Run has fetched them, or a request for a key has.
type Source struct {
	issuer  string
	fixed   string // the configured JWKSURI, or ""
	refresh time.Duration
	client  *http.Client
	now     func() time.Time
	log     *slog.Logger

	current atomic.Pointer[set] // never nil; replaced whole, never mutated

	mu       sync.Mutex // guards what follows
	flight   *flight    // the fetch under way, or nil
	cooldown *rate.Limiter
	fetched  time.Time
	failure  error

	found string // the discovered jwks_uri; owned by the fetch under way
}

// State is what is known of a Source, for readiness and operators.
type State struct {
	Keys    int       // keys that can verify a signature
	Fetched time.Time // of the last good fetch; zero: never
	Failure error     // of the last fetch; nil when it was good
}

// New makes a Source without keys; it opens no connection. It refuses a URL
// that is neither https nor http to a loopback host.
func New(c Config) (*Source, error) {
	if c.Issuer == "" {
		return nil, errors.New("issuer is empty")
	}
	at, what := c.Issuer, "issuer"
	if c.JWKSURI != "" {
		at, what = c.JWKSURI, "jwks_uri"
	}
	u, err := checkURL(at)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", what, at, err)
	}
	if c.JWKSURI == "" && (u.RawQuery != "" || u.ForceQuery) {
		return nil, fmt.Errorf("issuer %q: has a query (RFC 8414 §2)", at)
	}
	if c.Refresh < 0 {
		return nil, fmt.Errorf("refresh %v is negative", c.Refresh)
	}
	s := &Source{
		issuer:   c.Issuer,
		fixed:    c.JWKSURI,
		refresh:  c.Refresh,
		client:   newClient(c.Transport),
		now:      c.Now,
		log:      c.Log,
		cooldown: rate.NewLimiter(rate.Every(coolDown), burst),
	}
	if s.refresh == 0 {
		s.refresh = defaultRefresh
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("issuer", c.Issuer)
	s.current.Store(&set{})
	return s, nil
}

// Key returns the key that verifies signatures of alg made with the key named
// kid; kid "" asks for the only key that fits alg. A kid that is not in the set
// causes one fetch, shared by all who wait, if the cool-down allows one. A kid
// that is in the set never waits. The error is an *Error.
func (s *Source) Key(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	seen := s.current.Load()
	key, err := seen.key(ctx, kid, alg)
	if !errors.Is(err, errNotInSet) {
		return key, err
	}
	now, err := s.refetch(ctx, seen)
	if err != nil {
		return nil, err
	}
	key, err = now.key(ctx, kid, alg)
	switch {
	case !errors.Is(err, errNotInSet):
		return key, err
	case now.keys == 0:
		return nil, s.unavailable(errors.New("the key set has no keys"))
	}
	return nil, &Error{reason: UnknownKey, err: err}
}

// Ready tells whether there is a key to verify with.
func (s *Source) Ready() bool { return s.current.Load().keys > 0 }

// State returns what is known now.
func (s *Source) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{Keys: s.current.Load().keys, Fetched: s.fetched, Failure: s.failure}
}
