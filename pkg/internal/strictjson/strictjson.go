// Package strictjson reads JSON in the one way that no other parser reads
// differently: UTF-8 without a BOM, no lone surrogate, one value and nothing
// after it but white space, no duplicate member at any depth, no member name
// that contains U+0000 or is "__proto__", bounded depth, elements and numbers.
//
// What another parser could read as another document is refused, never
// repaired: a request is authorized on this reading and executed on the
// server's (design.md, invariant 5).
package strictjson

import (
	"bytes"
	"iter"
	"strconv"
)

// Kind is the kind of a Value.
type Kind byte

// The kinds of a Value. The zero Kind is that of a value that is not there.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// Limits bounds what Parse accepts. A zero field means no limit, but for Depth,
// which is never above 10,000: the reader recurses.
type Limits struct {
	Depth    int // nested objects and arrays; the outermost value has depth 1
	Elements int // members, objects and arrays; scalars in arrays are free
	Number   int // bytes of one number literal
}

// A Value is one JSON value. The zero Value is absent. Values share the text
// that was parsed, are immutable, and are safe for concurrent use as long as
// nobody writes to that text.
type Value struct {
	kind    Kind
	raw     []byte
	members []Member
}

// A Member is one member of an object.
type Member struct {
	Name  string // decoded
	Value Value
}

// A Class says what a broken Rule means for the answer.
type Class byte

// The classes of an Error.
const (
	NotJSON   Class = iota + 1 // breaks RFC 8259: every parser should refuse it
	Ambiguous                  // JSON, but two parsers may read two documents
	OverLimit                  // above the caller's Limits
)

// An Error says which rule a text breaks, and where. It never quotes the text.
type Error struct {
	Rule   string // a constant text for each rule: "lone surrogate"
	Class  Class
	Offset int // in bytes
}

// Error returns the rule and the offset.
func (e *Error) Error() string { return e.Rule + " at byte " + strconv.Itoa(e.Offset) }

// Parse reads the whole of text as one value. The error is an *Error, for the
// first rule that is broken in the order of the text. Time and memory are
// linear in len(text).
func Parse(text []byte, limits Limits) (Value, error) {
	s := newScanner(text, limits)
	v, err := s.document()
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

// Kind returns the kind of v.
func (v Value) Kind() Kind { return v.kind }

// Raw returns v as it was written, without surrounding white space.
func (v Value) Raw() []byte { return v.raw }

// Text returns the decoded string if v is a String, else "".
func (v Value) Text() string {
	if v.kind != String {
		return ""
	}
	inner := v.raw[1 : len(v.raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	return unescape(inner)
}

// True tells whether v is the literal true.
func (v Value) True() bool { return v.kind == Bool && v.raw[0] == 't' }

// Members returns the members of an Object in the order of the text.
func (v Value) Members() []Member { return v.members }

// Get returns the member of an Object with exactly that name; the zero Value
// if there is none or v is no Object.
func (v Value) Get(name string) Value {
	for i := range v.members {
		if v.members[i].Name == name {
			return v.members[i].Value
		}
	}
	return Value{}
}

// Elements yields the elements of an Array in order; nothing if v is none. It
// reads the text of v again, so that arrays of scalars cost no memory: walking
// nested arrays takes time in proportion to size times depth.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.kind != Array {
			return
		}
		s := newScanner(v.raw, Limits{})
		s.pos++
		more, err := s.first(']')
		for more && err == nil {
			var element Value
			if element, err = s.value(true); err != nil || !yield(element) {
				return
			}
			more, err = s.next(']')
		}
	}
}
