package authz

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/token"
)

func testServer(name, resource string, hosts, paths []string) Server {
	return Server{
		Name: name, Resource: resource, Hosts: hosts, Paths: paths, Location: time.UTC,
		AuthorizationServers: []string{"https://login.example.com/"}, Scopes: []string{"tools:read"},
	}
}

func testRoutes(t *testing.T) routes {
	t.Helper()
	host := []string{"mcp.example.com", "mcp.example.com:443"}
	r, err := newRoutes([]Server{
		testServer("github", "https://mcp.example.com/github/mcp", host, []string{"/github/mcp", "/github/mcp/"}),
		testServer("jira", "https://mcp.example.com/jira/", host, []string{"/jira", "/jira/", "/v2/jira"}),
		testServer("alone", "https://alone.example.com/mcp", []string{"alone.example.com"}, []string{"/mcp", "/mcp/"}),
		testServer("root", "https://root.example.com", []string{"root.example.com"}, []string{"/"}),
	})
	if err != nil {
		t.Fatalf("newRoutes: %v", err)
	}
	return r
}

func TestFind(t *testing.T) {
	r := testRoutes(t)
	tests := []struct {
		why    string
		method string
		host   string
		path   string
		named  string
		want   string // server, "document of …", or nothing
	}{
		{"host and path", "POST", "mcp.example.com", "/github/mcp", "", "github"},
		{"the host in any case", "POST", "MCP.Example.COM", "/github/mcp", "", "github"},
		{"the scheme's default port", "POST", "mcp.example.com:443", "/github/mcp", "", "github"},
		{"another port", "POST", "mcp.example.com:8443", "/github/mcp", "", ""},
		{"the other spelling", "POST", "mcp.example.com", "/github/mcp/", "", "github"},
		{"the query is cut", "POST", "mcp.example.com", "/github/mcp?a=/jira", "", "github"},
		{"a fragment is not cut", "POST", "mcp.example.com", "/github/mcp#x", "", ""},
		{"no other case", "POST", "mcp.example.com", "/github/MCP", "", ""},
		{"nothing is decoded", "POST", "mcp.example.com", "/github/%6dcp", "", ""},
		{"nothing is normalised", "POST", "mcp.example.com", "/jira/../github/mcp", "", ""},
		{"no double slash", "POST", "mcp.example.com", "//github/mcp", "", ""},
		{"no path parameter", "POST", "mcp.example.com", "/github/mcp;x=1", "", ""},
		{"no letter that folds", "POST", "mcp.example.\u212aom", "/github/mcp", "", ""},
		{"two hosts are none", "POST", "mcp.example.com,mcp.example.com", "/github/mcp", "", ""},
		{"no host", "POST", "", "/github/mcp", "", ""},
		{"an alias", "POST", "mcp.example.com", "/v2/jira", "", "jira"},
		{"named: the host is not looked at", "POST", "evil.example", "/github/mcp", "github", "github"},
		{"named: the path always is", "POST", "mcp.example.com", "/jira", "github", ""},
		{"named and unknown: no fallback", "POST", "mcp.example.com", "/github/mcp", "other", ""},
		{"a bare origin", "POST", "root.example.com", "/", "", "root"},

		{"metadata", "GET", "mcp.example.com", "/.well-known/oauth-protected-resource/github/mcp", "", "document of github"},
		{"metadata with a query", "GET", "mcp.example.com", "/.well-known/oauth-protected-resource/github/mcp?x", "", "document of github"},
		{"its preflight", "OPTIONS", "mcp.example.com", "/.well-known/oauth-protected-resource/github/mcp", "", "document of github"},
		{"no other method", "POST", "mcp.example.com", "/.well-known/oauth-protected-resource/github/mcp", "", ""},
		{"metadata of an alias", "HEAD", "mcp.example.com", "/.well-known/oauth-protected-resource/v2/jira", "", "document of jira"},
		{"no bare form where two servers are", "GET", "mcp.example.com", "/.well-known/oauth-protected-resource", "", ""},
		{"the bare form of one server", "GET", "alone.example.com", "/.well-known/oauth-protected-resource", "", "document of alone"},
		{"the bare form of a bare origin", "GET", "root.example.com", "/.well-known/oauth-protected-resource", "", "document of root"},
		{"named: metadata at any host", "GET", "evil.example", "/.well-known/oauth-protected-resource/github/mcp", "github", "document of github"},
		{"named: not of another server", "GET", "mcp.example.com", "/.well-known/oauth-protected-resource/jira", "github", ""},
		{"named: the bare form", "GET", "evil.example", "/.well-known/oauth-protected-resource", "alone", "document of alone"},
		{"named: no bare form where two are", "GET", "mcp.example.com", "/.well-known/oauth-protected-resource", "github", ""},
		{"another host's metadata", "GET", "alone.example.com", "/.well-known/oauth-protected-resource/github/mcp", "", ""},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			p := r.find(Request{
				HTTP: mcp.HTTP{Method: test.method}, Host: test.host, Path: test.path,
				Server: test.named, Named: test.named != "",
			})
			got := ""
			switch {
			case p.site != nil:
				got = p.site.Name
			case p.document != nil:
				got = "document of " + p.document.site.Name
			}
			if got != test.want {
				t.Errorf("find(%s %q %q, server %q) = %q, want %q", test.method, test.host, test.path, test.named, got, test.want)
			}
		})
	}
}

