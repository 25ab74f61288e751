package jwks

import (
	"crypto/sha256"
	"encoding/binary"
)

// Epoch names the set of keys that is current: it is another number as soon as
// the issuer publishes another set, and the same one after a fetch that brought
// nothing new. What was verified under one epoch need not be good under the
// next. It never waits.
func (s *Source) Epoch() uint64 { return s.current.Load().epoch }

// epochOf names the key set in body; 0 is that of a Source without keys.
func epochOf(body []byte) uint64 {
	sum := sha256.Sum256(body)
	return max(1, binary.BigEndian.Uint64(sum[:]))
}
