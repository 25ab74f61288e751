package policy

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// A kind is a type of an argument. The zero kind can only be tested with has:
// it takes any value, and Cedar sees an empty record.
type kind byte

const (
	kindOpaque kind = iota
	kindString
	kindLong
	kindDecimal
	kindBool
	kindSet
	kindRecord
)

// String is the name of the Cedar type.
func (k kind) String() string {
	return [...]string{"any", "String", "Long", "decimal", "Bool", "Set", "Record"}[k]
}

// An argType is the type of one argument; elem is that of a set's elements.
type argType struct{ kind, elem kind }

// String is the name of the Cedar type, with that of its elements.
func (t argType) String() string {
	if t.kind == kindSet {
		return "Set<" + t.elem.String() + ">"
	}
	return t.kind.String()
}

// A shape is what the input_schema of one tool declares at one path.
type shape struct {
	argType
	nullable bool     // null counts as absent
	required bool     // by the schema of the record it stands in
	declared []string // the members that a record declares
}

// A document is one input_schema. It is read along paths, never expanded:
// references can make the whole of it exponentially large.
type document struct{ root strictjson.Value }

// maxSchema bounds one input_schema, in bytes.
const maxSchema = 1 << 20

func parseDocument(text []byte) (*document, error) {
	if len(text) > maxSchema {
		return nil, fmt.Errorf("longer than %d bytes", maxSchema)
	}
	root, err := strictjson.Parse(text, strictjson.Limits{Depth: 64, Elements: 100_000})
	if err != nil {
		return nil, err
	}
	if root.Kind() != strictjson.Object {
		return nil, fmt.Errorf("not an object")
	}
	return &document{root}, nil
}

// shape returns what the schema declares at path; nil if it does not.
func (d *document) shape(path []string) *shape {
	in := inspection{root: d.root}
	at := in.typeOf(d.root)
	if at.kind != kindRecord { // arguments are an object, whatever the schema says
		at = in.object(d.root)
	}
	required := false
	for _, name := range path {
		if at.kind != kindRecord {
			return nil
		}
		member := at.properties.Get(name)
		if member.Kind() == strictjson.Absent {
			return nil
		}
		required = contains(at.required, name)
		at = in.typeOf(member)
	}
	s := &shape{argType: at.argType, nullable: at.nullable, required: required}
	for _, m := range at.properties.Members() {
		s.declared = append(s.declared, m.Name)
	}
	return s
}

// An inspection follows one path through a schema.
type inspection struct {
	root strictjson.Value
	// refs are those followed so far. One that comes again is a cycle, or a
	// branch of a union; following each but once keeps the work linear.
	refs []string
}

// A typed is one schema, read.
type typed struct {
	argType
	nullable             bool
	properties, required strictjson.Value // of a record
}

// typeOf reads a schema. A keyword beside the one that gives the type can only
// narrow it, so it is not looked at.
func (in *inspection) typeOf(schema strictjson.Value) typed {
	if schema.Kind() != strictjson.Object {
		return typed{}
	}
	if ref := schema.Get("$ref"); ref.Kind() != strictjson.Absent {
		return in.follow(ref.Text())
	}
	if t := schema.Get("type"); t.Kind() != strictjson.Absent {
		return in.named(t, schema)
	}
	if isStrings(schema.Get("enum")) {
		return typed{argType: argType{kind: kindString}}
	}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		if branches := schema.Get(keyword); branches.Kind() == strictjson.Array {
			return in.union(slices.Collect(branches.Elements()))
		}
	}
	if all := slices.Collect(schema.Get("allOf").Elements()); len(all) == 1 {
		return in.typeOf(all[0])
	}
	return typed{}
}

// follow reads what a local reference (RFC 6901) names.
func (in *inspection) follow(ref string) typed {
	pointer, err := url.PathUnescape(ref)
	if err != nil || slices.Contains(in.refs, ref) || ref != "#" && !strings.HasPrefix(ref, "#/") {
		return typed{}
	}
	in.refs = append(in.refs, ref)
	target := in.root
	for _, name := range strings.Split(pointer, "/")[1:] {
		target = target.Get(strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
	}
	return in.typeOf(target)
}

// named reads a schema by its "type".
func (in *inspection) named(t, schema strictjson.Value) typed {
	if t.Kind() == strictjson.String {
		return in.single(t.Text(), schema)
	}
	names := slices.Collect(t.Elements())
	others := slices.DeleteFunc(slices.Clone(names), func(v strictjson.Value) bool { return v.Text() == "null" })
	result := typed{}
	if len(others) == 1 {
		result = in.single(others[0].Text(), schema)
	}
	result.nullable = result.nullable || len(others) < len(names)
	return result
}

func (in *inspection) single(name string, schema strictjson.Value) typed {
	switch name {
	case "null":
		return typed{nullable: true}
	case "array":
		return in.array(schema)
	case "object":
		return in.object(schema)
	}
	return typed{argType: argType{kind: scalarKind(name)}}
}

func scalarKind(name string) kind {
	switch name {
	case "string":
		return kindString
	case "integer":
		return kindLong
	case "number":
		return kindDecimal
	case "boolean":
		return kindBool
	}
	return kindOpaque
}

func (in *inspection) array(schema strictjson.Value) typed {
	if schema.Get("prefixItems").Kind() != strictjson.Absent {
		return typed{}
	}
	items := in.typeOf(schema.Get("items"))
	switch items.kind {
	case kindString, kindLong, kindDecimal, kindBool:
		if !items.nullable {
			return typed{argType: argType{kindSet, items.kind}}
		}
	}
	return typed{}
}

func (in *inspection) object(schema strictjson.Value) typed {
	properties := schema.Get("properties")
	if len(properties.Members()) == 0 {
		return typed{}
	}
	return typed{argType: argType{kind: kindRecord}, properties: properties, required: schema.Get("required")}
}

// union reads anyOf and oneOf: of exactly a type and null it is that type.
func (in *inspection) union(branches []strictjson.Value) typed {
	var types []typed
	null, nullable := false, false
	for _, b := range branches {
		if b.Get("type").Text() == "null" {
			null = true
			continue
		}
		t := in.typeOf(b)
		types = append(types, t)
		nullable = nullable || t.nullable
	}
	result := typed{}
	if null && len(types) == 1 {
		result = types[0]
	}
	result.nullable = null || nullable
	return result
}

func isStrings(v strictjson.Value) bool {
	count := 0
	for e := range v.Elements() {
		if e.Kind() != strictjson.String {
			return false
		}
		count++
	}
	return count > 0
}

func contains(list strictjson.Value, name string) bool {
	for e := range list.Elements() {
		if e.Kind() == strictjson.String && e.Text() == name {
			return true
		}
	}
	return false
}

// pathText writes a path of arguments as policies do: opts.force, opts["dry-run"].
func pathText(path []string) string {
	var b strings.Builder
	for _, name := range path {
		if !isIdentifier(name) {
			b.WriteString("[" + strconv.Quote(name) + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(name)
	}
	return b.String()
}

func isIdentifier(name string) bool {
	for i := range len(name) {
		if !isWord(name[i]) || i == 0 && name[i] >= '0' && name[i] <= '9' {
			return false
		}
	}
	return name != ""
}
