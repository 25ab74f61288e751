package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cedargate/cedargate/pkg/audit"
)

// A gate is a sink whose writes stand still until they are let through. It is
// told how each write ends.
type gate struct {
	entered chan []byte // what a write brings
	let     chan outcome
}

type outcome struct {
	n   int // bytes that come out; -1: all
	err error
}

func newGate() *gate { return &gate{entered: make(chan []byte), let: make(chan outcome)} }

func (g *gate) Write(p []byte) (int, error) {
	g.entered <- bytes.Clone(p)
	o := <-g.let
	if o.n < 0 {
		o.n = len(p)
	}
	return o.n, o.err
}

func allow(id string) audit.Record {
	return audit.Record{Event: "tool_call", Decision: "allow", Layer: "authorization", Reason: "permitted", Status: 200, DecisionID: id}
}

// record starts a Record and gives its result later.
func record(ctx context.Context, log *audit.Log, r audit.Record) <-chan error {
	result := make(chan error, 1)
	go func() { result <- log.Record(ctx, r) }()
	return result
}

// ids returns the decision ids in lines, "failure:" before those of failures.
func ids(t *testing.T, lines []byte) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(string(lines)) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			out = append(out, fmt.Sprintf("broken:%d", len(line)))
			continue
		}
		id := fmt.Sprint(m["decision_id"])
		if m["event"] == "failure" {
			id = fmt.Sprintf("failure:%s:%v:%v:%v", id, m["decision"], m["status"], m["reason"])
		}
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

// Invariant 2: nothing is allowed without a record.
func TestInvariant02RecordWaitsForItsWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newGate()
		log := audit.New(sink)
		first := record(t.Context(), log, allow("a"))
		if got := ids(t, <-sink.entered); got != "a" {
			t.Errorf("first write = %q, want a", got)
		}
		second, third := record(t.Context(), log, allow("b")), record(t.Context(), log, allow("c"))
		synctest.Wait()
		select {
		case err := <-first:
			t.Fatalf("Record = %v before the write had returned", err)
		default:
		}
		sink.let <- outcome{n: -1}
		if err := <-first; err != nil {
			t.Errorf("Record = %v, want nil", err)
		}
		if got := ids(t, <-sink.entered); got != "b c" && got != "c b" {
			t.Errorf("second write = %q, want b and c in one write", got)
		}
		sink.let <- outcome{n: -1}
		if err := errors.Join(<-second, <-third, log.Close()); err != nil {
			t.Errorf("Record, Record, Close = %v, want nil", err)
		}
	})
}

func TestInvariant02FailedWriteIsAnError(t *testing.T) {
	full := errors.New("no space left")
	tests := []struct {
		name string
		end  func(first []byte) outcome // how the write of lines a, b ends
		a, b error                      // what their checks are told
		next string                     // the write after it, with line c
	}{
		{"nothing came out", func([]byte) outcome { return outcome{0, full} }, full, full, "c"},
		{"one line came out", func(w []byte) outcome { return outcome{bytes.IndexByte(w, '\n') + 1, full} }, nil, full, "c"},
		{"half a line came out", func(w []byte) outcome { return outcome{len(w) - 3, full} }, nil, full, "broken:1 c"},
		{"all but the last newline", func(w []byte) outcome { return outcome{len(w) - 1, full} }, nil, full, "broken:1 c"},
		{"short without an error", func(w []byte) outcome { return outcome{len(w) - 3, nil} }, nil, io.ErrShortWrite, "broken:1 c"},
		{"all", func([]byte) outcome { return outcome{-1, nil} }, nil, nil, "c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink := newGate()
				log := audit.New(sink)
				warm := record(t.Context(), log, allow("warm"))
				<-sink.entered
				a := record(t.Context(), log, allow("a"))
				synctest.Wait()
				b := record(t.Context(), log, allow("b"))
				synctest.Wait()
				sink.let <- outcome{n: -1}
				sink.let <- tt.end(<-sink.entered)
				if err := <-warm; err != nil {
					t.Errorf("Record(warm) = %v, want nil", err)
				}
				if err := <-a; !errors.Is(err, tt.a) {
					t.Errorf("Record(a) = %v, want %v", err, tt.a)
				}
				if err := <-b; !errors.Is(err, tt.b) {
					t.Errorf("Record(b) = %v, want %v", err, tt.b)
				}
				c := record(t.Context(), log, allow("c"))
				if got := ids(t, <-sink.entered); got != tt.next {
					t.Errorf("next write = %q, want %q", got, tt.next)
				}
				sink.let <- outcome{n: -1}
				if err := errors.Join(<-c, log.Close()); err != nil {
					t.Errorf("Record(c), Close = %v, want nil", err)
				}
			})
		})
	}
}

