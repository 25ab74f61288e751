package jwks

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

const maxEntries = 512 // of a key set; each may cost a line in the log

// A set is one key set, immutable. The zero set has no keys.
type set struct {
	rings map[string]*ring // by algorithm
	kids  map[string]bool  // borne by any entry, be it usable or not
	keys  int              // entries that can verify
	epoch uint64           // names the document the set was read from

	flight  uint64        // the number of the fetch that brought it
	fetched time.Time     // when that fetch ended
	fresh   time.Duration // the max-age that the issuer states; 0: none
}

var errNotInSet = errors.New("no key of that kid in the set")

// key returns the key for kid and alg, an *Error when no other set would help,
// or errNotInSet when a newer set could.
func (s *set) key(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	if _, ok := algorithms[alg]; !ok {
		return nil, &Error{reason: UnknownKey, err: fmt.Errorf("no key verifies %.40q", alg)}
	}
	if s.keys == 0 {
		return nil, errNotInSet
	}
	r := s.rings[alg]
	switch {
	case kid == "" && r != nil && len(r.all) == 1:
		return r.all[0].Key(), nil
	case kid == "":
		return nil, &Error{reason: UnknownKey, err: fmt.Errorf("no kid, and not exactly one key for %s", alg)}
	case r != nil && r.has(kid):
		return r.key(ctx, kid, alg)
	case s.kids[kid]:
		return nil, &Error{reason: UnknownKey, err: fmt.Errorf("key %.200q is not for %s", kid, alg)}
	}
	return nil, fmt.Errorf("%w: kid %.200q", errNotInSet, kid)
}

// A ring has the keys of a set that fit one algorithm. It is the storage that
// keyfunc reads from: among entries of one kid only those that fit are seen.
type ring struct {
	jwkset.Storage // an empty one: everything but reading
	byID           map[string]jwkset.JWK
	all            []jwkset.JWK
	find           keyfunc.Keyfunc
}

func newRing() (*ring, error) {
	r := &ring{Storage: jwkset.NewMemoryStorage(), byID: map[string]jwkset.JWK{}}
	var err error
	r.find, err = keyfunc.New(keyfunc.Options{Storage: r})
	return r, err
}

// add keeps the first of two keys that have one kid and one algorithm.
func (r *ring) add(kid string, key jwkset.JWK) {
	r.all = append(r.all, key)
	if !r.has(kid) {
		r.byID[kid] = key
	}
}

func (r *ring) has(kid string) bool {
	_, ok := r.byID[kid]
	return ok
}

// KeyRead implements jwkset.Storage.
func (r *ring) KeyRead(_ context.Context, kid string) (jwkset.JWK, error) {
	key, ok := r.byID[kid]
	if !ok {
		return jwkset.JWK{}, jwkset.ErrKeyNotFound
	}
	return key, nil
}

// KeyReadAll implements jwkset.Storage.
func (r *ring) KeyReadAll(context.Context) ([]jwkset.JWK, error) { return r.all, nil }

func (r *ring) key(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	header := map[string]any{"kid": kid, "alg": alg}
	key, err := r.find.KeyfuncCtx(ctx)(&jwt.Token{Header: header})
	if err != nil {
		return nil, &Error{reason: UnknownKey, err: err}
	}
	return key, nil
}

// parseSet reads a key set, RFC 7517 §5. An entry that cannot be read is
// skipped with a line in the log. A document is refused as a whole if it is no
// key set, or if skipping leaves no key: then it does not say which keys the
// issuer has, while an empty set says that there are none.
func parseSet(body []byte, log *slog.Logger) (*set, error) {
	// Each entry is read strictly on its own: a duplicate member in one must
	// not cost the others.
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	switch err := json.Unmarshal(body, &doc); {
	case err != nil:
		return nil, fmt.Errorf("not a key set: %w", err)
	case doc.Keys == nil:
		return nil, errors.New("not a key set: no keys")
	case len(doc.Keys) > maxEntries:
		return nil, fmt.Errorf("%d keys, at most %d", len(doc.Keys), maxEntries)
	}
	s := &set{rings: map[string]*ring{}, kids: map[string]bool{}, epoch: epochOf(body)}
	skipped := 0
	for i, raw := range doc.Keys {
		e, err := readEntry(raw)
		if e.kid != "" {
			s.kids[e.kid] = true
		}
		if err != nil {
			log.Warn("key skipped", "entry", i, "kid", e.kid, "error", err)
			skipped++
			continue
		}
		if err := s.add(e); err != nil {
			return nil, err
		}
	}
	if s.keys == 0 && skipped > 0 {
		return nil, fmt.Errorf("%d of %d keys cannot be read, the others verify nothing", skipped, len(doc.Keys))
	}
	return s, nil
}

// add files e under each algorithm it fits.
func (s *set) add(e entry) error {
	fits := false
	for alg := range algorithms {
		if !e.fits(alg) {
			continue
		}
		r := s.rings[alg]
		if r == nil {
			var err error
			if r, err = newRing(); err != nil {
				return err
			}
			s.rings[alg] = r
		}
		r.add(e.kid, e.key)
		fits = true
	}
	if fits {
		s.keys++
	}
	return nil
}
