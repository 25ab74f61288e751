package jwks

import (
	"testing"
	"time"
)

// A request that saw an older set than there is now takes the new one: it must
// not spend the cool-down on what it would get anyway. Only from inside can a
// set change between the two.
func TestRefetchTakesANewerSet(t *testing.T) {
	s, err := New(Config{Issuer: "https://login.example.com/"})
	if err != nil {
		t.Fatal(err)
	}
	seen, newer := s.current.Load(), &set{keys: 1, fetched: time.Now()}
	s.current.Store(newer)
	if got, err := s.refetch(t.Context(), seen); got != newer || err != nil || s.flight != nil {
		t.Errorf("refetch(older set) = %v, %v, want the newer one without a fetch", got, err)
	}
}