func TestRecordTakesBackAnAllowThatWasTooLate(t *testing.T) {
	deny := allow("refused")
	deny.Decision = "deny"
	late := "failure:late:deny:503:deadline"
	tests := []struct {
		name   string
		record audit.Record
		end    outcome
		want   string // all that is written after the first line
	}{
		{"written after all", allow("late"), outcome{n: -1}, late},
		{"never written", allow("late"), outcome{n: 0, err: io.ErrClosedPipe}, ""},
		{"a refusal stands", deny, outcome{n: -1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink := newGate()
				log := audit.New(sink)
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				result := record(ctx, log, tt.record)
				<-sink.entered
				if err := <-result; !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("Record = %v, want %v", err, context.DeadlineExceeded)
				}
				sink.let <- tt.end
				closed := make(chan error, 1)
				go func() { closed <- log.Close() }()
				synctest.Wait()
				var got []byte
				select {
				case got = <-sink.entered:
					sink.let <- outcome{n: -1}
				default:
				}
				<-closed
				if ids(t, got) != tt.want {
					t.Errorf("after the allow came %q, want %q", ids(t, got), tt.want)
				}
			})
		})
	}
}

// A refusal because the deadline is over is recorded too: its context is done.
func TestRecordOfADoneContextIsStillWritten(t *testing.T) {
	var out bytes.Buffer
	log := audit.New(&out)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := log.Record(ctx, audit.Record{DecisionID: "spent", Decision: "deny"})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Record = %v, want nil or %v", err, context.Canceled)
	}
	if err := log.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	if got := ids(t, out.Bytes()); got != "spent" {
		t.Errorf("written = %q, want spent", got)
	}
}

func TestRecordIsRefusedWhenTheQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newGate()
		log := audit.New(sink)
		var results []<-chan error
		for range 1024 {
			results = append(results, record(t.Context(), log, allow("x")))
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := log.Record(ctx, allow("too many")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Record = %v, want %v", err, context.DeadlineExceeded)
		}
		lines := 0
		for lines < 1024 {
			lines += bytes.Count(<-sink.entered, []byte("\n"))
			sink.let <- outcome{n: -1}
		}
		for _, result := range results {
			if err := <-result; err != nil {
				t.Errorf("Record = %v, want nil", err)
			}
		}
		if err := log.Close(); err != nil || lines != 1024 {
			t.Errorf("Close() = %v with %d lines, want nil with 1024", err, lines)
		}
	})
}

func TestCloseEndsTheLog(t *testing.T) {
	log := audit.New(io.Discard)
	if err := errors.Join(log.Close(), log.Close()); err != nil {
		t.Errorf("Close(), Close() = %v, want nil", err)
	}
	if err := log.Record(t.Context(), allow("a")); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("Record after Close = %v, want %v", err, audit.ErrClosed)
	}
}

// Where the reader of a pipe is gone, a record fails and the process lives.
func TestClosedPipeIsAnError(t *testing.T) {
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	log := audit.New(w)
	if err := log.Record(t.Context(), allow("heard")); err != nil {
		t.Errorf("Record = %v, want nil", err)
	}
	r.Close()
	for range 2 {
		if err := log.Record(t.Context(), allow("unheard")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Record to a closed pipe = %v, want %v", err, syscall.EPIPE)
		}
	}
	if err := log.Close(); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Close() = %v, want the last error, %v", err, syscall.EPIPE)
	}
}

// A counter counts lines and writes; only the log's goroutine calls it.
type counter struct{ lines, writes, broken int }

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	for line := range bytes.Lines(p) {
		c.lines++
		if !json.Valid(line) {
			c.broken++
		}
	}
	return len(p), nil
}

func TestConcurrentRecordsAreEachWrittenOnce(t *testing.T) {
	const checks, each = 16, 200
	var sink counter
	log := audit.New(&sink)
	var wg sync.WaitGroup
	for range checks {
		wg.Go(func() {
			for range each {
				if err := log.Record(t.Context(), full()); err != nil {
					t.Errorf("Record = %v, want nil", err)
				}
			}
		})
	}
	wg.Wait()
	if err := log.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	if sink.lines != checks*each || sink.broken != 0 {
		t.Errorf("%d lines, %d of them broken, want %d and 0", sink.lines, sink.broken, checks*each)
	}
}

func BenchmarkRecord(b *testing.B) {
	r := full()
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			sink, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer sink.Close()
			log := audit.New(sink)
			b.ReportAllocs()
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := log.Record(context.Background(), r); err != nil {
						b.Errorf("Record = %v, want nil", err)
						return
					}
				}
			})
			if err := log.Close(); err != nil {
				b.Errorf("Close() = %v, want nil", err)
			}
		})
	}
}
