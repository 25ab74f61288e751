package token

import (
	"context"
	"testing"
	"time"
)

// While all places to verify in are taken, who waits is answered in time, and a
// place that is free again is used.
func TestSlots(t *testing.T) {
	c, err := newCache(0)
	if err != nil {
		t.Fatal(err)
	}
	for range cap(c.slots) {
		if err := c.begin(t.Context()); err != nil {
			t.Fatalf("begin = %v, want a slot", err)
		}
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.begin(late); err == nil || err.Reason != Deadline || err.Fault != Ours {
		t.Errorf("begin with all slots taken = %v, want %s, ours", err, Deadline)
	}
	waited := make(chan *Error, 1)
	go func() { waited <- c.begin(t.Context()) }()
	c.end()
	if err := <-waited; err != nil {
		t.Errorf("begin = %v, want the slot that is free", err)
	}
}
