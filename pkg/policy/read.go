package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Usage is what the conditions of one policy read of the context.
type usage struct {
	paths    []argPath // sorted, closed under prefixes
	sourceIP bool
	// alone lists what stands for itself in an expression: context (""),
	// and members of it. What is read of a record that does cannot be known.
	alone []string
}

// An argPath is a path below context.args.
type argPath struct {
	path []string
	// value says that the argument stands for itself in an expression; else
	// only has, or a member of it, is asked for.
	value bool
}

func usageOf(p *ast.Policy) usage {
	var u usage
	for _, c := range p.Conditions {
		u.walk(c.Body)
	}
	u.close()
	return u
}

func (u *usage) walk(n ast.IsNode) {
	switch v := n.(type) {
	case ast.NodeTypeAccess:
		if path, ok := contextPath(v); ok {
			u.read(path, true)
			return
		}
	case ast.NodeTypeHas:
		if path, ok := contextPath(v.Arg); ok {
			u.read(append(path, string(v.Value)), false)
			return
		}
	case ast.NodeTypeVariable:
		if v.Name == "context" {
			u.alone = append(u.alone, "")
			u.sourceIP = true
		}
		return
	}
	self := true
	ast.Inspect(ast.NewNode(n), func(child ast.IsNode) bool {
		if self {
			self = false
			return true
		}
		u.walk(child)
		return false
	})
}

// contextPath returns the names of context.a.b.
func contextPath(n ast.IsNode) ([]string, bool) {
	switch v := n.(type) {
	case ast.NodeTypeVariable:
		return nil, v.Name == "context"
	case ast.NodeTypeAccess:
		path, ok := contextPath(v.Arg)
		return append(path, string(v.Value)), ok
	}
	return nil, false
}

func (u *usage) read(path []string, value bool) {
	if path[0] == "sourceIp" {
		u.sourceIP = true
	}
	switch {
	case len(path) == 1 && value:
		u.alone = append(u.alone, path[0])
	case len(path) > 1 && path[0] == "args":
		u.paths = append(u.paths, argPath{path[1:], value})
	}
}

// close adds the prefixes of all paths, and removes duplicates.
func (u *usage) close() {
	for _, p := range u.paths {
		for i := 1; i < len(p.path); i++ {
			u.paths = append(u.paths, argPath{path: p.path[:i]})
		}
	}
	slices.SortStableFunc(u.paths, func(a, b argPath) int { return slices.Compare(a.path, b.path) })
	unique := u.paths[:0]
	for _, p := range u.paths {
		if n := len(unique); n > 0 && slices.Equal(unique[n-1].path, p.path) {
			unique[n-1].value = unique[n-1].value || p.value
			continue
		}
		unique = append(unique, p)
	}
	u.paths = unique
}
