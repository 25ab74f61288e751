package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cedargate/cedargate/pkg/policy"
)

// A policy that could be fooled by groups that a token does not state refuses
// the call; one that such a caller only loses by does not (contract §4).
func TestGroupsIncomplete(t *testing.T) {
	const groups, roles = "groups", "realm_access.roles"
	tests := []struct {
		name, policy string
		absent       string // "" means that no policy depends on it
	}{
		{"permit of a group", `permit (principal in MCP::Group::"corp/dev", action, resource);`, ""},
		{"permit when in a group", `permit (principal, action, resource) when { principal in MCP::Group::"corp/dev" };`, ""},
		{"permit when a tag holds", `permit (principal is MCP::User, action, resource) when { principal.hasTag("groups") && principal.getTag("groups").contains("dev") };`, ""},
		{"permit when not in a group", `permit (principal, action, resource) when { !(principal in MCP::Group::"corp/temps") };`, groups},
		{"permit unless in a group", `permit (principal, action, resource) unless { principal in MCP::Group::"corp/temps" };`, groups},
		{"permit when compared with false", `permit (principal, action, resource) when { (principal in MCP::Group::"corp/temps") == false };`, groups},
		{"permit when condition of if", `permit (principal, action, resource) when { if principal in MCP::Group::"corp/temps" then false else true };`, groups},
		{"permit when branch of if", `permit (principal, action, resource) when { if context has client then principal in MCP::Group::"corp/dev" else false };`, ""},
		{"permit when a tag holds no more", `permit (principal is MCP::User, action, resource) when { principal.hasTag("groups") && ["dev"].containsAll(principal.getTag("groups")) };`, groups},
		{"permit unless a tag is there", `permit (principal is MCP::User, action, resource) unless { principal.hasTag("groups") };`, groups},
		{"forbid of a group", `forbid (principal in MCP::Group::"corp/temps", action, resource);`, groups},
		{"forbid of a group of users", `forbid (principal is MCP::User in MCP::Group::"corp/temps", action, resource);`, groups},
		{"forbid when in one of some", `forbid (principal, action, resource) when { principal in [MCP::Group::"corp/a", MCP::Group::"corp/b"] };`, groups},
		{"forbid when not in a group", `forbid (principal, action, resource) when { !(principal in MCP::Group::"corp/dev") };`, groups},
		{"forbid unless in a group", `forbid (principal, action, resource) unless { principal in MCP::Group::"corp/dev" };`, ""},
		{"forbid unless in one of some", `forbid (principal, action, resource) unless { principal in [MCP::Group::"corp/a", MCP::Group::"corp/b"] || context has client };`, ""},
		{"forbid unless a tag holds", `forbid (principal is MCP::User, action, resource) unless { principal.hasTag("groups") && principal.getTag("groups").contains("dev") };`, ""},
		{"forbid unless not in a group", `forbid (principal, action, resource) unless { !(principal in MCP::Group::"corp/temps") };`, groups},
		{"forbid of a role", `forbid (principal in MCP::Role::"corp/guest", action, resource);`, roles},
		{"forbid when a tag of the roles", `forbid (principal is MCP::User, action, resource) when { principal.hasTag("realm_access.roles") };`, roles},
		{"forbid when a member of the groups", `forbid (principal is MCP::User, action, resource) when { principal.hasTag("groups.temps") };`, groups},
		{"forbid when a tag that is computed", `forbid (principal is MCP::User, action, resource) when { principal.hasTag(context.rpcMethod) };`, groups + " and " + roles},
		{"forbid when another tag", `forbid (principal is MCP::User, action, resource) when { principal.hasTag("groupsize") };`, ""},
		{"another action", `forbid (principal in MCP::Group::"corp/temps", action == MCP::Action::"tools/list", resource);`, ""},
		{"another resource", `forbid (principal in MCP::Group::"corp/temps", action, resource in MCP::Server::"payments");`, ""},
		{"another type of principal", `forbid (principal is MCP::Agent in MCP::Group::"corp/temps", action, resource);`, ""},
		{"another principal", `forbid (principal == MCP::User::"corp/bob", action, resource) unless { !(principal in MCP::Group::"corp/temps") };`, ""},
		{"no group at all", `forbid (principal, action, resource) when { context has client };`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set := load(t, `@id("it")`, test.policy)
			q := ask("alice").calls("github", "get_issue", "{}")
			q.AbsentGroups, q.AbsentRoles = []string{groups}, []string{roles}
			d := set.Decide(q)
			if test.absent == "" {
				if d.Reason == "groups_incomplete" {
					t.Errorf("Decide(%s) = %+v", test.policy, d)
				}
				return
			}
			want := policy.Decision{
				Reason: "groups_incomplete", Absent: strings.Split(test.absent, " and "), Policies: []string{"it"},
				Message: "the access token does not state " + test.absent + ", on which the policy it depends",
			}
			if diff := cmp.Diff(want, d); diff != "" {
				t.Errorf("Decide(%s) (-want +got):\n%s", test.policy, diff)
			}
			q.AbsentGroups, q.AbsentRoles = nil, nil
			if d := set.Decide(q); d.Reason == "groups_incomplete" {
				t.Errorf("Decide(%s) with all claims = %+v", test.policy, d)
			}
		})
	}
}

