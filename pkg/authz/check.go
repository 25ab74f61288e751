package authz

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/token"
)

// defaultBudget is the time for a check whose caller names no deadline.
const defaultBudget = time.Second

// recordGrace is how long the record of a late answer may take at most.
const recordGrace = 20 * time.Millisecond

// Check decides r: it says where it goes, what is asked, who asks, and whether
// they may, in the order of contract §1, and records the answer exactly once.
// Nothing is allowed without a record, after ctx is done, or when any step
// panics. It answers before the deadline of ctx: earlier by a quarter of what
// remains, at most 100 ms.
func (e *Engine) Check(ctx context.Context, r Request) (result Result) {
	ctx, grace, cancel := within(ctx)
	defer cancel()
	c := e.begin(ctx, r)
	c.grace = grace
	defer c.recoverInto(&result)
	return c.finish(c.answer())
}

// A check is the state of one Check.
type check struct {
	*Engine
	ctx     context.Context
	grace   time.Duration // for the record once ctx is done
	start   time.Time
	request Request
	record  audit.Record

	site *site
	call mcp.Call
	dpop bool // the credential came with the scheme DPoP
}

// answer is the table of contract §1: the first row that applies is answered.
func (c *check) answer() answer {
	place := c.routes.find(c.request)
	c.site = place.site
	call, fault := mcp.Parse(c.request.HTTP, c.rules())
	c.noteCall(call)
	switch {
	case place.document != nil:
		return c.metadata(place.document)
	case c.site == nil:
		return c.unrouted()
	case c.request.HTTP.Method == http.MethodOptions:
		return refuseMethod()
	}
	who, err := c.authenticate()
	if err != nil {
		return c.unauthenticated(err)
	}
	c.noteCaller(who)
	if fault != nil {
		return faulty(fault)
	}
	return c.authorize(who)
}

// rules are those of the server; the default limits bound what goes nowhere.
func (c *check) rules() mcp.Rules {
	if c.site != nil {
		return c.site.Rules
	}
	return mcp.Rules{}
}

// authorize asks the policies every question of the call; the first that is
// denied decides.
func (c *check) authorize(who token.Claims) answer {
	first := c.asked(who)
	c.noteDecision(first, who)
	if !first.Allowed {
		return c.denied(first, who)
	}
	return c.allow(who)
}

// within is ctx with the deadline by which the answer must be made. What is left
// until the caller's own has room for grace.
func within(ctx context.Context) (_ context.Context, grace time.Duration, _ context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		ctx, cancel := context.WithTimeout(ctx, defaultBudget)
		return ctx, recordGrace, cancel
	}
	margin := min(100*time.Millisecond, time.Until(deadline)/4)
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(-margin))
	return ctx, min(recordGrace, margin/2), cancel
}

func (e *Engine) begin(ctx context.Context, r Request) *check {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	c := &check{Engine: e, ctx: ctx, start: time.Now(), request: r}
	c.record = audit.Record{
		Time:       e.Now(),
		DecisionID: hex.EncodeToString(id[:]),
		HTTPMethod: r.HTTP.Method,
	}
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		c.record.TraceID, c.record.SpanID = span.TraceID().String(), span.SpanID().String()
	}
	c.noteRequest()
	return c
}

// finish records the answer and makes the result. A dead context outranks
// every other answer.
func (c *check) finish(a answer) Result {
	if c.ctx.Err() != nil {
		a = failure("deadline")
	}
	c.noteAnswer(a)
	err := c.keep()
	if a.grants() {
		a = c.recorded(a, err)
	}
	return c.result(a)
}

// recorded is a, which grants something, unless its record was not written or
// the answer comes too late. A record of the allow that was written is then followed by
// one of the failure; a write that ends later is followed up by the recorder.
func (c *check) recorded(a answer, err error) answer {
	switch late := c.ctx.Err() != nil; {
	case err == nil && !late:
		return a
	case err == nil:
		a = failure("deadline")
		c.noteAnswer(a)
		_ = c.keep()
	case late:
		a = failure("deadline")
		c.noteAnswer(a)
	default:
		a = failure("audit_unavailable")
		c.noteAnswer(a)
	}
	return a
}

// keep writes the record. After the deadline it still waits a little, within
// the margin: the record of a late answer is wanted all the same.
func (c *check) keep() error {
	ctx := c.ctx
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), c.grace)
		defer cancel()
	}
	err := c.Records.Record(ctx, c.record)
	if err != nil {
		c.Log.ErrorContext(ctx, "record not written", "error", err, "decision_id", c.record.DecisionID)
	}
	return err
}

// recoverInto turns a panic into a recorded 503.
func (c *check) recoverInto(result *Result) {
	p := recover()
	if p == nil {
		return
	}
	c.Log.ErrorContext(c.ctx, "check panicked", "panic", p, "decision_id", c.record.DecisionID, "stack", string(debug.Stack()))
	a := failure("internal")
	c.noteAnswer(a)
	*result = c.result(a)
	defer func() { _ = recover() }() // the recorder may be what panics
	_ = c.keep()
}
