package token

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"
)

const (
	// maxProofs bounds the proofs that are remembered, about 40 bytes each.
	maxProofs = 1 << 20
	// ahead is the part of them whose iat may be in the future, so that nobody
	// can push everybody else's proofs out with such ones.
	ahead = 8
	// proofSlot is how exactly the age of a remembered proof is known.
	proofSlot = 10 * time.Second
	// nonceLife is how long a nonce is given out; it is good for as long again.
	nonceLife = 5 * time.Minute
)

// Proofs are the DPoP proofs that were used in the last minutes, and the nonces
// that proofs may need. Who makes a new Verifier hands them on, or proofs that
// the old one took could be used again. They are safe for concurrent use, and
// of one process: another does not know what this one has seen.
type Proofs struct {
	secret [sha256.Size]byte
	most   int // that are remembered

	mu    sync.Mutex
	slots map[int64]map[proofID]struct{} // by iat
	count int
	swept int64 // the slot of now when slots were last looked through
	floor int64 // proofs of slots below are no longer told apart
}

// A proofID is the hash of the thumbprint and the jti of a proof.
type proofID [16]byte

// NewProofs makes Proofs that have seen nothing.
func NewProofs() *Proofs {
	p := &Proofs{most: maxProofs, slots: make(map[int64]map[proofID]struct{})}
	_, _ = rand.Read(p.secret[:]) // never fails (crypto/rand)
	return p
}

// first notes a proof, and refuses one that was noted before. When there are too
// many, the oldest are given up, and no proof that is as old is taken any more:
// the window becomes shorter, never open.
func (p *Proofs) first(key, jti string, issued, now time.Time) *Error {
	sum := sha256.Sum256([]byte(key + "\n" + jti))
	id := proofID(sum[:])
	slot, present := slotOf(issued), slotOf(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(present)
	_, twice := p.slots[slot][id]
	switch {
	case twice:
		return badProof("jti", "used before")
	case slot < p.floor:
		return badProof("iat", "too old, while there are so many")
	case slot > present && p.countAhead(present) >= p.most/ahead:
		return badProof("iat", "in the future, as too many others")
	}
	if p.slots[slot] == nil {
		p.slots[slot] = make(map[proofID]struct{})
	}
	p.slots[slot][id] = struct{}{}
	if p.count++; p.count > p.most {
		p.giveUpOldest()
	}
	return nil
}

func slotOf(t time.Time) int64 { return t.Unix() / int64(proofSlot/time.Second) }

// sweep forgets what could not be taken again because of its age.
func (p *Proofs) sweep(present int64) {
	if p.swept == present {
		return
	}
	p.swept = present
	for slot := range p.slots {
		if slot < present-int64(proofWindow/proofSlot)-1 {
			p.forget(slot)
		}
	}
}

func (p *Proofs) forget(slot int64) {
	p.count -= len(p.slots[slot])
	delete(p.slots, slot)
}

func (p *Proofs) countAhead(present int64) (n int) {
	for slot, seen := range p.slots {
		if slot > present {
			n += len(seen)
		}
	}
	return n
}

func (p *Proofs) giveUpOldest() {
	first := true
	var oldest int64
	for slot := range p.slots {
		if first || slot < oldest {
			oldest, first = slot, false
		}
	}
	p.forget(oldest)
	p.floor = max(p.floor, oldest+1)
}

// checkNonce refuses a nonce that was not given out of late (RFC 9449 §9), with
// one that will be taken.
func (p *Proofs) checkNonce(got string, now time.Time) *Error {
	period := now.Unix() / int64(nonceLife/time.Second)
	for _, at := range []int64{period, period - 1} {
		if hmac.Equal([]byte(got), []byte(p.nonce(at))) {
			return nil
		}
	}
	e := refuse(UseDPoPNonce, "nonce", "DPoP proof: without a nonce of the last minutes")
	e.Nonce = p.nonce(period)
	return e
}

// nonce is that of one period: nothing has to be remembered to know it again.
func (p *Proofs) nonce(period int64) string {
	mac := hmac.New(sha256.New, p.secret[:])
	mac.Write(binary.BigEndian.AppendUint64([]byte("nonce"), uint64(period)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
