package jwks

import (
	"crypto/sha256"
	"encoding/binary"
)

// Epoch names the set of keys that is current: it is another number as soon as
// the issuer publishes another set, the same one after a fetch that brought
// nothing new, and 0 while there are no keys, or only ones that are too old.
// What was verified under one epoch need not be good under the next. It never
// waits.
func (s *Source) Epoch() uint64 { return s.usable().epoch }

// epochOf names the key set in body; 0 is that of a Source without keys.
func epochOf(body []byte) uint64 {
	sum := sha256.Sum256(body)
	return max(1, binary.BigEndian.Uint64(sum[:]))
}
