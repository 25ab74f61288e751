package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// A dependence is something in a policy that may say what it should not where a
// token leaves groups or roles out: a Group or Role that is named, or a tag
// that is read.
type dependence struct {
	named cedar.EntityUID // the zero one: a tag
	tag   string          // "" with tag: one whose name the policy computes
	actor bool            // asked of context.actor, whose claims no token states
}

// dependences returns what could help a caller by its absence (contract §4): in
// a forbid everything but what stands positively under unless, since more
// groups then mean that less is forbidden; in a permit everything under unless,
// "!", or in the condition of an if.
func dependences(p *ast.Policy, forbid bool) []dependence {
	var s lookout
	if forbid {
		s.test(newEntityTest(p.Principal))
		s.test(newEntityTest(p.Resource))
	}
	for _, c := range p.Conditions {
		if forbid == (c.Condition == ast.ConditionUnless) {
			s.positive(c.Body)
		} else {
			s.all(c.Body)
		}
	}
	return s.found
}

// A lookout collects dependences.
type lookout struct{ found []dependence }

func (s *lookout) add(d dependence) {
	if !slices.Contains(s.found, d) {
		s.found = append(s.found, d)
	}
}

func (s *lookout) test(t entityTest) {
	for _, uid := range []*cedar.EntityUID{t.eq, t.in} {
		if uid != nil {
			s.name(*uid, false)
		}
	}
}

func (s *lookout) name(uid cedar.EntityUID, actor bool) {
	if uid.Type == typeGroup || uid.Type == typeRole {
		s.add(dependence{named: uid, actor: actor})
	}
}

// positive looks at a condition that hurts the caller when it is false. What
// stands there in another way than that more groups make it true counts.
func (s *lookout) positive(n ast.IsNode) {
	switch v := n.(type) {
	case ast.NodeTypeAnd:
		s.positive(v.Left)
		s.positive(v.Right)
	case ast.NodeTypeOr:
		s.positive(v.Left)
		s.positive(v.Right)
	case ast.NodeTypeIfThenElse:
		s.all(v.If)
		s.positive(v.Then)
		s.positive(v.Else)
	default:
		if !grows(n) {
			s.all(n)
		}
	}
}

// grows tells whether n can only turn from false to true when the principal is
// in more groups: a membership, or a set that contains something.
func grows(n ast.IsNode) bool {
	switch v := n.(type) {
	case ast.NodeTypeIn:
		return isPlain(v.Left) && isPlain(v.Right)
	case ast.NodeTypeIsIn:
		return isPlain(v.Left) && isPlain(v.Entity)
	case ast.NodeTypeHasTag:
		return isPlain(v.Left) && isPlain(v.Right)
	case ast.NodeTypeContains:
		return holdsTag(v.Left) && isPlain(v.Right)
	case ast.NodeTypeContainsAny:
		return holdsTag(v.Left) && isPlain(v.Right)
	case ast.NodeTypeContainsAll:
		return holdsTag(v.Left) && isPlain(v.Right)
	}
	return false
}

// isPlain tells whether n reads neither tags nor memberships.
func isPlain(n ast.IsNode) bool {
	switch v := n.(type) {
	case ast.NodeValue, ast.NodeTypeVariable:
		return true
	case ast.NodeTypeAccess:
		return isPlain(v.Arg)
	case ast.NodeTypeSet:
		return !slices.ContainsFunc(v.Elements, func(e ast.IsNode) bool { return !isPlain(e) })
	}
	return false
}

func holdsTag(n ast.IsNode) bool {
	get, ok := n.(ast.NodeTypeGetTag)
	return ok && isPlain(get.Left) && isPlain(get.Right)
}

// all adds whatever n names or reads. What is asked of the actor counts for the
// principal too: a condition may choose between them.
func (s *lookout) all(n ast.IsNode) {
	ast.Inspect(ast.NewNode(n), func(child ast.IsNode) bool {
		switch v := child.(type) {
		case ast.NodeValue:
			if uid, ok := v.Value.(cedar.EntityUID); ok {
				s.name(uid, false)
			}
		case ast.NodeTypeIn:
			s.ofActor(v.Left, v.Right)
		case ast.NodeTypeIsIn:
			s.ofActor(v.Left, v.Entity)
		case ast.NodeTypeHasTag:
			s.tag(v.Left, v.Right)
		case ast.NodeTypeGetTag:
			s.tag(v.Left, v.Right)
		}
		return true
	})
}

