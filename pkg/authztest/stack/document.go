package stack

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A document is a YAML file under change. The first step that fails is kept in
// err, and the later ones do nothing that counts.
type document struct {
	root *yaml.Node
	err  error
}

func parse(text []byte) *document {
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return &document{root: &yaml.Node{}, err: err}
	}
	if node.Kind != yaml.DocumentNode {
		return &document{root: &yaml.Node{}, err: errors.New("an empty YAML document")}
	}
	return &document{root: node.Content[0]}
}

// bytes returns the document as it is now.
func (d *document) bytes() ([]byte, error) {
	if d.err != nil {
		return nil, d.err
	}
	return yaml.Marshal(d.root)
}

// at returns the node at path: names of members, and for elements of a sequence
// their index or "name=VALUE", separated by slashes.
func (d *document) at(path string) *yaml.Node {
	n := find(d.root, strings.Split(path, "/"))
	if n == nil {
		d.fail(path)
		return &yaml.Node{}
	}
	return n
}

// set puts value at path, whose last member may be new.
func (d *document) set(path string, value any) {
	var node yaml.Node
	if err := node.Encode(value); err != nil && d.err == nil {
		d.err = fmt.Errorf("%s: %w", path, err)
	}
	dir, last := "", path
	parent := d.root
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, last = path[:i], path[i+1:]
		parent = d.at(dir)
	}
	if n := step(parent, last); n != nil {
		*n = node
		return
	}
	if parent.Kind != yaml.MappingNode {
		d.fail(path)
		return
	}
	name := &yaml.Node{Kind: yaml.ScalarNode, Value: last}
	parent.Content = append(parent.Content, name, &node)
}

// remove takes away what is at path.
func (d *document) remove(path string) {
	parent := d.root
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		parent = d.at(path[:i])
	}
	target := d.at(path)
	for i, n := range parent.Content {
		if n != target {
			continue
		}
		first := i
		if parent.Kind == yaml.MappingNode {
			first = i - 1 // its name
		}
		parent.Content = append(parent.Content[:first:first], parent.Content[i+1:]...)
		return
	}
	d.fail(path)
}

// apply sets each path to its value, and removes those whose value is nil.
func (d *document) apply(changes map[string]any) {
	for _, path := range slices.Sorted(maps.Keys(changes)) {
		if changes[path] == nil {
			d.remove(path)
		} else {
			d.set(path, changes[path])
		}
	}
}

func (d *document) fail(path string) {
	if d.err == nil {
		d.err = fmt.Errorf("nothing at %s", path)
	}
}

func find(n *yaml.Node, path []string) *yaml.Node {
	for _, name := range path {
		if n = step(n, name); n == nil {
			return nil
		}
	}
	return n
}

// step returns the child of n that name names, or nil.
func step(n *yaml.Node, name string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if want, ok := strings.CutPrefix(name, "name="); ok {
			return named(n, want)
		}
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

func named(sequence *yaml.Node, want string) *yaml.Node {
	for _, n := range sequence.Content {
		if name := step(n, "name"); name != nil && name.Value == want {
			return n
		}
	}
	return nil
}

// clone returns a deep copy of n.
func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = nil
	for _, child := range n.Content {
		c.Content = append(c.Content, clone(child))
	}
	return &c
}
