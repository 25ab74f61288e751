package mcp

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// placeholder stands for an expression of a template while it is spelled. No
// URI can contain it: control characters are refused, raw and encoded.
const placeholder = '\x01'

const upperHex = "0123456789ABCDEF"

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func digit(c byte) bool { return '0' <= c && c <= '9' }

func digits(text string) bool {
	for i := range len(text) {
		if !digit(text[i]) {
			return false
		}
	}
	return true
}

// lower lowers A to Z and nothing else: by the tables of Unicode U+0130 and
// U+212A become an ASCII "i" and "k", and one host another.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, text)
}

// unreserved, pathByte and queryByte are the classes of RFC 3986 §2.3, §3.3 and
// §3.4.
func unreserved(c byte) bool {
	return letter(c) || digit(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

func pathByte(c byte) bool {
	return unreserved(c) || c < utf8.RuneSelf && strings.IndexByte("!$&'()*+,;=:@", c) >= 0
}

func queryByte(c byte) bool { return pathByte(c) || c == '/' || c == '?' }

// variable tells whether c stands for an expression.
func (s speller) variable(c byte) bool { return s.template && c == placeholder }

// unhex returns the byte that text begins with in the form %XX.
func unhex(text string) (byte, bool) {
	if len(text) < 3 || text[0] != '%' {
		return 0, false
	}
	var c byte
	for _, d := range []byte(text[1:3]) {
		switch {
		case digit(d):
			d -= '0'
		case 'a' <= d|0x20 && d|0x20 <= 'f':
			d = d | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		c = c<<4 | d
	}
	return c, true
}

// characters refuses what cannot stand anywhere in a URI.
func (s speller) characters(text string) *refusal {
	if !utf8.ValidString(text) {
		return refuse("URI that is not UTF-8")
	}
	for _, r := range text {
		switch {
		case r == placeholder && s.template:
		case r == '\\':
			return refuse("URI with a backslash")
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return refuse("URI with a blank or control character")
		}
	}
	if strings.IndexByte(text, '%') < 0 {
		return nil
	}
	return encodings(text)
}

// encodings refuses percent-encodings that have no single reading.
func encodings(text string) *refusal {
	decoded := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			decoded = append(decoded, text[i])
			continue
		}
		c, ok := unhex(text[i:])
		if !ok {
			return refuse("bad percent-encoding")
		}
		i += 2
		switch {
		case c < 0x20 || c == 0x7f:
			return refuse("encoded control character")
		case c == '\\':
			return refuse("encoded backslash")
		case c == '%' && twoHex(text[i+1:]):
			return refuse("double percent-encoding")
		}
		decoded = append(decoded, c)
	}
	if !utf8.Valid(decoded) {
		return refuse("percent-encoding that is not UTF-8")
	}
	return nil
}

func twoHex(text string) bool {
	_, ok := unhex("%" + text[:min(2, len(text))])
	return ok
}

func encode(b *strings.Builder, c byte) {
	b.WriteByte('%')
	b.WriteByte(upperHex[c>>4])
	b.WriteByte(upperHex[c&15])
}

// writePath writes what may stand raw in a path raw, and all else encoded,
// whichever way it came; but "/" stays as it came. The encodings are valid.
func (s speller) writePath(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		slash := c == '/'
		if decoded, ok := unhex(text[i:]); ok {
			c = decoded
			i += 2
		}
		if slash || pathByte(c) || s.variable(c) {
			b.WriteByte(c)
		} else {
			encode(&b, c)
		}
	}
	return b.String()
}

// writeQuery writes encoded unreserved characters raw, encodes raw characters
// that cannot stand there, and leaves the rest: in a query "&" and "%26" differ.
func (s speller) writeQuery(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); i++ {
		c, encoded := text[i], false
		if c == '%' {
			c, encoded = unhex(text[i:])
			i += 2
		}
		raw := queryByte(c) || s.variable(c)
		if encoded {
			raw = unreserved(c)
		}
		if raw {
			b.WriteByte(c)
		} else {
			encode(&b, c)
		}
	}
	return b.String()
}
