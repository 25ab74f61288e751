package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// ErrClosed is returned by Record after Close.
var ErrClosed = errors.New("audit log is closed")

// waiting bounds the records that are not written yet. A sink that stands
// still must not take the memory of the process.
const waiting = 1024

// A Log writes records as JSON lines to one writer. Records of checks that run
// at once share a write. A Log is safe for concurrent use; New makes one.
type Log struct {
	w     io.Writer
	slots chan struct{} // one for each record that waits
	wake  chan struct{} // holds an element while there may be something to write
	done  chan struct{} // closed when the writing goroutine has ended

	mu     sync.Mutex
	queue  batch
	closed bool

	// Owned by the writing goroutine.
	torn bool  // the last line lacks its end
	last error // of the last write; read after done
}

// A batch is what one write brings out.
type batch struct {
	text  []byte
	lines []*line
}

// A line is one record on its way.
type line struct {
	end    int // of the record in batch.text
	result chan error
	// late is set when nobody waits any more: the text that must follow if
	// this line is written after all. Guarded by Log.mu.
	late []byte
}

// New returns a Log that writes to w, each batch of lines with one call of
// Write. One goroutine runs until Close. Where w is a pipe, the process must
// ignore SIGPIPE to survive its reader.
func New(w io.Writer) *Log {
	l := &Log{
		w:     w,
		slots: make(chan struct{}, waiting),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	go l.run()
	return l
}

// Record writes r. It returns nil only after the write of its line has
// returned; every error means that the caller must not allow.
//
// When ctx ends first, Record returns its error at once, but the line stays on
// its way, so that a refusal for a spent deadline is recorded too. If it was an
// allow, a record of the failure with the same decision id follows it, because
// the answer was none. With no room in the queue until ctx ends, r is lost.
func (l *Log) Record(ctx context.Context, r Record) error {
	select {
	case l.slots <- struct{}{}:
	default: // full
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("queueing record: %w", ctx.Err())
		}
	}
	ln := &line{result: make(chan error, 1)}
	if err := l.enqueue(ln, &r); err != nil {
		<-l.slots
		return err
	}
	select {
	case err := <-ln.result:
		return err
	case <-ctx.Done():
		return l.abandon(ctx, ln, &r)
	}
}

// Close writes what is queued and stops. It returns the error of the last
// write, and does not close the writer. It waits for as long as the writer
// blocks.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
	<-l.done
	return l.last
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func (l *Log) enqueue(ln *line, r *Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.queue.text = appendLine(l.queue.text, r)
	ln.end = len(l.queue.text)
	l.queue.lines = append(l.queue.lines, ln)
	l.signal()
	return nil
}

// abandon gives up waiting for ln, unless its write has just returned.
func (l *Log) abandon(ctx context.Context, ln *line, r *Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case err := <-ln.result:
		return err
	default:
	}
	if r.Decision == decisionAllow {
		ln.late = appendLine(nil, failed(r))
	}
	return fmt.Errorf("writing record: %w", ctx.Err())
}

// failed is the record that takes back an allow which nobody was given.
func failed(r *Record) *Record {
	f := *r
	f.Time = time.Now()
	f.Event = "failure"
	f.Decision = decisionDeny
	f.Layer = "internal"
	f.Reason = "deadline" // as it was answered: it outranks a record that is not written
	f.Status = http.StatusServiceUnavailable
	f.Detail = "the allow was recorded too late and was answered 503"
	return &f
}

// run is the writing goroutine.
func (l *Log) run() {
	defer close(l.done)
	var spare batch
	for {
		current, closed := l.take(spare)
		switch {
		case len(current.text) > 0:
			n, err := l.write(current.text)
			l.settle(current.lines, n, err)
		case closed:
			return
		default:
			<-l.wake
		}
		spare = current.recycle()
	}
}

// take returns what is queued, and lets the queue go on in the memory of spare.
func (l *Log) take(spare batch) (current batch, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	current, l.queue = l.queue, spare
	return current, l.closed
}

// write writes text and returns how much of it came out.
func (l *Log) write(text []byte) (int, error) {
	head := 0
	if l.torn {
		// End the partial line, so that it cannot swallow the next one.
		text = append([]byte{'\n'}, text...)
		head = 1
	}
	n, err := l.w.Write(text)
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	l.last = err
	if n > 0 {
		l.torn = text[n-1] != '\n'
	}
	return n - head, err
}

// settle tells each line whether it is among the n bytes that came out.
func (l *Log) settle(lines []*line, n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ln := range lines {
		if ln.end > n {
			ln.result <- fmt.Errorf("writing record: %w", err)
		} else {
			ln.result <- nil
			l.queue.text = append(l.queue.text, ln.late...)
		}
		<-l.slots
	}
}

// recycle empties b and keeps its memory, if that is worth keeping.
func (b batch) recycle() batch {
	const keep = 1 << 20
	clear(b.lines)
	if cap(b.text) > keep {
		b.text = nil
	}
	return batch{text: b.text[:0], lines: b.lines[:0]}
}
