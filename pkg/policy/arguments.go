package policy

import (
	"github.com/cedar-policy/cedar-go"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// maxElements bounds an array that becomes a Set: building one is quadratic
// where hashes collide, and Cedar's hashes are easy to make collide.
const maxElements = 256

// An argument is one argument of a call on its way into Cedar.
type argument struct {
	name    string
	value   strictjson.Value // zero: not there
	typ     argType
	cedar   cedar.Value // of a present argument that is no record
	members []*argument // read ones, of a record
}

// A refusal says why the arguments are not what the policies were validated
// with. The zero refusal is none.
type refusal struct {
	reason, argument, expected string
	path                       []string
}

// An admission checks the arguments of one call and converts what rules read.
type admission struct {
	tool *catalogueTool // nil: not in the catalogue
	root argument
}

func newAdmission(tool *catalogueTool, arguments strictjson.Value) *admission {
	return &admission{tool: tool, root: argument{value: arguments, typ: argType{kind: kindRecord}}}
}

// admit checks the reads of r in order; the first that fails is the refusal.
func (a *admission) admit(r *rule) refusal {
	for i := range r.reads {
		if reason := a.admitRead(&r.reads[i]); reason != "" {
			return refusal{reason: reason, argument: r.reads[i].text, expected: r.reads[i].argType.String(), path: r.reads[i].path}
		}
	}
	return refusal{}
}

func (a *admission) admitRead(r *read) (reason string) {
	parent := a.find(r.path[:len(r.path)-1])
	if parent == nil {
		return "" // nothing is required of what is not there
	}
	name := r.path[len(r.path)-1]
	arg := parent.member(name)
	if arg == nil {
		value, clash := pick(parent, name)
		if clash {
			return "argument_case"
		}
		arg = &argument{name: name, value: value}
		parent.members = append(parent.members, arg)
	}
	if arg.value.Kind() == strictjson.Absent {
		if r.required {
			return "argument_missing"
		}
		return ""
	}
	if arg.value.Kind() == strictjson.Null && a.nullable(r.path) {
		return ""
	}
	if !arg.convert(r.argType) {
		return "argument_type"
	}
	return ""
}

// find returns the object at a path whose prefixes have been admitted; nil if
// it is not there. Arguments that are not there are an empty object.
func (a *admission) find(path []string) *argument {
	at := &a.root
	for _, name := range path {
		at = at.member(name)
		if at == nil || at.value.Kind() != strictjson.Object {
			return nil
		}
	}
	return at
}

func (a *argument) member(name string) *argument {
	for _, m := range a.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// pick finds the member of parent with that name. clash means that there is
// another that the server may take for it. The tool's schema does not declare
// the other one: a policy that reads one of two such names is not loaded.
func pick(parent *argument, name string) (value strictjson.Value, clash bool) {
	for _, m := range parent.value.Members() {
		switch {
		case m.Name == name:
			value = m.Value
		case alike(m.Name, name):
			return strictjson.Value{}, true
		}
	}
	return value, false
}

func (a *admission) shape(path []string) *shape {
	if a.tool == nil {
		return nil
	}
	return a.tool.shapes[pathKey(path)]
}

// nullable tells whether null at path counts as absent.
func (a *admission) nullable(path []string) bool {
	s := a.shape(path)
	return s != nil && s.nullable
}

// convert gives a the type t. Two rules may have been validated with two types
// where the tool's own schema is silent; then no value suits both, but for a
// rule that only asks whether there is one.
func (a *argument) convert(t argType) bool {
	if a.cedar != nil || a.typ.kind == kindRecord {
		if t == a.typ || t.kind == kindOpaque {
			return true
		}
		if a.typ.kind != kindOpaque {
			return false
		}
	}
	if t.kind == kindRecord {
		a.typ, a.cedar = t, nil
		return a.value.Kind() == strictjson.Object
	}
	value, ok := cedarValue(a.value, t)
	if ok {
		a.typ, a.cedar = t, value
	}
	return ok
}

// record returns the read members of a, for Cedar.
func (a *argument) record() cedar.Record {
	members := make(cedar.RecordMap, len(a.members))
	for _, m := range a.members {
		switch {
		case m.typ.kind == kindRecord:
			members[cedar.String(m.name)] = m.record()
		case m.cedar != nil:
			members[cedar.String(m.name)] = m.cedar
		}
	}
	return cedar.NewRecord(members)
}

// cedarValue converts v to t. It fails where v is not of that type: nothing is
// rounded, cut or dropped, since a condition on what Cedar does not see as it
// is would sleep.
func cedarValue(v strictjson.Value, t argType) (cedar.Value, bool) {
	switch t.kind {
	case kindString:
		return cedar.String(v.Text()), v.Kind() == strictjson.String
	case kindBool:
		return cedar.Boolean(v.True()), v.Kind() == strictjson.Bool
	case kindLong:
		if v.Kind() != strictjson.Number {
			return nil, false
		}
		return result(parseLiteral(string(v.Raw())).long())
	case kindDecimal:
		if v.Kind() != strictjson.Number {
			return nil, false
		}
		return result(parseLiteral(string(v.Raw())).decimal())
	case kindSet:
		return cedarSet(v, t.elem)
	}
	return cedar.Record{}, true
}

func result[T cedar.Value](value T, ok bool) (cedar.Value, bool) { return value, ok }

func cedarSet(v strictjson.Value, elem kind) (cedar.Value, bool) {
	if v.Kind() != strictjson.Array {
		return nil, false
	}
	var values []cedar.Value
	for e := range v.Elements() {
		if len(values) == maxElements {
			return nil, false
		}
		value, ok := cedarValue(e, argType{kind: elem})
		if !ok {
			return nil, false
		}
		values = append(values, value)
	}
	return cedar.NewSet(values...), true
}

// undeclared returns the first member of the arguments that the tool's schema
// does not declare; "" if there is none.
func (a *admission) undeclared() string {
	var declared []string
	if s := a.shape(nil); s != nil {
		declared = s.declared
	}
	known := make(map[string]struct{}, len(declared))
	for _, name := range declared {
		known[name] = struct{}{}
	}
	for _, m := range a.root.value.Members() {
		if _, ok := known[m.Name]; !ok {
			return m.Name
		}
	}
	return ""
}
