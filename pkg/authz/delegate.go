package authz

import (
	"maps"
	"slices"

	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

// asks are the requests for one thing that must be permitted: that of the
// principal and, where the server intersects, one in which the actor is the
// principal. All of them must be permitted.
//
// The actor asks for itself: it has no claims beyond its subject, and acts for
// nobody. A policy on context.actor is heard in the principal's question.
func (q question) asks(what mcp.Question, call mcp.Call) []policy.Request {
	own := q.ask(what, call)
	own.AbsentGroups, own.AbsentRoles = q.who.AbsentGroups, q.who.AbsentRoles
	actor := q.who.Actor
	if actor == nil {
		return []policy.Request{own}
	}
	other := own
	other.Principal = uid("Agent", actor.Issuer+"/"+actor.Subject)
	if other.Principal == own.Principal { // it has the principal's claims
		own.ActorAbsentGroups, own.ActorAbsentRoles = own.AbsentGroups, own.AbsentRoles
		return []policy.Request{own}
	}
	own.ActorAbsentGroups, own.ActorAbsentRoles = actor.AbsentGroups, actor.AbsentRoles
	if !q.site.Intersect {
		return []policy.Request{own}
	}
	other.Context = maps.Clone(own.Context)
	delete(other.Context, "actor")
	other.AbsentGroups, other.AbsentRoles = actor.AbsentGroups, actor.AbsentRoles
	return []policy.Request{own, other}
}

// implied returns scopes and all that they include, directly or not, each once.
func (s *site) implied(scopes []string) []string {
	if len(s.ScopeImplies) == 0 {
		return scopes
	}
	all := slices.Clone(scopes)
	for i := 0; i < len(all); i++ {
		for _, scope := range s.ScopeImplies[all[i]] {
			if !slices.Contains(all, scope) {
				all = append(all, scope)
			}
		}
	}
	return all
}

// noteAbsent notes the claims for want of which a call is refused, and with
// which policy.
func (c *check) noteAbsent(d policy.Decision) {
	if d.Reason != "groups_incomplete" {
		return
	}
	c.record.AbsentClaims, c.record.Detail = d.Absent, d.Message
}

// asked asks the policies for everything that the call needs, and returns the
// first denial, else an allow. All are asked, so that the record names every
// reason.
func (c *check) asked(who token.Claims) policy.Decision {
	q := newQuestion(c.site, who, c.call, sourceOf(c.request, c.TrustedHops), c.Now())
	var first policy.Decision
	for _, what := range c.call.Questions {
		for i, ask := range q.asks(what, c.call) {
			decision := policy.Decision{Reason: "claim_unreadable"}
			if len(who.Unreadable) == 0 {
				decision = c.Policies.Decide(ask)
			}
			c.noteQuestion(ask, decision)
			n := len(c.record.Questions)
			if i > 0 {
				c.record.Questions[n-1].Principal = c.record.Actor
			}
			if n == 1 || first.Allowed && !decision.Allowed {
				first = decision
			}
		}
	}
	return first
}
