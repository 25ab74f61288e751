package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds how deep mappings and sequences may be nested.
const maxDepth = 64

// A reader collects the problems of one file.
type reader struct {
	file string
	// written holds the value of each field path that stands in the file.
	written   map[string]*yaml.Node
	problems  []Problem
	caPlaces  []Problem // as in Config
	askPlaces []Problem // as in Config
}

// refuse reports that what stands at path, or that it is missing there, keeps
// the configuration from being used.
func (r *reader) refuse(path, message, hint string) {
	r.report(r.position(path), Problem{Path: path, Message: message, Hint: hint})
}

// advise reports what is allowed at path, but probably not meant.
func (r *reader) advise(path, message, hint string) {
	r.report(r.position(path), Problem{Path: path, Message: message, Hint: hint, Advice: true})
}

func (r *reader) report(at *yaml.Node, p Problem) {
	p.File, p.Line, p.Column = r.file, max(at.Line, 1), max(at.Column, 1)
	for _, text := range []*string{&p.Path, &p.Message, &p.Hint} {
		*text = apiKey.ReplaceAllString(*text, "cgk_…")
	}
	r.problems = append(r.problems, p)
}

// position finds the value at path or, where nothing is written, that of the
// nearest field around it.
func (r *reader) position(path string) *yaml.Node {
	for {
		if n, ok := r.written[path]; ok {
			return n
		}
		if path == "" {
			return &yaml.Node{}
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// has tells whether the file says something at path, be it right or wrong.
func (r *reader) has(path string) bool {
	_, ok := r.written[path]
	return ok
}

// document returns the root of the only document in text, nil if there is none.
// Problems with the YAML itself are reported.
func (r *reader) document(text []byte) *yaml.Node {
	if !utf8.Valid(text) {
		r.report(invalidByte(text), Problem{Message: "the file is not UTF-8"})
		return nil
	}
	var first, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	err := decoder.Decode(&first)
	if errors.Is(err, io.EOF) {
		r.report(&yaml.Node{}, Problem{Message: "the file is empty"})
		return nil
	}
	if err == nil {
		err = decoder.Decode(&second)
	}
	switch {
	case err == nil:
		r.report(&second, Problem{Message: "a second document begins", Hint: "one file is one configuration"})
	case !errors.Is(err, io.EOF):
		at, message := syntaxError(err)
		r.report(at, Problem{Message: message})
		return nil
	}
	r.written = map[string]*yaml.Node{}
	root := first.Content[0]
	r.tree("", root, 1)
	return root
}

// invalidByte finds the first byte that is not UTF-8.
func invalidByte(text []byte) *yaml.Node {
	line, column := 1, 1
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		if c == utf8.RuneError && size <= 1 {
			break
		}
		column++
		if c == '\n' {
			line, column = line+1, 1
		}
		text = text[size:]
	}
	return &yaml.Node{Line: line, Column: column}
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?((?s).*)$`)

// syntaxError takes an error of the YAML parser apart. Its line is often that
// of the list or mapping in which the error lies.
func syntaxError(err error) (at *yaml.Node, message string) {
	parts := yamlError.FindStringSubmatch(err.Error())
	if parts == nil {
		return &yaml.Node{}, err.Error()
	}
	line, _ := strconv.Atoi(parts[1]) // no number: the first line
	return &yaml.Node{Line: line}, "not YAML, here or below: " + parts[2]
}

// tree notes where each field below n stands, and refuses what YAML readers
// understand differently. A member that is refused for its name is taken out,
// so that what is left has one meaning.
func (r *reader) tree(path string, n *yaml.Node, depth int) {
	r.written[path] = n
	switch {
	case depth > maxDepth:
		r.refuse(path, fmt.Sprintf("is nested deeper than %d", maxDepth), "")
		n.Content = nil
	case n.Kind == yaml.AliasNode:
		r.refuse(path, "an alias is not allowed", "write the value out")
	case n.Anchor != "":
		r.refuse(path, "an anchor is not allowed", "take out &"+n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		r.refuse(path, "a tag is not allowed", "take out "+n.Tag)
	}
	switch n.Kind {
	case yaml.MappingNode:
		n.Content = r.members(path, n.Content, depth)
	case yaml.SequenceNode:
		for i, element := range n.Content {
			r.tree(index(path, i), element, depth+1)
		}
	}
}

// members reads the names and values of a mapping in turn and returns those
// whose names are in order.
func (r *reader) members(path string, content []*yaml.Node, depth int) (kept []*yaml.Node) {
	lines := map[string]int{}
	for i := 0; i+1 < len(content); i += 2 {
		name, value := content[i], content[i+1]
		field := join(path, name.Value)
		problem := Problem{Path: field}
		switch first, twice := lines[name.Value]; {
		case name.Kind != yaml.ScalarNode || name.Anchor != "":
			problem.Path = path
			problem.Message = "a name that is not plain text is not allowed"
		case name.ShortTag() == "!!merge":
			problem.Message = "a merge key is not allowed"
			problem.Hint = "write the members out"
		case name.ShortTag() != "!!str" || name.Style&yaml.TaggedStyle != 0:
			problem.Message = "the name is read as " + kindOf(name)
			problem.Hint = "write it in quotes"
		case twice:
			problem.Message = fmt.Sprintf("is written twice, first in line %d", first)
		default:
			lines[name.Value] = name.Line
			r.tree(field, value, depth+1)
			kept = append(kept, name, value)
			continue
		}
		r.report(name, problem)
	}
	return kept
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// join gives the path of a member.
func join(path, name string) string {
	switch {
	case !plainName.MatchString(name):
		return path + "[" + strconv.Quote(name) + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// index gives the path of an element.
func index(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}
