package token

import (
	"fmt"
	"testing"
	"time"
)

// Past the bound the window becomes shorter, and no proof can be used twice.
func TestProofsAreBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := NewProofs()
	p.most = 80
	old := now.Add(-4 * time.Minute)
	if err := p.first("key", "old", old, now); err != nil {
		t.Fatalf("first = %v, want none", err)
	}
	for n := range p.most {
		if err := p.first("key", fmt.Sprint(n), now, now); err != nil {
			t.Fatalf("first of %d = %v, want none", n, err)
		}
	}
	if p.count != p.most || len(p.slots) != 1 {
		t.Errorf("%d proofs in %d slots, want %d in one", p.count, len(p.slots), p.most)
	}
	for _, jti := range []string{"old", "as old"} {
		if err := p.first("key", jti, old, now); err == nil || err.Reason != InvalidDPoPProof {
			t.Errorf("first of %q after too many = %v, want it refused", jti, err)
		}
	}
	if err := p.first("key", "7", now, now); err == nil {
		t.Error("first of one that is remembered = nil, want it refused")
	}
	later := now.Add(11 * time.Minute)
	if err := p.first("key", "later", later, later); err != nil || p.count != 1 {
		t.Errorf("first after all are too old = %v with %d remembered, want none and 1", err, p.count)
	}
}

// Proofs that are dated ahead do not push those of others out.
func TestProofsDatedAhead(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := NewProofs()
	p.most = 80
	future := now.Add(proofWindow)
	for n := range p.most / ahead {
		if err := p.first("key", fmt.Sprint(n), future, now); err != nil {
			t.Fatalf("first of %d = %v, want none", n, err)
		}
	}
	if err := p.first("key", "one more", future, now); err == nil || err.Reason != InvalidDPoPProof {
		t.Errorf("first of one more = %v, want it refused", err)
	}
	if err := p.first("key", "mine", now, now); err != nil {
		t.Errorf("first of one of now = %v, want none", err)
	}
}
