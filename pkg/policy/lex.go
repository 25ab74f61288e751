package policy

import "unicode/utf8"

// A token is one word of Cedar text. Its text is a piece of the file.
type token struct {
	text         string
	offset       int
	line, column int // column counts characters, as cedar-go does
}

// A lexer cuts Cedar text into the same tokens as cedar-go. It is here because
// text must be measured before it is parsed: the parser recurses, and a stack
// overflow ends the process.
type lexer struct {
	text         string
	offset       int
	line, column int
}

func newLexer(text string) *lexer { return &lexer{text: text, line: 1, column: 1} }

// next returns the next token; one with an empty text at the end.
func (l *lexer) next() token {
	l.skipBlanks()
	t := token{offset: l.offset, line: l.line, column: l.column}
	if l.offset == len(l.text) {
		return t
	}
	switch c := l.text[l.offset]; {
	case isWord(c):
		for l.offset < len(l.text) && isWord(l.text[l.offset]) {
			l.step()
		}
	case c == '"':
		l.skipString()
	default:
		l.step()
		if l.offset < len(l.text) && isPair(c, l.text[l.offset]) {
			l.step()
		}
	}
	t.text = l.text[t.offset:l.offset]
	return t
}

func (l *lexer) step() {
	_, size := utf8.DecodeRuneInString(l.text[l.offset:])
	if l.text[l.offset] == '\n' {
		l.line, l.column = l.line+1, 0
	}
	l.offset += size
	l.column++
}

func (l *lexer) skipBlanks() {
	for l.offset < len(l.text) {
		switch c := l.text[l.offset]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			l.step()
		case c == '/' && l.follows("//"):
			for l.offset < len(l.text) && l.text[l.offset] != '\n' {
				l.step()
			}
		case c == '/' && l.follows("/*"):
			l.skipBlock()
		default:
			return
		}
	}
}

// skipBlock skips a comment that Cedar does not have, but cedar-go reads.
func (l *lexer) skipBlock() {
	l.step()
	l.step()
	for l.offset < len(l.text) && !l.follows("*/") {
		l.step()
	}
	for range min(2, len(l.text)-l.offset) {
		l.step()
	}
}

func (l *lexer) follows(s string) bool {
	return len(l.text)-l.offset >= len(s) && l.text[l.offset:l.offset+len(s)] == s
}

// skipString ends at the closing quote, or before the line break that makes
// the string an error.
func (l *lexer) skipString() {
	l.step()
	for l.offset < len(l.text) && l.text[l.offset] != '\n' {
		c := l.text[l.offset]
		l.step()
		if c == '"' {
			return
		}
		if c == '\\' && l.offset < len(l.text) && l.text[l.offset] != '\n' {
			l.step()
		}
	}
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isPair(a, b byte) bool {
	switch a {
	case ':', '|', '&':
		return a == b
	case '=', '!', '<', '>':
		return b == '='
	}
	return false
}
