package config_test

import (
	"fmt"
	"testing"

	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/policy"
)

const plainServers = `
servers: [ { name: github, resource: https://mcp.example.com/mcp, issuers: [corp] } ]
policies: { path: policies }
`

const corp = `
issuers: [ { name: corp, issuer: https://login.example.com/ } ]`

func parseText(t *testing.T, text string) *config.Config {
	t.Helper()
	c, problems := config.Parse("cedargate.yaml", []byte(text))
	if c == nil {
		t.Fatalf("Parse(%s) found\n%s", text, report(problems))
	}
	return c
}

func assembleText(t *testing.T, text string, before *config.Assembly, files ...policy.File) *config.Assembly {
	t.Helper()
	a, problems := parseText(t, text).Assemble(config.Parts{Records: discard{}, Files: files, Before: before})
	if a == nil {
		t.Fatalf("Assemble found\n%s", report(problems))
	}
	return a
}

// What a process has opened cannot be changed by an edit, and the edit is told
// where.
func TestNeedsRestart(t *testing.T) {
	serving := parseText(t, corp+plainServers)
	tests := []struct{ edit, want string }{
		{"", ""},
		{"log: { level: debug }", ""},
		{"listen: { grpc: 127.0.0.1:9191, admin: 127.0.0.1:9192 }", ""}, // the defaults, written out
		{"trusted_hops: 1", ""},
		{"listen: { grpc: 127.0.0.1:9999 }", "cedargate.yaml:5:17: listen.grpc: changes from 127.0.0.1:9191 to 127.0.0.1:9999, which takes a restart\n"},
		{"listen: { admin: unix:///run/a.sock }", "cedargate.yaml:5:18: listen.admin: changes from 127.0.0.1:9192 to unix:///run/a.sock, which takes a restart\n"},
		{"audit: { path: a.jsonl }\nlog: { format: text }", "cedargate.yaml:5:16: audit.path: changes from stdout to a.jsonl, which takes a restart\n" +
			"cedargate.yaml:6:16: log.format: changes from json to text, which takes a restart\n"},
	}
	for _, tt := range tests {
		got := ""
		for _, p := range parseText(t, corp+plainServers+tt.edit).NeedsRestart(serving) {
			got += fmt.Sprintln(p)
			if p.Advice || p.Hint == "" {
				t.Errorf("%q: %v is advice, or has no hint", tt.edit, p)
			}
		}
		if got != tt.want {
			t.Errorf("%q: NeedsRestart() = %q, want %q", tt.edit, got, tt.want)
		}
	}
	// A field that is taken out again stands nowhere: the file is named.
	edited := parseText(t, corp+plainServers+"audit: { path: a.jsonl }")
	if got := serving.NeedsRestart(edited); len(got) != 1 || got[0].Line == 0 || got[0].File == "" {
		t.Errorf("NeedsRestart() = %v, want one problem with a place", got)
	}
}

// Keys stay with their issuer as long as they come from the same place.
func TestSourcesAreKept(t *testing.T) {
	before := assembleText(t, `
issuers:
  - { name: corp, issuer: https://login.example.com/ }
  - { name: partner, issuer: https://partner.example.com/ }
  - { name: gone, issuer: https://gone.example.com/ }`+plainServers, nil)
	after := assembleText(t, `
issuers:
  - { name: new, issuer: https://new.example.com/ }
  - { name: partner, issuer: https://partner.example.com/, jwks_uri: https://partner.example.com/keys }
  - { name: corp, issuer: https://login.example.com/, groups_claims: [groups] }`+plainServers, before)
	if got, want := after.Keys[2], before.Keys[0]; got != want {
		t.Error("the keys of corp come from another source, though only what its groups are has changed")
	}
	for _, i := range []int{0, 1} {
		for j := range before.Keys {
			if after.Keys[i] == before.Keys[j] {
				t.Errorf("the source of issuers[%d] is that of issuers[%d] before", i, j)
			}
		}
	}
}

func TestLosesPolicies(t *testing.T) {
	file := policy.File{Name: "policies/a.cedar", Text: []byte("permit (principal, action, resource);")}
	none, some := assembleText(t, corp+plainServers, nil), assembleText(t, corp+plainServers, nil, file)
	for _, tt := range []struct {
		name          string
		after, before *config.Assembly
		want          bool
	}{
		{"some to none", none, some, true},
		{"some to some", some, some, false},
		{"none to some", some, none, false},
		{"none to none", none, none, false},
	} {
		if got := tt.after.LosesPolicies(tt.before); (got != nil) != tt.want {
			t.Errorf("%s: LosesPolicies() = %v, want one: %v", tt.name, got, tt.want)
		}
	}
}
