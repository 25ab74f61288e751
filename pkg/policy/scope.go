package policy

import (
	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// A scope is the head of a policy: whom, what and on what it can match. Tests
// of a scope cannot err, so leaving out a policy whose scope does not match
// changes no decision.
type scope struct {
	principal, resource entityTest
	actions             map[string]bool // expanded: groups are replaced by their actions
}

// An entityTest is the part of a scope on one entity. The zero test matches all.
type entityTest struct {
	is     cedar.EntityType
	eq, in *cedar.EntityUID
}

// A lineage is an entity with all its ancestors.
type lineage struct {
	uid       cedar.EntityUID
	ancestors map[cedar.EntityUID]struct{}
}

func lineageOf(uid cedar.EntityUID, entities cedar.EntityMap) lineage {
	l := lineage{uid, map[cedar.EntityUID]struct{}{}}
	todo := []cedar.EntityUID{uid}
	for len(todo) > 0 {
		last := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for parent := range entities[last].Parents.All() {
			if _, seen := l.ancestors[parent]; !seen {
				l.ancestors[parent] = struct{}{}
				todo = append(todo, parent)
			}
		}
	}
	return l
}

func (l lineage) in(uid cedar.EntityUID) bool {
	_, ok := l.ancestors[uid]
	return ok || l.uid == uid
}

func (t entityTest) matches(l lineage) bool {
	return (t.is == "" || t.is == l.uid.Type) &&
		(t.eq == nil || *t.eq == l.uid) &&
		(t.in == nil || l.in(*t.in))
}

// newEntityTest reads a principal or resource scope. The validator has seen
// it, so there is no other kind of node.
func newEntityTest(node ast.IsScopeNode) entityTest {
	switch n := node.(type) {
	case ast.ScopeTypeEq:
		return entityTest{eq: &n.Entity}
	case ast.ScopeTypeIn:
		return entityTest{in: &n.Entity}
	case ast.ScopeTypeIs:
		return entityTest{is: n.Type}
	case ast.ScopeTypeIsIn:
		return entityTest{is: n.Type, in: &n.Entity}
	}
	return entityTest{}
}

// scopeActions returns the actions that an action scope covers.
func scopeActions(node ast.IsActionScopeNode, known cedar.EntityMap) map[string]bool {
	covered := map[string]bool{}
	for uid, action := range known {
		if actionMatches(node, uid, action.Parents) {
			covered[string(uid.ID)] = true
		}
	}
	return covered
}

func actionMatches(node ast.IsActionScopeNode, uid cedar.EntityUID, groups cedar.EntityUIDSet) bool {
	switch n := node.(type) {
	case ast.ScopeTypeEq:
		return n.Entity == uid
	case ast.ScopeTypeIn:
		return n.Entity == uid || groups.Contains(n.Entity)
	case ast.ScopeTypeInSet:
		for _, e := range n.Entities {
			if e == uid || groups.Contains(e) {
				return true
			}
		}
		return false
	}
	return true
}

// canCallTools tells whether the scope can match a tools/call.
func (s scope) canCallTools() bool {
	if !s.actions[toolsCall] {
		return false
	}
	if s.resource.is != "" && s.resource.is != typeTool {
		return false
	}
	if s.resource.eq != nil {
		return s.resource.eq.Type == typeTool
	}
	if s.resource.in == nil {
		return true
	}
	switch s.resource.in.Type {
	case typeTool, typeToolset, typeServer, typeEnv:
		return true
	}
	return false
}

// pinned returns the one tool that the scope names, or nil.
func (s scope) pinned() *cedar.EntityUID {
	if s.canCallTools() {
		return s.resource.eq
	}
	return nil
}
