package strictjson

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth keeps the recursion of the scanner small whatever the limits say.
const maxDepth = 10_000

// fewMembers is the number of members up to which names are compared one by
// one. Above it they are hashed: with a seed of this process, so that nobody
// can prepare collisions.
const fewMembers = 16

// A rule is what a text can break.
type rule struct {
	text  string
	class Class
}

var (
	ruleBOM           = rule{"BOM", NotJSON}
	ruleUTF8          = rule{"invalid UTF-8", NotJSON}
	ruleEnd           = rule{"unexpected end", NotJSON}
	ruleCharacter     = rule{"unexpected character", NotJSON}
	ruleTrailing      = rule{"trailing data", NotJSON}
	ruleControl       = rule{"control character in a string", NotJSON}
	ruleEscape        = rule{"bad escape", NotJSON}
	ruleNumber        = rule{"bad number", NotJSON}
	ruleSurrogate     = rule{"lone surrogate", Ambiguous}
	ruleDuplicate     = rule{"duplicate member", Ambiguous}
	ruleNUL           = rule{"NUL in a member name", Ambiguous}
	ruleProto         = rule{"member __proto__", Ambiguous}
	ruleDepth         = rule{"nested too deep", OverLimit}
	ruleElements      = rule{"too many members, objects and arrays", OverLimit}
	ruleNumberLiteral = rule{"number literal too long", OverLimit}
)

// A scanner reads one text from left to right, once.
type scanner struct {
	text     []byte
	pos      int
	limits   Limits
	depth    int
	elements int
	open     []Member // of all objects that are not closed yet, outermost first
	names    string   // a copy of text that names are cut from; "" before the first
}

func newScanner(text []byte, limits Limits) *scanner {
	if limits.Depth <= 0 || limits.Depth > maxDepth {
		limits.Depth = maxDepth
	}
	if limits.Elements <= 0 {
		limits.Elements = len(text)*2 + 1 // more than a text can hold
	}
	if limits.Number <= 0 {
		limits.Number = len(text)
	}
	return &scanner{text: text, limits: limits}
}

func (s *scanner) fail(r rule) *Error { return s.failAt(r, s.pos) }

func (s *scanner) failAt(r rule, offset int) *Error {
	return &Error{Rule: r.text, Class: r.class, Offset: offset}
}

// unexpected is the error for a byte that cannot stand here.
func (s *scanner) unexpected() *Error {
	switch {
	case s.pos >= len(s.text):
		return s.fail(ruleEnd)
	case s.text[s.pos] >= utf8.RuneSelf && !validRune(s.text[s.pos:]):
		return s.fail(ruleUTF8)
	}
	return s.fail(ruleCharacter)
}

func validRune(text []byte) bool {
	r, n := utf8.DecodeRune(text)
	return r != utf8.RuneError || n > 1
}