func TestEmptyNameIsNoFallback(t *testing.T) {
	if p := testRoutes(t).find(Request{Host: "mcp.example.com", Path: "/github/mcp", Named: true}); p != (place{}) {
		t.Errorf("find with the empty server name = %v, want nothing", p)
	}
}

func TestClaimedTwice(t *testing.T) {
	_, err := newRoutes([]Server{
		testServer("a", "https://h/mcp", []string{"h"}, []string{"/mcp"}),
		testServer("b", "https://h/mcp", []string{"h"}, []string{"/mcp"}),
	})
	if err == nil {
		t.Error("newRoutes with one place claimed twice: no error")
	}
}

// The document names the spelling that was asked for, since clients compare it
// byte for byte with the URL they were given.
func TestMetadataSpelling(t *testing.T) {
	r := testRoutes(t)
	tests := map[string]string{
		"/.well-known/oauth-protected-resource/github/mcp":  "https://mcp.example.com/github/mcp",
		"/.well-known/oauth-protected-resource/github/mcp/": "https://mcp.example.com/github/mcp/",
		"/.well-known/oauth-protected-resource/jira":        "https://mcp.example.com/jira",
		"/.well-known/oauth-protected-resource/jira/":       "https://mcp.example.com/jira/",
		"/.well-known/oauth-protected-resource/v2/jira":     "https://mcp.example.com/jira/",
	}
	for path, resource := range tests {
		p := r.find(Request{HTTP: mcp.HTTP{Method: "GET"}, Host: "mcp.example.com", Path: path})
		want := `{"resource":"` + resource + `","authorization_servers":["https://login.example.com/"],"scopes_supported":["tools:read"],"bearer_methods_supported":["header"],"dpop_signing_alg_values_supported":["` +
			strings.Join(token.ProofAlgorithms(), `","`) + `"]}`
		if p.document == nil {
			t.Errorf("find(%q): no document", path)
		} else if diff := cmp.Diff(want, string(p.document.body)); diff != "" {
			t.Errorf("document at %q (-want +got):\n%s", path, diff)
		}
	}
}

func TestChallenge(t *testing.T) {
	r := testRoutes(t)
	tests := []struct{ host, path, at string }{
		{"mcp.example.com", "/github/mcp", "https://mcp.example.com/.well-known/oauth-protected-resource/github/mcp"},
		{"mcp.example.com", "/github/mcp/", "https://mcp.example.com/.well-known/oauth-protected-resource/github/mcp/"},
		{"mcp.example.com", "/github/mcp/?x=1", "https://mcp.example.com/.well-known/oauth-protected-resource/github/mcp/"},
		{"mcp.example.com", "/v2/jira", "https://mcp.example.com/.well-known/oauth-protected-resource/jira/"},
		{"root.example.com", "/", "https://root.example.com/.well-known/oauth-protected-resource"},
	}
	for _, test := range tests {
		q := Request{HTTP: mcp.HTTP{Method: "POST"}, Host: test.host, Path: test.path}
		got := r.find(q).site.challengeFor(q)
		if want := `Bearer scope="tools:read", resource_metadata="` + test.at + `"`; got.missing != want {
			t.Errorf("challenge at %s%s = %s, want %s", test.host, test.path, got.missing, want)
		}
	}
}

// The origin of a challenge is the resource's own, whatever its path holds: a
// client would take its token from wherever the document says.
func TestChallengeKeepsTheOrigin(t *testing.T) {
	for _, path := range []string{"/{tenant}/mcp", "/a|b", "/a^b", "/a'b", "/a[b]", "/%7emcp", "/~mcp"} {
		got, err := metadataURL("https://mcp.example.com" + path)
		if want := "https://mcp.example.com/.well-known/oauth-protected-resource" + path; got != want || err != nil {
			t.Errorf("metadataURL at %s = %q, %v, want %q", path, got, err, want)
		}
	}
	for _, path := range []string{`/a"b`, `/a\b`} {
		if got, err := metadataURL("https://mcp.example.com" + path); err == nil {
			t.Errorf("metadataURL at %s = %q, want an error: it ends in quotes", path, got)
		}
	}
}
