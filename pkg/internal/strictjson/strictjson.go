// Package strictjson reads JSON in the one way that no other parser reads
// differently: UTF-8 without a BOM, no lone surrogate, one value and nothing
// after it but white space, no duplicate member at any depth, no member name
// that contains U+0000 or is "__proto__", bounded depth, elements and numbers.
//
// What another parser could read as another document is refused, never
// repaired: a request is authorized on this reading and executed on the
// server's (design.md, invariant 5).
package strictjson

import "iter"

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

// Limits bounds what Parse accepts. A zero field means no limit.
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

// Parse reads the whole of text as one value. The error is an *Error.
// Time and memory are linear in len(text).
func Parse(text []byte, limits Limits) (Value, error) { panic("to be written") }

// Kind returns the kind of v.
func (v Value) Kind() Kind { return v.kind }

// Raw returns v as it was written, without surrounding white space.
func (v Value) Raw() []byte { return v.raw }

// Text returns the decoded string if v is a String, else "".
func (v Value) Text() string { panic("to be written") }

// True tells whether v is the literal true.
func (v Value) True() bool { panic("to be written") }

// Members returns the members of an Object in the order of the text.
func (v Value) Members() []Member { return v.members }

// Get returns the member of an Object with exactly that name; the zero Value
// if there is none or v is no Object.
func (v Value) Get(name string) Value { panic("to be written") }

// Elements yields the elements of an Array in order.
func (v Value) Elements() iter.Seq[Value] { panic("to be written") }
