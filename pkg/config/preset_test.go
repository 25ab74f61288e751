package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

// What is written goes before the preset, even when it is an empty list.
func TestPresets(t *testing.T) {
	c := parse(t, testdata+"/good/presets.yaml")
	byName := map[string]config.Issuer{}
	for _, issuer := range c.Issuers {
		byName[issuer.Name] = issuer
	}
	shape := func(i config.Issuer) token.Issuer {
		return token.Issuer{
			ScopesClaims: i.ScopesClaims, ClientClaims: i.ClientClaims, GroupsClaims: i.GroupsClaims, RolesClaims: i.RolesClaims,
			RequireOneOf: i.RequireOneOf, AudienceClaim: i.AudienceClaim, ServiceAccounts: i.ServiceAccounts,
			ClientsWithoutSub: i.ClientsWithoutSub, AbsentIsNone: i.AbsentIsNone,
		}
	}
	for _, name := range token.Presets() {
		want, _ := token.Preset(name)
		want.AbsentIsNone = name == "cognito" // as the file says
		if diff := cmp.Diff(want, shape(byName[name]), cmpopts.IgnoreUnexported(want)); diff != "" {
			t.Errorf("shape of %s (-want +got):\n%s", name, diff)
		}
	}
	own := token.Issuer{
		ScopesClaims: []string{"rights"}, ClientClaims: []string{"app"}, RolesClaims: []string{"resource_access.mcp.roles"},
		RequireOneOf: []string{"scope"}, AudienceClaim: "app", ServiceAccounts: true, ClientsWithoutSub: true,
	}
	if diff := cmp.Diff(own, shape(byName["own"]), cmpopts.IgnoreUnexported(own), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("shape of own (-want +got):\n%s", diff)
	}
	for _, got := range c.PolicyIssuers() {
		i := byName[got.Name]
		want := policy.Issuer{Name: i.Name, Groups: len(i.GroupsClaims) > 0, Roles: len(i.RolesClaims) > 0, AbsentIsNone: i.AbsentIsNone}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("PolicyIssuers() (-want +got):\n%s", diff)
		}
	}
}

func TestScopesAndDelegation(t *testing.T) {
	s := parse(t, testdata+"/good/presets.yaml").Servers[0]
	want := map[string][]string{"mcp:admin": {"mcp:write"}, "mcp:write": {"mcp:read", "mcp:list"}, "mcp:read": {}}
	if diff := cmp.Diff(want, s.ScopeImplies); diff != "" || !s.Intersect {
		t.Errorf("Intersect %v, ScopeImplies (-want +got):\n%s", s.Intersect, diff)
	}
	if s := parse(t, testdata+"/good/smallest.yaml").Servers[0]; s.Intersect || s.ScopeImplies != nil {
		t.Errorf("smallest.yaml: Intersect %v, ScopeImplies %v", s.Intersect, s.ScopeImplies)
	}
}
