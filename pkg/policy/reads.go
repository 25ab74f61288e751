package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
)

// resolveReads gives every path of arguments that r reads its type, from the
// input_schema of the tools that r can match.
func (l *loader) resolveReads(r *rule) {
	for _, name := range r.usage.alone {
		if whole := l.recordName(name); whole != "" {
			l.problem(r, whole+" stands alone: what is read of it could not be checked",
				fmt.Sprintf("write %s.x, or %s has x", whole, whole))
		}
	}
	s := survey{tools: l.catalogue.inScope(r.scope), pinned: r.scope.pinned() != nil}
	var unknown []string // a path that has no type
	for _, p := range r.usage.paths {
		if unknown != nil && len(p.path) > len(unknown) && slices.Equal(p.path[:len(unknown)], unknown) {
			continue // said already
		}
		found, message, hint := s.find(r, p)
		if message != "" {
			l.problem(r, message, hint)
			unknown = p.path
			continue
		}
		r.reads = append(r.reads, found)
	}
}

// recordName returns how policies write a member of the context of tools/call,
// or the context itself, if that is a record; "" if it is none.
func (l *loader) recordName(member string) string {
	if member == "" {
		return "context"
	}
	context := l.schema.Actions[actionUID(toolsCall)].AppliesTo.Context
	if _, ok := context[cedar.String(member)].Type.(resolved.RecordType); ok {
		return "context." + member
	}
	return ""
}

// A survey asks the tools that a policy can match what they declare.
type survey struct {
	tools  []*catalogueTool
	pinned bool
}

func (s survey) find(r *rule, p argPath) (found read, message, hint string) {
	text := pathText(p.path)
	if len(p.path) > maxArgPath {
		return read{}, fmt.Sprintf("context.args.%s is deeper than %d steps", text, maxArgPath), ""
	}
	var declared *shape
	var by *catalogueTool
	for _, t := range s.tools {
		if like := s.lookAlike(t, p.path); like != "" {
			return read{}, fmt.Sprintf("argument %q of %s: the tool also declares %q, and servers may take one for the other",
				text, t.uid.ID, like), fmt.Sprintf("write %s, if that is what the tool reads", like)
		}
		next := t.at(p.path)
		switch {
		case next == nil:
		case declared == nil:
			declared, by = next, t
		case declared.argType != next.argType:
			return read{}, fmt.Sprintf("argument %q is %s in %s and %s in %s", text, declared.argType, by.uid.ID, next.argType, t.uid.ID),
				fmt.Sprintf(`write one policy for each tool: resource == MCP::Tool::"%s"`, by.uid.ID)
		}
	}
	if declared == nil {
		message, hint = s.undeclared(r, text)
		return read{}, message, hint
	}
	if message, hint = misuse(declared, p, text); message != "" {
		return read{}, message, hint
	}
	return read{
		argType: declared.argType, path: p.path, text: text,
		required: s.pinned && declared.required,
		optional: !s.pinned || !declared.required || declared.nullable,
	}, "", ""
}

// lookAlike returns a member that t declares beside the one that is read, and
// that a server may take for it.
func (s survey) lookAlike(t *catalogueTool, path []string) string {
	parent := t.at(path[:len(path)-1])
	if parent == nil {
		return ""
	}
	name := path[len(path)-1]
	for _, other := range parent.declared {
		if other != name && alike(other, name) {
			return other
		}
	}
	return ""
}

// undeclared says why an argument has no type, and what to write.
func (s survey) undeclared(r *rule, text string) (message, hint string) {
	var with, without []string
	for _, t := range s.tools {
		if t.document != nil {
			with = append(with, string(t.uid.ID))
		} else {
			without = append(without, string(t.uid.ID))
		}
	}
	switch pinned := r.scope.pinned(); {
	case pinned != nil && len(with) == 0:
		return fmt.Sprintf("argument %q has no type: the catalogue has no input_schema of %s", text, pinned.ID),
			"give the tool with its input_schema in the catalogue of its server"
	case len(with) > 0:
		return fmt.Sprintf("argument %q is declared by no tool that the policy can match: %s", text, list(with)),
			"write the name as the input_schema does, or correct the input_schema"
	case len(without) > 0:
		return fmt.Sprintf("argument %q has no type: the catalogue has no input_schema of %s", text, list(without)),
			"give the input_schema of the tool in the catalogue of its server"
	}
	return fmt.Sprintf("argument %q has no type: the catalogue has no tool that the policy can match", text),
		"give the tool with its input_schema in the catalogue of its server"
}

func misuse(s *shape, p argPath, text string) (message, hint string) {
	switch {
	case p.value && s.kind == kindRecord:
		return fmt.Sprintf("context.args.%s is an object and stands alone: what is read of it could not be checked", text),
			fmt.Sprintf("read its members: context.args.%s.x", text)
	case p.value && s.kind == kindOpaque:
		return fmt.Sprintf("argument %q has a type that Cedar does not have: it can only be tested with has", text),
			"Cedar has strings, integers, numbers, booleans, arrays of these, and objects with properties"
	}
	return "", ""
}

// list names at most four of names.
func list(names []string) string {
	if len(names) > 4 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:4], ", "), len(names)-4)
	}
	return strings.Join(names, ", ")
}