// Groups may choose whose tag is read.
func TestGroupsIncompleteBelowHasTag(t *testing.T) {
	set := load(t, `@id("it") permit (principal is MCP::Agent, action, resource)
when { context has actor && (if principal in MCP::Group::"corp/temps" then principal else context.actor).hasTag("vetted") };`)
	q := askAgent("corp", "job").actor("bot").calls("github", "get_issue", "{}")
	q.AbsentGroups = []string{"groups"}
	if d := set.Decide(q); d.Reason != "groups_incomplete" {
		t.Errorf("Decide() = %+v, want groups_incomplete", d)
	}
}

// What one issuer leaves out says nothing about the groups of another.
func TestGroupsIncompleteOfAnotherIssuer(t *testing.T) {
	c := world(file("test.cedar", `forbid (principal in MCP::Group::"corp/temps", action, resource);`))
	c.Issuers = append(c.Issuers, policy.Issuer{Name: "other", Groups: true})
	q := askAgent("other", "job").calls("github", "get_issue", "{}")
	q.AbsentGroups = []string{"groups"}
	if d := mustLoad(t, c).Decide(q); d.Reason != "no_permit" {
		t.Errorf("Decide() = %+v, want no_permit", d)
	}
}

// A template stands for everything below it, in whichever groups the caller is.
func TestGroupsIncompleteForTemplates(t *testing.T) {
	set := load(t, `@id("it") forbid (principal in MCP::Group::"corp/temps", action, resource in MCP::ResourceDir::"files/file:///srv/private/");`)
	q := ask("alice").reads("completion/complete", "files", "file:///srv/{name}")
	q.TemplatePrefix = "files/file:///srv/"
	q.AbsentGroups = []string{"groups"}
	if d := set.Decide(q); d.Reason != "groups_incomplete" {
		t.Errorf("Decide() = %+v, want groups_incomplete", d)
	}
}

// Where absence means none, a forbid on a group binds only those whose token
// states it, and whoever writes one is told.
func TestAdviceOnAbsentGroups(t *testing.T) {
	for text, advised := range map[string]bool{
		`forbid (principal in MCP::Group::"corp/temps", action, resource);`:                          true,
		`forbid (principal, action, resource) when { principal in MCP::Role::"corp/guest" };`:        true,
		`forbid (principal, action, resource) unless { principal in MCP::Group::"corp/dev" };`:       false,
		`permit (principal, action, resource) unless { principal in MCP::Group::"corp/temps" };`:     false,
		`forbid (principal, action, resource in MCP::Server::"github") when { context has client };`: false,
	} {
		for _, none := range []bool{true, false} {
			c := world(file("test.cedar", text))
			c.Issuers[0].AbsentIsNone = none
			_, problems := policy.Load(c)
			if got := strings.Contains(show(problems), "advice: MCP::"); got != (advised && none) {
				t.Errorf("Load(%s) with AbsentIsNone %v found %s", text, none, show(problems))
			}
		}
	}
}

