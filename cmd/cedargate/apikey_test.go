package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/token"
)

// What is printed is pasted, and the key is then accepted where it is listed.
func TestAPIKeyEntryIsPasted(t *testing.T) {
	var key, entry bytes.Buffer
	k := newKey{name: "ci-bot", groups: []string{"ci", `a "b": c`, "#x"}, expires: "2099-01-31T00:00:00+01:00"}
	if err := k.create(&key, &entry, time.Now()); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(entry.String(), "\n\n")
	top, rest, _ := strings.Cut(text, "\n\n")
	_, list, _ := strings.Cut(rest, "\n\n")
	file := top + "\nservers:\n  - name: demo\n    resource: https://mcp.example.com/mcp\n" + list + "policies: { path: policies }\n"
	c, problems := config.Parse("pasted.yaml", []byte(file))
	if len(problems) > 0 {
		t.Fatalf("Parse(%s) = %v", file, problems)
	}
	verifier, err := c.Verifier(config.Parts{})
	if err != nil {
		t.Fatal(err)
	}
	who, err := verifier.Verify(t.Context(), token.Credential{Raw: strings.TrimSpace(key.String())}, c.EngineServers()[0].Accept())
	if err != nil {
		t.Fatalf("Verify of the key: %v", err)
	}
	if principal, _ := authz.Caller(who); principal.String() != `MCP::Agent::"key/ci-bot"` || strings.Join(who.Groups, "|") != `ci|a "b": c|#x` {
		t.Errorf("the key is %s in groups %q", principal, who.Groups)
	}
}
