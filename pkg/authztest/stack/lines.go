package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// lines keeps what a process writes, line by line.
type lines struct {
	mu   sync.Mutex
	all  []string
	rest []byte
	more chan struct{} // closed, and replaced, when a line arrives
}

func newLines() *lines { return &lines{more: make(chan struct{})} }

// Write takes a part of the output; it never fails.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte{'\n'})
		if !ok {
			return len(p), nil
		}
		l.all = append(l.all, string(line))
		l.rest = rest
		close(l.more)
		l.more = make(chan struct{})
	}
}

// since returns the lines from the i-th on, and a channel that is closed when
// there are more.
func (l *lines) since(i int) ([]string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all[i:]), l.more
}

// tail returns the last lines, for an error.
func (l *lines) tail() string {
	all, _ := l.since(0)
	return fmt.Sprintf("%q", all[max(0, len(all)-10):])
}

// objects returns the lines that are JSON objects.
func (l *lines) objects() []map[string]any {
	all, _ := l.since(0)
	var objects []map[string]any
	for _, line := range all {
		if o := object(line); o != nil {
			objects = append(objects, o)
		}
	}
	return objects
}

// wait returns the first object, past or to come, that want accepts.
func (l *lines) wait(ctx context.Context, want func(map[string]any) bool) (map[string]any, error) {
	for i := 0; ; {
		next, more := l.since(i)
		for _, line := range next {
			if o := object(line); o != nil && want(o) {
				return o, nil
			}
		}
		i += len(next)
		select {
		case <-more:
		case <-ctx.Done():
			return nil, fmt.Errorf("no such line among %d: %w", i, ctx.Err())
		}
	}
}

// object returns line as a JSON object, or nil.
func object(line string) map[string]any {
	var o map[string]any
	if json.Unmarshal([]byte(line), &o) != nil {
		return nil
	}
	return o
}
