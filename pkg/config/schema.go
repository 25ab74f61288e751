package config

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// object reads a mapping that means a JSON object into s.
func (r *reader) object(path string, n *yaml.Node, s *structpb.Struct) bool {
	if !r.kind(path, n, yaml.MappingNode, "a mapping") {
		return false
	}
	s.Fields = map[string]*structpb.Value{}
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		field := join(path, name.Value)
		if name.Value == "type" && slices.ContainsFunc(value.Content, isNull) {
			r.refuse(field, "names the type null without quotes", `write "null"`)
		}
		s.Fields[name.Value] = r.json(field, value)
	}
	return true
}

func isNull(n *yaml.Node) bool { return n.ShortTag() == "!!null" }

// json reads any value that JSON has too.
func (r *reader) json(path string, n *yaml.Node) *structpb.Value {
	switch n.Kind {
	case yaml.MappingNode:
		s := &structpb.Struct{}
		r.object(path, n, s)
		return structpb.NewStructValue(s)
	case yaml.SequenceNode:
		list := &structpb.ListValue{}
		for i, element := range n.Content {
			list.Values = append(list.Values, r.json(index(path, i), element))
		}
		return structpb.NewListValue(list)
	case yaml.ScalarNode:
		return r.jsonScalar(path, n)
	}
	return structpb.NewNullValue() // an alias, reported by tree
}

// jsonNumber is RFC 8259 §6.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

func (r *reader) jsonScalar(path string, n *yaml.Node) *structpb.Value {
	switch n.ShortTag() {
	case "!!null":
		return structpb.NewNullValue()
	case "!!bool":
		b, _ := r.boolean(path, n)
		return structpb.NewBoolValue(b)
	case "!!int", "!!float":
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || !jsonNumber.MatchString(n.Value) {
			r.refuse(path, "is "+kindOf(n)+", want a number as JSON writes it", "")
			return structpb.NewNullValue()
		}
		return structpb.NewNumberValue(f)
	}
	return structpb.NewStringValue(n.Value)
}

// inputSchema gives the schema of a tool's arguments as JSON, nil when it is
// not given.
func (r *reader) inputSchema(path string, s *structpb.Struct) []byte {
	if s == nil {
		return nil
	}
	if s.Fields["type"].GetStringValue() != "object" {
		r.refuse(join(path, "type"), "the type of arguments is object", "write type: object")
	}
	text, _ := json.Marshal(s.AsMap()) // made of what JSON has, it cannot fail
	return text
}
