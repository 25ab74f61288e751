package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// What cedar-go 1.9.0 says about text that it cannot parse: it has no typed
// errors, calls every file <input>, and mostly names the token after the one
// that is wrong.
var (
	parseError  = regexp.MustCompile(`(?s)parse error at <input>:(\d+):(\d+) "(?:[^"\\]|\\.)*": (.*)$`)
	scanError   = regexp.MustCompile(`(?s)<input>:(\d+):(\d+): (.*)$`)
	gotWant     = regexp.MustCompile(`(?s)^exact got (.*) want (.*)$`)
	rangeError  = regexp.MustCompile(`parsing "-?(\d+)": value out of range`)
	noSuchThing = regexp.MustCompile("^`.*` is (?:not )?a ")
)

// syntaxProblem says where in text the parser stumbled, and over what.
func syntaxProblem(file, text string, err error) Problem {
	p := Problem{File: file, Message: strings.TrimPrefix(err.Error(), "parser error: ")}
	if m := parseError.FindStringSubmatch(p.Message); m != nil {
		line, column := atoi(m[1]), atoi(m[2])
		wrong := tokenBefore(text, line, column)
		if strings.HasPrefix(m[3], "got ") || noSuchThing.MatchString(m[3]) || wrong.text == "" {
			wrong.line, wrong.column = line, column
		}
		p.Line, p.Column, p.Message = wrong.line, wrong.column, syntaxMessage(m[3], wrong.text)
		return p
	}
	if m := scanError.FindStringSubmatch(p.Message); m != nil {
		p.Line, p.Column, p.Message = atoi(m[1]), atoi(m[2]), m[3]
		return p
	}
	if m := rangeError.FindStringSubmatch(p.Message); m != nil {
		at := tokenOf(text, m[1])
		p.Line, p.Column = at.line, at.column
		p.Message = fmt.Sprintf("number %s is outside the range of Long", m[1])
		return p
	}
	at := badString(text)
	p.Line, p.Column = at.line, at.column
	return p
}

// badString returns the first string in text with an escape that Cedar does
// not know. What cedar-go says of it has no position.
func badString(text string) token {
	var before token
	l := newLexer(text)
	for t := l.next(); t.text != ""; t = l.next() {
		if t.text[0] == '"' && strings.Contains(t.text, `\`) && !readable(before.text, t.text) {
			return t
		}
		before = t
	}
	return token{}
}

// readable tells whether the parser takes a string; a pattern if it stands
// behind like.
func readable(before, text string) bool {
	if before != "like" {
		before = "=="
	}
	_, err := cedar.NewPolicyListFromBytes("", []byte(`permit (principal, action, resource) when { "" `+before+" "+text+" };"))
	return err == nil
}

func syntaxMessage(message, wrong string) string {
	if m := gotWant.FindStringSubmatch(message); m != nil {
		if m[1] == "" {
			return fmt.Sprintf("found the end of the file, want %q", m[2])
		}
		return fmt.Sprintf("found %q, want %q", m[1], m[2])
	}
	if strings.HasPrefix(message, "unexpected effect: ") {
		return fmt.Sprintf("found %q, want permit or forbid", wrong)
	}
	if message == "invalid primary" {
		return fmt.Sprintf("found %q, want an expression", wrong)
	}
	return message
}

// tokenBefore returns the last token before a position; at the end of the
// text, where the parser cannot go further, the last one is the wrong one.
func tokenBefore(text string, line, column int) token {
	var before token
	l := newLexer(text)
	for t := l.next(); t.text != ""; t = l.next() {
		if t.line > line || t.line == line && t.column >= column {
			break
		}
		before = t
	}
	return before
}

func tokenOf(text, want string) token {
	l := newLexer(text)
	for t := l.next(); t.text != ""; t = l.next() {
		if t.text == want {
			return t
		}
	}
	return token{}
}

// atoi reads digits that a regular expression found.
func atoi(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}
