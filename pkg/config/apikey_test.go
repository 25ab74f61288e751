package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

func TestAPIKeys(t *testing.T) {
	c := parseAdvised(t, "api-keys.yaml")
	hash := func(digit string) token.KeyHash {
		h, err := token.ParseKeyHash("sha256:" + strings.Repeat(digit, 64))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	want := []token.APIKey{
		{Name: "ci-bot", Hash: hash("a"), Groups: []string{"ci", "deployers"}, Expires: time.Date(2027, 1, 30, 23, 0, 0, 0, time.UTC)},
		{Name: "monitor", Hash: hash("b")},
		{Name: "retired", Hash: hash("c")},
	}
	if diff := cmp.Diff(want, c.APIKeys); diff != "" {
		t.Errorf("API keys (-want +got):\n%s", diff)
	}
	s := c.EngineServers()[0]
	accept := token.Accept{
		Keys: []string{"ci-bot", "monitor"}, Anonymous: true,
		Audiences: []string{"https://mcp.example.com/build/mcp", "https://mcp.example.com/build/mcp/"},
	}
	if diff := cmp.Diff(accept, s.Accept()); diff != "" || s.KeyHeader != "x-api-key" || len(s.AuthorizationServers) > 0 {
		t.Errorf("server = %+v, Accept (-want +got):\n%s", s, diff)
	}
	issuers := []policy.Issuer{{Name: "key", Groups: true}}
	if diff := cmp.Diff(issuers, c.PolicyIssuers()); diff != "" {
		t.Errorf("PolicyIssuers() (-want +got):\n%s", diff)
	}
}

// parseAdvised parses a good file about which there is advice.
func parseAdvised(t *testing.T, name string) *config.Config {
	t.Helper()
	c, problems := config.Parse(name, read(t, testdata+"/good/"+name))
	if c == nil {
		t.Fatalf("Parse(%s) found\n%s", name, report(problems))
	}
	return c
}

// Policies may name API keys and their groups, and nothing else of them.
func TestAssembleWithAPIKeys(t *testing.T) {
	c := parseAdvised(t, "api-keys.yaml")
	assemble := func(policies string) (*config.Assembly, []config.Problem) {
		return c.Assemble(config.Parts{Files: []policy.File{{Name: "main.cedar", Text: []byte(policies)}}, Records: discard{}})
	}
	a, problems := assemble(`forbid (principal == MCP::Agent::"key/ci-bot", action, resource);
forbid (principal in MCP::Group::"key/ci", action, resource);`)
	if a == nil {
		t.Fatalf("Assemble found\n%s", report(problems))
	}
	if got := a.Engine.Servers; len(got) != 1 || got[0].Name != "build" {
		t.Errorf("servers of the engine = %+v, want build", got)
	}
	for _, of := range []string{`== MCP::User::"corp/alice"`, `in MCP::Role::"key/ci"`} {
		if a, problems := assemble(`forbid (principal ` + of + `, action, resource);`); a != nil || len(problems) == 0 {
			t.Errorf("Assemble with a forbid on %s = %v, %v, want a problem", of, a, problems)
		}
	}
	verifier, err := c.Verifier(config.Parts{})
	if err != nil {
		t.Fatal(err)
	}
	if who, err := verifier.Verify(t.Context(), token.Credential{}, a.Engine.Servers[0].Accept()); err != nil || who.Kind != token.Anonymous {
		t.Errorf("Verify without a credential = %+v, %v, want an anonymous caller", who, err)
	}
}
