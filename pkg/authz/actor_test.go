package authz_test

import (
	"context"
	"testing"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/token"
)

// A token never states the groups of its actor, also where it states those of
// its subject: a policy that asks for them must not take them for none.
func TestActorsGroupsAreUnknown(t *testing.T) {
	delegated := func(actor *token.Actor, absent ...string) func(*authz.Config) {
		who := token.Claims{
			Kind: token.User, Issuer: "corp", Subject: "alice", Groups: []string{"dev"}, AbsentGroups: absent,
			Tags: map[string][]string{"groups": {"dev"}}, Actor: actor,
		}
		return func(c *authz.Config) {
			c.Tokens = verifierFunc(func(context.Context, token.Credential, token.Accept) (token.Claims, error) { return who, nil })
		}
	}
	bot := &token.Actor{Issuer: "corp", Subject: "bot", AbsentGroups: []string{"groups"}}
	for _, test := range []struct {
		name, policies string
		change         func(*authz.Config)
		want           string // "" is an allow
	}{
		{"forbid of its group", permitAll + `@id("it") forbid (principal, action, resource) when { context has actor && context.actor in MCP::Group::"corp/bots" };`, delegated(bot), "groups_incomplete"},
		{"forbid of its type and group", permitAll + `@id("it") forbid (principal, action, resource) when { context has actor && context.actor is MCP::Agent in MCP::Group::"corp/bots" };`, delegated(bot), "groups_incomplete"},
		{"forbid of its tag", permitAll + `@id("it") forbid (principal, action, resource) when { context has actor && context["actor"].hasTag("groups") };`, delegated(bot), "groups_incomplete"},
		{"permit unless in its group", `@id("it") permit (principal, action, resource) unless { context has actor && context.actor in MCP::Group::"corp/bots" };`, delegated(bot), "groups_incomplete"},
		{"forbid unless in its group", permitAll + `@id("it") forbid (principal, action, resource) unless { context has actor && context.actor in MCP::Group::"corp/bots" };`, delegated(bot), "denied_by_policy"},
		{"group of the subject", permitAll + `@id("it") forbid (principal in MCP::Group::"corp/temps", action, resource);`, delegated(bot), ""},
		{"absence means none", permitAll + `@id("it") forbid (principal, action, resource) when { context has actor && context.actor in MCP::Group::"corp/bots" };`, delegated(&token.Actor{Issuer: "corp", Subject: "bot"}), ""},
		{"actor of an issuer without groups", permitAll + `@id("it") forbid (principal, action, resource) when { context has actor && context.actor in MCP::Group::"corp/bots" };`, delegated(&token.Actor{Issuer: "other", Subject: "bot", AbsentGroups: []string{"groups"}}), ""},
		{"nobody acts", permitAll + `@id("it") forbid (principal, action, resource) when { context has actor && context.actor in MCP::Group::"corp/bots" };`, delegated(nil), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, _ := engineWith(t, test.policies, test.change)
			got := e.Check(t.Context(), toolCall())
			if got.Allowed != (test.want == "") || !got.Allowed && reason(t, got) != test.want {
				t.Errorf("Check() = %v %s, want %q", got.Allowed, got.Body, test.want)
			}
		})
	}
}