func (s *scanner) document() (Value, *Error) {
	if bytes.HasPrefix(s.text, []byte("\xef\xbb\xbf")) {
		return Value{}, s.fail(ruleBOM)
	}
	s.space()
	v, err := s.value(true)
	if err != nil {
		return Value{}, err
	}
	s.space()
	if s.pos < len(s.text) {
		return Value{}, s.fail(ruleTrailing)
	}
	return v, nil
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// value reads the value that begins here. keep says whether the members of an
// object are wanted; those of objects in arrays are only checked.
func (s *scanner) value(keep bool) (Value, *Error) {
	if s.pos >= len(s.text) {
		return Value{}, s.fail(ruleEnd)
	}
	start := s.pos
	var v Value
	var err *Error
	switch s.text[s.pos] {
	case '"':
		v.kind = String
		_, err = s.string()
	case '{':
		v.kind = Object
		v.members, err = s.object(keep)
	case '[':
		v.kind = Array
		err = s.array()
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		v.kind = Number
		err = s.number()
	default:
		v.kind, err = s.literal()
	}
	if err != nil {
		return Value{}, err
	}
	v.raw = s.text[start:s.pos:s.pos]
	return v, nil
}

func (s *scanner) literal() (Kind, *Error) {
	rest := s.text[s.pos:]
	switch {
	case bytes.HasPrefix(rest, []byte("null")):
		s.pos += len("null")
		return Null, nil
	case bytes.HasPrefix(rest, []byte("true")):
		s.pos += len("true")
		return Bool, nil
	case bytes.HasPrefix(rest, []byte("false")):
		s.pos += len("false")
		return Bool, nil
	}
	return Absent, s.unexpected()
}

// count counts one member, object or array.
func (s *scanner) count() *Error {
	s.elements++
	if s.elements > s.limits.Elements {
		return s.fail(ruleElements)
	}
	return nil
}

// enter moves into an object or array, past its bracket.
func (s *scanner) enter() *Error {
	s.depth++
	if s.depth > s.limits.Depth {
		return s.fail(ruleDepth)
	}
	if err := s.count(); err != nil {
		return err
	}
	s.pos++
	return nil
}

// first tells whether an object or array has a first element, and moves to it;
// if it has none, past the closing bracket.
func (s *scanner) first(closing byte) (bool, *Error) {
	s.space()
	if s.pos < len(s.text) && s.text[s.pos] == closing {
		s.pos++
		return false, nil
	}
	return true, nil
}

// next tells whether another element follows, and moves to it; if none does,
// past the closing bracket.
func (s *scanner) next(closing byte) (bool, *Error) {
	s.space()
	if s.pos >= len(s.text) {
		return false, s.fail(ruleEnd)
	}
	switch s.text[s.pos] {
	case ',':
		s.pos++
		s.space()
		return true, nil
	case closing:
		s.pos++
		return false, nil
	}
	return false, s.unexpected()
}

func (s *scanner) array() *Error {
	if err := s.enter(); err != nil {
		return err
	}
	more, err := s.first(']')
	for more && err == nil {
		if _, err = s.value(false); err != nil {
			return err
		}
		more, err = s.next(']')
	}
	s.depth--
	return err
}

func (s *scanner) object(keep bool) ([]Member, *Error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	base := len(s.open)
	var many map[string]struct{}
	more, err := s.first('}')
	for more && err == nil {
		start := s.pos
		var m Member
		if m, err = s.member(keep); err != nil {
			return nil, err
		}
		var again bool
		if many, again = repeats(m.Name, s.open[base:], many); again {
			return nil, s.failAt(ruleDuplicate, start)
		}
		s.open = append(s.open, m)
		more, err = s.next('}')
	}
	var members []Member
	if keep {
		members = slices.Clone(s.open[base:])
	}
	s.open = s.open[:base]
	s.depth--
	return members, err
}

// repeats tells whether name is among the members so far. many holds their
// names once they are more than a few.
func repeats(name string, members []Member, many map[string]struct{}) (map[string]struct{}, bool) {
	if many == nil && len(members) < fewMembers {
		for i := range members {
			if members[i].Name == name {
				return nil, true
			}
		}
		return nil, false
	}
	if many == nil {
		many = make(map[string]struct{}, 4*fewMembers)
		for i := range members {
			many[members[i].Name] = struct{}{}
		}
	}
	_, again := many[name]
	many[name] = struct{}{}
	return many, again
}

func (s *scanner) member(keep bool) (Member, *Error) {
	if err := s.count(); err != nil {
		return Member{}, err
	}
	name, err := s.name()
	if err != nil {
		return Member{}, err
	}
	s.space()
	if s.pos >= len(s.text) || s.text[s.pos] != ':' {
		return Member{}, s.unexpected()
	}
	s.pos++
	s.space()
	v, err := s.value(keep)
	return Member{Name: name, Value: v}, err
}

func (s *scanner) name() (string, *Error) {
	if s.pos >= len(s.text) || s.text[s.pos] != '"' {
		return "", s.unexpected()
	}
	start := s.pos
	escaped, err := s.string()
	if err != nil {
		return "", err
	}
	if s.names == "" {
		s.names = string(s.text)
	}
	name := s.names[start+1 : s.pos-1]
	if escaped {
		name = unescape(s.text[start+1 : s.pos-1])
	}
	switch {
	case name == "__proto__":
		return "", s.failAt(ruleProto, start)
	case escaped && strings.IndexByte(name, 0) >= 0:
		return "", s.failAt(ruleNUL, start)
	}
	return name, nil
}