// ofActor adds what above names, if who may be the actor.
func (s *lookout) ofActor(who, above ast.IsNode) {
	if !mayBeActor(who) {
		return
	}
	ast.Inspect(ast.NewNode(above), func(child ast.IsNode) bool {
		if v, ok := child.(ast.NodeValue); ok {
			if uid, ok := v.Value.(cedar.EntityUID); ok {
				s.name(uid, true)
			}
		}
		return true
	})
}

func (s *lookout) tag(who, name ast.IsNode) {
	s.add(dependence{tag: tagName(name)})
	if mayBeActor(who) {
		s.add(dependence{tag: tagName(name), actor: true})
	}
}

// mayBeActor tells whether context.actor stands in n. No other record has a
// member of that name and type.
func mayBeActor(n ast.IsNode) bool {
	found := false
	ast.Inspect(ast.NewNode(n), func(child ast.IsNode) bool {
		access, ok := child.(ast.NodeTypeAccess)
		found = found || ok && access.Value == "actor"
		return true
	})
	return found
}

func tagName(n ast.IsNode) string {
	if v, ok := n.(ast.NodeValue); ok {
		if text, ok := v.Value.(cedar.String); ok {
			return string(text)
		}
	}
	return ""
}

// incomplete refuses r if a policy that could match depends on claims that the
// token does not state; the first one in the order of ids.
func (s *Set) incomplete(r Request, resource lineage) Decision {
	if len(r.AbsentGroups) == 0 && len(r.AbsentRoles) == 0 && len(r.ActorAbsentGroups) == 0 && len(r.ActorAbsentRoles) == 0 {
		return Decision{}
	}
	principal := lineageOf(r.Principal, r.Entities)
	for _, c := range s.rules[r.Action] {
		if !c.couldMatch(r, principal, resource) {
			continue
		}
		for _, d := range c.depends {
			if absent := d.absent(r); len(absent) > 0 {
				return Decision{
					Reason: "groups_incomplete", Absent: absent, Policies: []string{c.ID},
					Message: fmt.Sprintf("the access token does not state %s, on which the policy %s depends", strings.Join(absent, " and "), c.ID),
				}
			}
		}
	}
	return Decision{}
}

// couldMatch tells whether the scope of c matches if the principal is in groups
// and roles that are not known.
func (c *rule) couldMatch(r Request, principal, resource lineage) bool {
	who := c.scope.principal
	if who.in != nil && (who.in.Type == typeGroup || who.in.Type == typeRole) {
		who.in = nil
	}
	below := c.Forbid && r.TemplatePrefix != "" && c.names(r.TemplatePrefix)
	return who.matches(principal) && (below || c.scope.resource.matches(resource))
}

// absent returns the absent claims of r that d is about.
func (d dependence) absent(r Request) []string {
	party, groups, roles := r.Principal, r.AbsentGroups, r.AbsentRoles
	if d.actor {
		party, _ = r.Context["actor"].(cedar.EntityUID)
		groups, roles = r.ActorAbsentGroups, r.ActorAbsentRoles
	}
	if d.named.Type == "" {
		return slices.DeleteFunc(slices.Concat(groups, roles), func(claim string) bool {
			return d.tag != "" && d.tag != claim && !strings.HasPrefix(d.tag, claim+".")
		})
	}
	issuer, _, _ := strings.Cut(string(party.ID), "/")
	owner, _, _ := strings.Cut(string(d.named.ID), "/")
	switch {
	case owner != issuer:
		return nil
	case d.named.Type == typeGroup:
		return groups
	}
	return roles
}

// adviseAbsent warns of a forbid on a Group or Role of an issuer for which a
// token without such claims is one of a caller without groups: whoever gets a
// token that leaves them out is not bound by it.
func (l *loader) adviseAbsent(r *rule) {
	if !r.Forbid {
		return
	}
	for _, d := range r.depends {
		owner, _, _ := strings.Cut(string(d.named.ID), "/")
		if l.catalogue.issuers[owner].AbsentIsNone && d.named.Type != "" && !d.actor {
			l.advise(r, fmt.Sprintf("%s: issuer %q says absent_groups: none, so the forbid does not bind who gets a token that leaves the claim out", d.named, owner),
				"make sure that callers cannot choose whether the claim is in their tokens, or forbid by what is always there")
		}
	}
}
