// Protoc-gen-configdoc is a protoc plugin. It writes configuration.md, the
// reference of the configuration file, from the comments of config.proto.
package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	protogen.Options{}.Run(func(p *protogen.Plugin) error {
		p.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		for _, f := range p.Files {
			for _, m := range f.Messages {
				if f.Generate && m.Desc.Name() == "Config" {
					write(p.NewGeneratedFile("configuration.md", ""), m)
				}
			}
		}
		return nil
	})
}

// write writes the page: the root message first, then each message it leads to.
func write(w *protogen.GeneratedFile, root *protogen.Message) {
	w.P("<!-- Generated from proto/cedargate/v1/config.proto by make generate. -->")
	w.P()
	w.P("# Configuration")
	w.P()
	w.P(text(root.Comments, ""))
	section(w, root, "")
}

// section writes the fields of m, whose path in the file begins with prefix,
// and then a section for each field that is a message.
func section(w *protogen.GeneratedFile, m *protogen.Message, prefix string) {
	for _, f := range m.Fields {
		w.P("- **`", prefix, f.Desc.Name(), "`** (", kind(f), ")")
		w.P()
		w.P(text(f.Comments, "  "))
	}
	for _, f := range m.Fields {
		if !nested(f) {
			continue
		}
		path := prefix + string(f.Desc.Name())
		if f.Desc.IsList() {
			path += "[]"
		}
		w.P("## `", path, "`")
		w.P()
		w.P(text(f.Message.Comments, ""))
		section(w, f.Message, path+".")
	}
}

// nested tells whether f holds a message of ours.
func nested(f *protogen.Field) bool {
	return f.Message != nil && f.Message.Desc.ParentFile().Package() == f.Desc.ParentFile().Package()
}

// kind names the type of f in words.
func kind(f *protogen.Field) string {
	one, many := "string", "strings"
	switch {
	case f.Message != nil:
		one, many = "mapping", "mappings"
	case f.Desc.Kind() == protoreflect.BoolKind:
		one, many = "boolean", "booleans"
	case f.Desc.Kind() == protoreflect.Uint32Kind:
		one, many = "integer", "integers"
	}
	if f.Desc.IsList() {
		return "list of " + many
	}
	return one
}

// text gives the comment as Markdown, each line indented; lines indented by
// four blanks are YAML.
func text(c protogen.CommentSet, indent string) string {
	var b strings.Builder
	fenced := false
	for line := range strings.Lines(string(c.Leading)) {
		line = strings.TrimPrefix(strings.TrimRight(line, " \n"), " ")
		code, isCode := strings.CutPrefix(line, "    ")
		switch {
		case isCode && !fenced:
			fmt.Fprintf(&b, "%s```yaml\n", indent)
		case !isCode && fenced:
			fmt.Fprintf(&b, "%s```\n", indent)
		}
		fenced = isCode
		b.WriteString(strings.TrimRight(indent+code, " ") + "\n")
	}
	if fenced {
		fmt.Fprintf(&b, "%s```\n", indent)
	}
	return b.String()
}
