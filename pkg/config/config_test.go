package config_test

import (
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
)

const testdata = "../../testdata/config"

var update = flag.Bool("update", false, "write the problems that were found beside the files")

// files lists the configurations of a folder of testdata.
func files(t testing.TB, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(testdata, folder, "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files in %s: %v", folder, err)
	}
	return names
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// report writes problems as a person is shown them.
func report(problems []config.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		if p.Advice {
			b.WriteString("advice: ")
		}
		b.WriteString(p.String() + "\n")
		if p.Hint != "" {
			b.WriteString("    hint: " + p.Hint + "\n")
		}
	}
	return b.String()
}

// parse parses a file that has to be good.
func parse(t testing.TB, name string) *config.Config {
	t.Helper()
	c, problems := config.Parse(filepath.Base(name), read(t, name))
	if c == nil {
		t.Fatalf("Parse(%s) found\n%s", name, report(problems))
	}
	return c
}

// The file NAME.golden beside NAME.yaml holds its problems; without one there
// are none.
func TestProblems(t *testing.T) {
	for folder, good := range map[string]bool{"good": true, "bad": false} {
		for _, name := range files(t, folder) {
			t.Run(folder+"/"+filepath.Base(name), func(t *testing.T) {
				c, problems := config.Parse(filepath.Base(name), read(t, name))
				if got := c != nil; got != good {
					t.Errorf("Parse(%s) made a Config: %v, want %v", name, got, good)
				}
				golden(t, strings.TrimSuffix(name, ".yaml")+".golden", report(problems))
			})
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update && got != "" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil && got != "" {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("problems differ from %s (-want +got):\n%s", name, diff)
	}
}

// same compares configurations as other packages see them.
func same() cmp.Options {
	return cmp.Options{
		cmpopts.IgnoreUnexported(config.Config{}, config.Server{}),
		cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
		cmp.Transformer("text", func(b []byte) string { return string(b) }),
	}
}

var asymmetric = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
}

func TestSmallest(t *testing.T) {
	want := &config.Config{
		GRPC:  config.Address{Network: "tcp", Address: "127.0.0.1:9191"},
		Admin: config.Address{Network: "tcp", Address: "127.0.0.1:9192"},
		Issuers: []config.Issuer{{
			Name: "corp", Identifier: "https://login.example.com/", Algorithms: asymmetric,
			MaxStale: 24 * time.Hour, Required: true,
			ScopesClaims: []string{"scope", "scp"}, ClientClaims: []string{"client_id", "azp", "cid", "appid"},
		}},
		Servers: []config.Server{{Server: authz.Server{
			Name:                 "github",
			Resource:             "https://mcp.example.com/github/mcp",
			Audiences:            []string{"https://mcp.example.com/github/mcp", "https://mcp.example.com/github/mcp/"},
			Hosts:                []string{"mcp.example.com", "mcp.example.com:443"},
			Paths:                []string{"/github/mcp", "/github/mcp/"},
			Issuers:              []string{"corp"},
			AuthorizationServers: []string{"https://login.example.com/"},
			Location:             time.UTC,
			Rules:                mcp.Rules{BodyBytes: 262144, Elements: 10000},
			Tools:                map[string]policy.Tool{},
		}}},
		PolicyPath: "/etc/cedargate/policies",
		AuditPath:  "stdout",
		Log:        config.Log{Level: slog.LevelInfo},
		TokenBytes: 16384,
	}
	got := parse(t, testdata+"/good/smallest.yaml")
	if diff := cmp.Diff(want, got, same()); diff != "" {
		t.Errorf("Parse(smallest.yaml) (-want +got):\n%s", diff)
	}
}

func TestSample(t *testing.T) {
	got := parse(t, testdata+"/good/sample.yaml")
	want := map[string]policy.Tool{
		// Not destructive, since it is read-only.
		"read_file": {Name: "read_file", ReadOnly: true, OpenWorld: true},
		"refund": {Name: "refund", Destructive: true, OpenWorld: true, InputSchema: []byte(
			`{"properties":{"amount":{"type":"integer"},"currency":{"type":"string"}},"required":["amount"],"type":"object"}`)},
	}
	if diff := cmp.Diff(want, got.Servers[0].Tools, same()); diff != "" {
		t.Errorf("tools of sample.yaml (-want +got):\n%s", diff)
	}
	if zone := got.Servers[0].Location.String(); zone != "Europe/Berlin" {
		t.Errorf("time zone of sample.yaml = %q, want Europe/Berlin", zone)
	}
	if issuer := got.Issuers[0]; issuer.JWKSURI != "https://login.example.com/keys" ||
		!cmp.Equal(issuer.Algorithms, []string{"RS256", "ES256"}) {
		t.Errorf("issuer of sample.yaml = %+v", issuer)
	}
	wantIssuers := []policy.Issuer{{Name: "corp", Groups: true, Roles: true}}
	if diff := cmp.Diff(wantIssuers, got.PolicyIssuers()); diff != "" {
		t.Errorf("PolicyIssuers() (-want +got):\n%s", diff)
	}
}

func TestFull(t *testing.T) {
	want := &config.Config{
		GRPC:  config.Address{Network: "unix", Address: "/run/cedargate/authz.sock"},
		Admin: config.Address{Network: "tcp", Address: "[::1]:0"},
		Issuers: []config.Issuer{{
			Name:              "corp",
			Identifier:        "https://login.example.com/realms/corp",
			JWKSURI:           "https://login.example.com/keys?policy=b2c",
			Algorithms:        []string{"ES256", "EdDSA", "Ed25519"},
			GroupsClaims:      []string{"groups", "https://example.com/groups"},
			RolesClaims:       []string{"realm_access.roles"},
			AllowIDTokenShape: true,
			RequireOneOf:      []string{"scp", "scope"},
			ScopesClaims:      []string{"rights"},
			ClientClaims:      []string{"app", "azp"},
			AudienceClaim:     "client_id",
			ClientsWithoutSub: true,
			AbsentIsNone:      true,
			ServiceAccounts:   true,
			CAFile:            "/etc/cedargate/corp-ca.pem",
			MaxStale:          90 * time.Minute,
		}, {
			Name: "dev", Identifier: "http://localhost:9000", Algorithms: asymmetric,
			MaxStale: 24 * time.Hour, Required: true,
			ScopesClaims: []string{"scope", "scp"}, ClientClaims: []string{"client_id", "azp", "cid", "appid"},
		}},
		Servers: []config.Server{{RefuseUndeclared: true, Server: authz.Server{
			Name:                 "files-1",
			Resource:             "http://127.0.0.1:8080",
			Audiences:            []string{"https://files.example.com", "api://files"},
			Hosts:                []string{"[2001:db8::1]", "[2001:db8::1]:80", "files.example.com", "files.example.com:80", "files.example.com:8443"},
			Paths:                []string{"/", "/sse", "/messages/"},
			Issuers:              []string{"dev", "corp"},
			AuthorizationServers: []string{"http://localhost:9000", "https://login.example.com/realms/corp"},
			Scopes:               []string{"files:read", "https://example.com/files.write"},
			ScopeImplies:         map[string][]string{"files:write": {"files:read"}},
			Intersect:            true,
			Environments:         []string{"prod", "eu"},
			Location:             time.FixedZone("Etc/GMT-5", 5*60*60),
			ForwardToken:         true,
			Rules: mcp.Rules{
				BodyBytes: 67108864, Elements: 1, ResourceNames: true, EncodedSlash: true,
				Versions: []string{"2025-11-25", "2026-07-28", "2027-01-15"},
			},
			Tools: map[string]policy.Tool{"write_file": {
				Name: "write_file", Idempotent: true,
				InputSchema: []byte(`{"properties":{` +
					`"mode":{"enum":[420,null,100],"maximum":511.5,"type":["integer","null"]},` +
					`"path":{"default":"/tmp","type":"string"},` +
					`"since":{"deprecated":true,"examples":["2026-07-28"],"type":"string"}},` +
					`"required":["path"],"type":"object"}`),
			}},
		}}},
		PolicyPath:  "/etc/cedargate/policies",
		OmitBuiltin: true,
		AuditPath:   "/var/log/cedargate/decisions.jsonl",
		Log:         config.Log{Text: true, Level: slog.LevelError},
		TokenBytes:  49152,
		TrustedHops: 2,
	}
	got := parse(t, testdata+"/good/full.yaml")
	if diff := cmp.Diff(want, got, same()); diff != "" {
		t.Errorf("Parse(full.yaml) (-want +got):\n%s", diff)
	}
}

// Each server reads the resources that policies name by its own rules.
func TestPolicyServers(t *testing.T) {
	full := parse(t, testdata+"/good/full.yaml").PolicyServers()[0]
	smallest := parse(t, testdata+"/good/smallest.yaml").PolicyServers()[0]
	if !full.RefuseUndeclared || smallest.RefuseUndeclared {
		t.Errorf("RefuseUndeclared = %v for undeclared: refuse, %v without", full.RefuseUndeclared, smallest.RefuseUndeclared)
	}
	if len(full.Tools) != 1 || full.Tools[0].Name != "write_file" || !cmp.Equal(full.Environments, []string{"prod", "eu"}) {
		t.Errorf("PolicyServers() of full.yaml = %+v", full)
	}
	const uri = "Repo://x/branch%2flogin"
	if got, err := full.CanonicalURI(uri); err != nil || got != "repo://x/branch%2Flogin" {
		t.Errorf("CanonicalURI(%q) with encoded_slash: segment = %q, %v, want repo://x/branch%%2Flogin", uri, got, err)
	}
	if got, err := smallest.CanonicalURI(uri); err == nil {
		t.Errorf("CanonicalURI(%q) without encoded_slash = %q, want an error", uri, got)
	}
}

// A resource is in no directory of a query, fragment, userinfo or expression,
// and a plain name is in none at all: a forbid on such a one would sleep.
func TestPolicyDirectories(t *testing.T) {
	server := parse(t, testdata+"/good/full.yaml").PolicyServers()[0]
	tests := []struct {
		uri  string
		want bool
	}{
		{"file:///", true},
		{"file:///srv/", true},
		{"https://example.com/", true},
		{"db://host/a/", true},
		{"urn:a/", true},
		{"https://", false},
		{"db://", false},
		{"https://example.com/a?b/", false},
		{"db://host/a#b/", false},
		{"ssh://git@host/a/", false},
		{"file:///srv/{name}/", false},
		{"reports/", false},
		{"FILE:///srv/", false},
	}
	for _, tt := range tests {
		if got := server.HasDirectory(tt.uri); got != tt.want {
			t.Errorf("HasDirectory(%q) = %v, want %v", tt.uri, got, tt.want)
		}
	}
}

// A problem is written as compilers do, as far as its place is known.
func TestProblemString(t *testing.T) {
	tests := []struct {
		problem config.Problem
		want    string
	}{
		{config.Problem{File: "a.yaml", Line: 3, Column: 5, Path: "listen.grpc", Message: "is wrong"}, "a.yaml:3:5: listen.grpc: is wrong"},
		{config.Problem{File: "a.yaml", Message: "is wrong"}, "a.yaml: is wrong"},
		{config.Problem{Message: "there are no policies"}, "there are no policies"},
	}
	for _, tt := range tests {
		if got := tt.problem.String(); got != tt.want {
			t.Errorf("String(%+v) = %q, want %q", tt.problem, got, tt.want)
		}
	}
}
