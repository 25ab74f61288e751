package main

import (
	"fmt"
	"io"
	"strings"
)

// A transcript is what the reader sees. A line that states a fact is checked
// as it is written: a story that went otherwise cannot look as if it went well.
type transcript struct {
	out            io.Writer
	stated, failed int
}

// heading begins a part of the story.
func (t *transcript) heading(text string) {
	fmt.Fprintf(t.out, "\n%s\n%s\n", text, strings.Repeat("=", len(text)))
}

// say writes a sentence that states nothing to check.
func (t *transcript) say(format string, args ...any) {
	fmt.Fprintf(t.out, format+"\n", args...)
}

// state writes what was found, which must be what was expected. Both are
// compared as text.
func (t *transcript) state(label string, got, want any) {
	found, expected := fmt.Sprint(got), fmt.Sprint(want)
	t.show(label, found)
	t.check(label, found == expected, expected, found)
}

// check counts one statement, and says what is wrong with it.
func (t *transcript) check(label string, holds bool, expected, found any) {
	t.stated++
	if !holds {
		t.failed++
		t.show("FAILED", fmt.Sprintf("%s: expected %v, got %v", label, expected, found))
	}
}

// fail counts a statement that could not even be made.
func (t *transcript) fail(label string, err error) { t.check(label, err == nil, "no error", err) }

// show writes text of one or more lines beside its label.
func (t *transcript) show(label, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(t.out, "  %-10s %s\n", label, strings.TrimRight(line, "\n"))
		label = ""
	}
}

// verdict says how the story ended; the error is that it did not hold.
func (t *transcript) verdict() error {
	if t.failed > 0 {
		t.say("\n%d of %d statements do not hold.", t.failed, t.stated)
		return fmt.Errorf("%d of %d statements do not hold", t.failed, t.stated)
	}
	t.say("\nAll %d statements hold.", t.stated)
	return nil
}
