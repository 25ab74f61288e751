package e2e_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// Slow or gone, Cedargate lets nobody in; a session that was there before goes
// on when it is back.
func TestOutage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "0.5s")
	session := h.connect(t, h.issuer.Mint(nil), "2025-11-25", "outage")
	refund := func(ctx context.Context) error {
		_, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "refund", Arguments: map[string]any{"amount": 5, "currency": "EUR"}})
		return err
	}
	if err := refund(soon(t)); err != nil {
		t.Fatalf("refund before the outage = %v, want nil", err)
	}
	pause(t, h.cedargate)
	h.upstream.Reset()
	if err := refund(soon(t)); err == nil {
		t.Error("refund while cedargate is stopped = nil, want an error")
	}
	got := post(t, h.envoy.URL("/mcp"), h.issuer.Mint(nil), "outage", queryCall)
	if got.status != 503 || got.header.Get("retry-after") == "" || got.header.Get("content-type") != "application/json" {
		t.Errorf("POST while cedargate is stopped = %d %v, want 503, JSON, and when to come again", got.status, got.header)
	}
	if n := len(h.upstream.Requests()); n != 0 {
		t.Errorf("the server got %d requests, want none", n)
	}
	if err := h.cedargate.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session goes on", func() bool { return refund(soon(t)) == nil })
	if err := session.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	if ran := h.ran(); len(ran) != 1 {
		t.Errorf("the server did %v, want the one refund after the outage", ran)
	}
}

// pause stops g, and returns when it has stopped: for a moment after the
// signal its threads still run.
func pause(t *testing.T, g *stack.Cedargate) {
	t.Helper()
	if err := g.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, _, err := g.Admin(ctx, "/healthz")
		cancel()
		if err != nil {
			return
		}
	}
}
