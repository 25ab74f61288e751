package policy

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// Decide answers r: denied if a forbid matched or erred, else allowed if a
// permit matched. Before Cedar is asked, the groups, arguments and the source
// address that the matching policies read must be there as they were validated
// with; groups come first, since they decide which policies match.
// Decide does not block, and calls nothing outside the Set.
func (s *Set) Decide(r Request) Decision {
	if s.malformed(r) != nil {
		return Decision{Reason: "policy_error"}
	}
	principal, resource := lineageOf(r.Principal, r.Entities), lineageOf(r.Resource, r.Entities)
	if refused := s.incomplete(r, resource); refused.Reason != "" {
		return refused
	}
	rules := s.candidates(r.Action, principal, resource)
	args := cedar.Record{}
	if r.Action == toolsCall {
		admitted, refused := s.admit(r, rules)
		if refused.Reason != "" {
			return refused
		}
		args = admitted
	}
	if r.SourceUnknown && slices.ContainsFunc(rules, func(c *rule) bool { return c.usage.sourceIP }) {
		return Decision{Reason: "source_unknown"}
	}
	_, found := cedar.Authorize(policies(rules), layered{s.actions, r.Entities}, cedar.Request{
		Principal: r.Principal,
		Action:    actionUID(r.Action),
		Resource:  r.Resource,
		Context:   cedar.NewRecord(withArgs(r, args)),
	})
	return decide(rules, found, s.below(r, principal))
}

// malformed says why r is no question at all. Whoever makes such a Request is
// broken, and what is broken is not permitted: without an entity of the
// resource, for instance, a forbid on its server would not fire.
func (s *Set) malformed(r Request) error {
	to := s.applies(r.Action)
	if to == nil {
		return fmt.Errorf("unknown action %q", r.Action)
	}
	if !slices.Contains(to.Principals, r.Principal.Type) || !slices.Contains(to.Resources, r.Resource.Type) {
		return fmt.Errorf("%s does not apply to %s and %s", r.Action, r.Principal, r.Resource)
	}
	for _, uid := range []cedar.EntityUID{r.Principal, r.Resource} {
		if _, ok := r.Entities[uid]; !ok {
			return fmt.Errorf("entity %s is not there", uid)
		}
	}
	if r.Action == toolsCall && r.Resource != toolUID(r.Server, r.Tool) {
		return fmt.Errorf("resource %s is not tool %q of server %q", r.Resource, r.Tool, r.Server)
	}
	return nil
}

// candidates returns the rules whose scope matches, in the order of ids. This
// is where an index of principals and resources belongs once sets are large.
func (s *Set) candidates(action string, principal, resource lineage) []*rule {
	var found []*rule
	for _, r := range s.rules[action] {
		if r.scope.principal.matches(principal) && r.scope.resource.matches(resource) {
			found = append(found, r)
		}
	}
	return found
}

// admit checks the arguments that rules read, and converts them. The first
// refusal is that of the first policy in the order of ids, and of its first
// path.
func (s *Set) admit(r Request, rules []*rule) (cedar.Record, Decision) {
	switch r.Arguments.Kind() {
	case strictjson.Object, strictjson.Absent, strictjson.Null:
	default:
		return cedar.Record{}, Decision{Reason: "argument_type", ExpectedType: kindRecord.String()}
	}
	a := newAdmission(s.tools[r.Resource], r.Arguments)
	for _, c := range rules {
		if refused := a.admit(c); refused.reason != "" {
			return cedar.Record{}, Decision{
				Reason: refused.reason, Argument: refused.argument, ExpectedType: refused.expected,
				Readers: readers(rules, refused.path),
			}
		}
	}
	if s.refuse[r.Server] {
		if name := a.undeclared(); name != "" {
			return cedar.Record{}, Decision{Reason: "argument_undeclared", Argument: pathText([]string{name})}
		}
	}
	return a.root.record(), Decision{}
}

func readers(rules []*rule, path []string) []string {
	var ids []string
	for _, c := range rules {
		if slices.ContainsFunc(c.reads, func(r read) bool { return slices.Equal(r.path, path) }) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// below returns the forbids that name a resource which the template of r
// stands for. Their scope on the resource is what the template hides.
func (s *Set) below(r Request, principal lineage) []*rule {
	if r.TemplatePrefix == "" {
		return nil
	}
	var found []*rule
	for _, c := range s.rules[r.Action] {
		if c.Forbid && c.scope.principal.matches(principal) && c.names(r.TemplatePrefix) {
			found = append(found, c)
		}
	}
	return found
}

// names tells whether c names a resource or directory below a prefix.
func (c *rule) names(prefix string) bool {
	return slices.ContainsFunc(c.resources, func(uid cedar.EntityUID) bool { return strings.HasPrefix(string(uid.ID), prefix) })
}

// decide turns what Cedar found into a Decision. Cedar skips a policy that
// errs; here a forbid that errs denies, since nobody knows whether it would
// have fired.
func decide(rules []*rule, found cedar.Diagnostic, forbidden []*rule) Decision {
	matched, erred := map[string]bool{}, map[string]bool{}
	for _, reason := range found.Reasons {
		matched[string(reason.PolicyID)] = true
	}
	for _, err := range found.Errors {
		erred[string(err.PolicyID)] = true
	}
	var forbids, permits, against []*rule // in the order of ids
	for _, c := range rules {
		switch {
		case matched[c.ID] && c.Forbid:
			forbids = append(forbids, c)
		case matched[c.ID]:
			permits = append(permits, c)
		case erred[c.ID] && c.Forbid:
			against = append(against, c)
		}
	}
	forbids = merge(forbids, forbidden)
	d := Decision{Errors: slices.Sorted(maps.Keys(erred))}
	switch {
	case len(forbids) > 0:
		d.Reason, d.Policies = "denied_by_policy", ids(forbids)
	case len(against) > 0:
		d.Reason = "policy_error"
	case len(permits) > 0:
		d.Allowed, d.Reason, d.Policies = true, "permitted", ids(permits)
	default:
		d.Reason = "no_permit"
	}
	if all := merge(forbids, against); len(all) > 0 {
		d.Message = all[0].denyMessage
	}
	return d
}

// merge returns the rules of a and b, each once, in the order of ids.
func merge(a, b []*rule) []*rule {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(a, b *rule) int { return strings.Compare(a.ID, b.ID) })
	return slices.Compact(all)
}

func ids(rules []*rule) []string {
	all := make([]string, len(rules))
	for i, r := range rules {
		all[i] = r.ID
	}
	return all
}

// withArgs returns the context of r as Cedar sees it.
func withArgs(r Request, args cedar.Record) cedar.RecordMap {
	context := make(cedar.RecordMap, len(r.Context)+1)
	maps.Copy(context, r.Context)
	delete(context, "args")
	if r.Action == toolsCall {
		context["args"] = args
	}
	return context
}

// policies are rules as cedar.Authorize takes them, in their order.
type policies []*rule

// All yields the policies with their ids.
func (p policies) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range p {
			if !yield(cedar.PolicyID(r.ID), r.policy) {
				return
			}
		}
	}
}

// layered are the entities of a request over the actions of the schema, which
// no request can replace.
type layered struct{ actions, request cedar.EntityMap }

// Get returns the entity uid.
func (l layered) Get(uid cedar.EntityUID) (types.Entity, bool) {
	if uid.Type == typeAction {
		return l.actions.Get(uid)
	}
	return l.request.Get(uid)
}