// groupCondition draws a condition on groups and on tags of groups, in every
// position that the language has.
func groupCondition(t *rapid.T, depth int) string {
	leaf := func() string {
		g := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "group")
		return fmt.Sprintf(rapid.SampledFrom([]string{
			`principal in MCP::Group::"corp/%[1]s"`, `principal in [MCP::Group::"corp/%[1]s", MCP::Group::"corp/b"]`,
			`principal is MCP::User in MCP::Group::"corp/%[1]s"`, `context.rpcMethod == "%[1]s"`, `context.rpcMethod != "%[1]s"`, `principal.sub == "%[1]s"`, `principal.sub != "%[1]s"`,
			`(if principal.hasTag("groups") then principal.getTag("groups").contains("%[1]s") else false)`,
			`(principal.hasTag("groups") && principal.getTag("groups").containsAny(["%[1]s"]))`,
			`(principal.hasTag("groups") && ["%[1]s"].containsAll(principal.getTag("groups")))`,
			`(principal.hasTag("groups") && principal.getTag("groups") == ["%[1]s"])`,
			`(principal.hasTag("groups") && principal.getTag("groups").isEmpty())`,
		}).Draw(t, "leaf"), g)
	}
	if depth == 0 {
		return leaf()
	}
	next := func() string { return groupCondition(t, depth-1) }
	switch rapid.SampledFrom([]string{"leaf", "not", "and", "or", "if", "equal"}).Draw(t, "shape") {
	case "not":
		return "!(" + next() + ")"
	case "and":
		return "((" + next() + ") && (" + next() + "))"
	case "or":
		return "((" + next() + ") || (" + next() + "))"
	case "if":
		return "(if (" + next() + ") then (" + next() + ") else (" + next() + "))"
	case "equal":
		return "((" + next() + ") == (" + next() + "))"
	}
	return leaf()
}

// Whoever is allowed without groups being known is allowed whichever groups
// they are in: leaving them out of the token gains nothing.
func TestAbsenceGainsNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.SampledFrom([]string{"", "permit (principal is MCP::User, action, resource);\n"}).Draw(rt, "base")
		for range rapid.IntRange(1, 2).Draw(rt, "policies") {
			text += rapid.SampledFrom([]string{"permit", "permit", "forbid"}).Draw(rt, "effect") + " (" +
				rapid.SampledFrom([]string{`principal is MCP::User`, `principal is MCP::User in MCP::Group::"corp/a"`}).Draw(rt, "scope") + ", action, resource)\n" +
				rapid.SampledFrom([]string{"when", "unless"}).Draw(rt, "clause") + " { " + groupCondition(rt, rapid.IntRange(0, 2).Draw(rt, "depth")) + " };\n"
		}
		set, _ := policy.Load(world(file("test.cedar", text)))
		if set == nil {
			return // cedar-go types some guards more narrowly than they are
		}
		unknown := ask("alice").calls("github", "delete_repo", "")
		unknown.AbsentGroups = []string{"groups"}
		if !set.Decide(unknown).Allowed {
			return
		}
		for _, groups := range [][]string{{}, {"a"}, {"b"}, {"a", "b"}} {
			q := ask("alice", groups...)
			alice := q.request.Entities[q.request.Principal]
			alice.Tags = cedar.NewRecord(cedar.RecordMap{"groups": stringSet(groups)})
			q.request.Entities[q.request.Principal] = alice
			if d := set.Decide(q.calls("github", "delete_repo", "")); !d.Allowed {
				rt.Fatalf("allowed without groups, and in %q %+v, by\n%s", groups, d, text)
			}
		}
	})
}
