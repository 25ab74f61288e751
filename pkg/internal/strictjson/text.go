package strictjson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// plain marks the bytes that stand for themselves in a string.
var plain = func() (table [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// string moves past a string, and tells whether it has escapes.
func (s *scanner) string() (escaped bool, err *Error) {
	s.pos++
	for {
		rest := s.text[s.pos:]
		n := 0
		for n < len(rest) && plain[rest[n]] {
			n++
		}
		s.pos += n
		if n == len(rest) {
			return false, s.fail(ruleEnd)
		}
		switch c := rest[n]; {
		case c == '"':
			s.pos++
			return escaped, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return false, err
			}
		case c < 0x20:
			return false, s.fail(ruleControl)
		default:
			r, size := utf8.DecodeRune(rest[n:])
			if r == utf8.RuneError && size == 1 {
				return false, s.fail(ruleUTF8)
			}
			s.pos += size
		}
	}
}

// escape moves past one escape, or past the two that make a surrogate pair.
func (s *scanner) escape() *Error {
	rest := s.text[s.pos:]
	if len(rest) < 2 {
		return s.fail(ruleEnd)
	}
	switch rest[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	}
	r, ok := unicodeEscape(rest)
	switch {
	case !ok:
		return s.fail(ruleEscape)
	case !utf16.IsSurrogate(r):
		s.pos += 6
		return nil
	}
	low, _ := unicodeEscape(rest[6:])
	if utf16.DecodeRune(r, low) == utf8.RuneError {
		return s.fail(ruleSurrogate)
	}
	s.pos += 12
	return nil
}

// unicodeEscape reads the \uXXXX that text begins with.
func unicodeEscape(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range text[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number moves past a number (RFC 8259 §6).
func (s *scanner) number() *Error {
	start := s.pos
	if s.text[s.pos] == '-' {
		s.pos++
	}
	zero := s.pos < len(s.text) && s.text[s.pos] == '0'
	if n := s.digits(); n == 0 || zero && n > 1 {
		return s.failAt(ruleNumber, start)
	}
	if s.pos < len(s.text) && s.text[s.pos] == '.' {
		s.pos++
		if s.digits() == 0 {
			return s.failAt(ruleNumber, start)
		}
	}
	if s.pos < len(s.text) && s.text[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.text) && (s.text[s.pos] == '+' || s.text[s.pos] == '-') {
			s.pos++
		}
		if s.digits() == 0 {
			return s.failAt(ruleNumber, start)
		}
	}
	if s.pos-start > s.limits.Number {
		return s.failAt(ruleNumberLiteral, start)
	}
	return nil
}

// digits moves past digits and returns how many they were.
func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.text) && '0' <= s.text[s.pos] && s.text[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

// unescape decodes what stands between the quotes of a string that was scanned.
func unescape(inner []byte) string {
	out := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); {
		c := inner[i]
		if c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		if inner[i+1] != 'u' {
			out = append(out, unescaped(inner[i+1]))
			i += 2
			continue
		}
		r, _ := unicodeEscape(inner[i:])
		i += 6
		if utf16.IsSurrogate(r) {
			low, _ := unicodeEscape(inner[i:])
			r = utf16.DecodeRune(r, low)
			i += 6
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// unescaped returns what the escape \c stands for.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // a quote, a backslash or a slash
}
