package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// message fills m from the mapping n. What does not fit is reported and left
// out; the elements of a list keep their places.
func (r *reader) message(path string, n *yaml.Node, m protoreflect.Message) {
	if !r.kind(path, n, yaml.MappingNode, "a mapping") {
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		field := m.Descriptor().Fields().ByName(protoreflect.Name(name.Value))
		if field == nil {
			r.unknown(join(path, name.Value), name, m.Descriptor())
			continue
		}
		r.field(join(path, name.Value), value, m, field)
	}
}

// unknown reports a name that is no field, with the one that may be meant.
func (r *reader) unknown(path string, name *yaml.Node, d protoreflect.MessageDescriptor) {
	var known []string
	for i := range d.Fields().Len() {
		known = append(known, string(d.Fields().Get(i).Name()))
	}
	r.report(name, Problem{Path: path, Message: "unknown field", Hint: suggestion(name.Value, known)})
}

// field sets one field of m.
func (r *reader) field(path string, n *yaml.Node, m protoreflect.Message, field protoreflect.FieldDescriptor) {
	if !field.IsList() {
		if v := m.NewField(field); r.value(path, n, field, &v) {
			m.Set(field, v)
		}
		return
	}
	if !r.kind(path, n, yaml.SequenceNode, "a list") {
		return
	}
	list := m.Mutable(field).List()
	for i, element := range n.Content {
		v := list.NewElement()
		r.value(index(path, i), element, field, &v)
		list.Append(v)
	}
}

// value reads n into v, which holds the zero value of the field's type. It
// tells whether n is of that type.
func (r *reader) value(path string, n *yaml.Node, field protoreflect.FieldDescriptor, v *protoreflect.Value) (ok bool) {
	switch field.Kind() {
	case protoreflect.MessageKind:
		if s, isSchema := v.Message().Interface().(*structpb.Struct); isSchema {
			return r.object(path, n, s)
		}
		r.message(path, n, v.Message())
		return true
	case protoreflect.BoolKind:
		var b bool
		b, ok = r.boolean(path, n)
		*v = protoreflect.ValueOfBool(b)
	case protoreflect.Uint32Kind:
		var u uint32
		u, ok = r.integer(path, n)
		*v = protoreflect.ValueOfUint32(u)
	case protoreflect.StringKind:
		var s string
		s, ok = r.text(path, n)
		*v = protoreflect.ValueOfString(s)
	}
	return ok
}

// kind tells whether n is of a kind, which words name.
func (r *reader) kind(path string, n *yaml.Node, kind yaml.Kind, words string) bool {
	switch n.Kind {
	case kind:
		return true
	case yaml.AliasNode: // reported by tree
	default:
		r.refuse(path, fmt.Sprintf("is %s, want %s", kindOf(n), words), nullHint(n))
	}
	return false
}

// text reads a string. A date is one too: YAML gives it a type of its own.
func (r *reader) text(path string, n *yaml.Node) (string, bool) {
	if !r.kind(path, n, yaml.ScalarNode, "a string") {
		return "", false
	}
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
	case "!!null":
		r.refuse(path, "is null, want a string", nullHint(n))
		return "", false
	default:
		r.refuse(path, fmt.Sprintf("is %s, want a string", kindOf(n)), "write it in quotes")
		return "", false
	}
	switch {
	case n.Value == "":
		r.refuse(path, "is empty", "leave it out for the default")
	case strings.ContainsFunc(n.Value, unicode.IsControl):
		r.refuse(path, "contains a control character", "")
	default:
		return n.Value, true
	}
	return "", false
}

// boolean reads true or false.
func (r *reader) boolean(path string, n *yaml.Node) (value, ok bool) {
	if !r.kind(path, n, yaml.ScalarNode, "true or false") {
		return false, false
	}
	if n.ShortTag() != "!!bool" || n.Value != "true" && n.Value != "false" {
		r.refuse(path, fmt.Sprintf("is %s, want true or false", kindOf(n)), nullHint(n))
		return false, false
	}
	return n.Value == "true", true
}

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// integer reads a number that is not negative. YAML readers differ on 010,
// 0o10 and 1_0.
func (r *reader) integer(path string, n *yaml.Node) (uint32, bool) {
	if !r.kind(path, n, yaml.ScalarNode, "an integer") {
		return 0, false
	}
	value, err := strconv.ParseUint(n.Value, 10, 32)
	if n.ShortTag() != "!!int" || !decimal.MatchString(n.Value) || err != nil {
		r.refuse(path, fmt.Sprintf("is %s, want an integer from 0 to 4294967295 in decimal digits", kindOf(n)), nullHint(n))
		return 0, false
	}
	return uint32(value), true
}

// kindOf names what YAML takes n for, with its text where that is short.
func kindOf(n *yaml.Node) string {
	words := map[string]string{"!!str": "the string", "!!int": "the number", "!!float": "the number",
		"!!bool": "the boolean", "!!timestamp": "the date"}
	switch word, ok := words[n.ShortTag()]; {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "null"
	case ok && len(n.Value) <= 40:
		return word + " " + strconv.Quote(n.Value)
	case ok:
		return word
	default:
		return "a value with a tag"
	}
}

// nullHint is the hint where a value is needed.
func nullHint(n *yaml.Node) string {
	if n.ShortTag() == "!!null" {
		return "give it a value, or leave it out for the default"
	}
	return ""
}
