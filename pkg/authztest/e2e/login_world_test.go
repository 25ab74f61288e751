package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// Both eras: the last version with sessions, and the one without.
var eras = []string{"2025-11-25", "2026-07-28"}

// An office is all real parts around a server where people sign in for real.
type office struct {
	issuer    string
	envoy     *stack.Envoy
	cedargate *stack.Cedargate
	upstream  *stack.Upstream
}

// openOffice runs the example of testdata/identity/<name>, with what edit
// replaces in its configuration. issuer starts the OAuth server for a resource
// and returns its URL: Envoy comes first, for the resource has its port.
func openOffice(t *testing.T, name string, issuer func(resource string) string, edit ...string) office {
	t.Helper()
	dir, err := os.MkdirTemp("", "office") // t.TempDir() is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	socket := "unix://" + filepath.Join(dir, "authz.sock")
	o := office{upstream: newUpstream(t)}
	o.envoy = newEnvoy(t, stack.EnvoyConfig{Authz: socket, Upstream: o.upstream.Addr(), Routes: []stack.Route{{Path: "/mcp", Server: "notes"}}})
	o.issuer = issuer(o.envoy.URL("/mcp"))
	example := filepath.Join("..", "..", "..", "testdata", "identity", name)
	config, err := os.ReadFile(filepath.Join(example, "cedargate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	policies, err := os.ReadFile(filepath.Join(example, "policies", "main.cedar"))
	if err != nil {
		t.Fatal(err)
	}
	replaced := strings.NewReplacer(append(edit,
		"http://127.0.0.1:9000", o.issuer, "http://127.0.0.1:5556/dex", o.issuer, "127.0.0.1:10000", o.envoy.Addr())...).Replace(string(config))
	o.cedargate = newCedargate(t, stack.CedargateConfig{
		Config: []byte(replaced + "listen: { grpc: \"" + socket + "\" }\n"),
		Files:  beside(t, example, map[string][]byte{"policies/main.cedar": policies}),
	})
	return o
}

// beside adds to files the secrets and keys that an example has.
func beside(t *testing.T, example string, files map[string][]byte) map[string][]byte {
	t.Helper()
	for _, pattern := range []string{"*.secret", "*.pem"} {
		names, err := filepath.Glob(filepath.Join(example, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if files[filepath.Base(name)], err = os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return files
}

// oidcProvider is the issuer of an office.
func oidcProvider(t *testing.T, c stack.OIDCProviderConfig) func(string) string {
	return func(string) string { return newOIDCProvider(t, c).URL() }
}

func newOIDCProvider(t *testing.T, c stack.OIDCProviderConfig) *stack.OIDCProvider {
	t.Helper()
	p, err := stack.StartOIDCProvider(t.Context(), c)
	return keep(t, p, err)
}

// A trail is what a client asked over HTTP, and with which tokens.
type trail struct {
	next  http.RoundTripper
	names *strings.Replacer
	agent string

	mu     sync.Mutex
	steps  []string // "POST gate/mcp 401"
	tokens []string // each that was sent to the gate, in order
}

// newTrail names the two sides of the office: gate and issuer.
func (o office) newTrail(agent string) *trail {
	return &trail{next: http.DefaultTransport, names: strings.NewReplacer(o.issuer, "issuer", o.envoy.URL(""), "gate"), agent: agent}
}

// RoundTrip implements http.RoundTripper.
func (tr *trail) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("user-agent", tr.agent)
	resp, err := tr.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	where, _, _ := strings.Cut(r.URL.String(), "?")
	token, sent := strings.CutPrefix(r.Header.Get("authorization"), "Bearer ")
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.steps = append(tr.steps, fmt.Sprint(r.Method, " ", tr.names.Replace(where), " ", resp.StatusCode))
	if sent && !slices.Contains(tr.tokens, token) {
		tr.tokens = append(tr.tokens, token)
	}
	return resp, nil
}

// note adds a step that the browser took.
func (tr *trail) note(step string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.steps = append(tr.steps, step)
}

// until returns the steps up to the first that is last.
func (tr *trail) until(last string) []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if i := slices.Index(tr.steps, last); i >= 0 {
		return slices.Clone(tr.steps[:i+1])
	}
	return slices.Clone(tr.steps)
}

// count tells how often a step was taken.
func (tr *trail) count(step string) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.steps) - len(slices.DeleteFunc(slices.Clone(tr.steps), func(s string) bool { return s == step }))
}

// used returns the tokens so far.
func (tr *trail) used() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.tokens)
}

// A visitor is a client whose user signs in.
type visitor struct {
	*trail
	session *mcp.ClientSession
}

// dynamic registers itself at the OAuth server (RFC 7591).
func dynamic() auth.AuthorizationCodeHandlerConfig {
	const redirect = "http://127.0.0.1:4998/cb"
	return auth.AuthorizationCodeHandlerConfig{
		RedirectURL: redirect,
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "e2e", RedirectURIs: []string{redirect}, TokenEndpointAuthMethod: "none",
			GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		}},
	}
}

// preregistered is a client that the OAuth server knows.
func preregistered() auth.AuthorizationCodeHandlerConfig {
	return auth.AuthorizationCodeHandlerConfig{
		RedirectURL: "http://127.0.0.1:4998/cb", PreregisteredClient: &oauthex.ClientCredentials{ClientID: "pub"},
	}
}

// visit connects a client that knows nothing but the URL of the MCP server and
// how it is registered.
func (o office) visit(t *testing.T, version string, b stack.Browser, c auth.AuthorizationCodeHandlerConfig) (visitor, error) {
	t.Helper()
	v := visitor{trail: o.newTrail(t.Name())}
	c.Client = &http.Client{Transport: v.trail}
	c.AuthorizationCodeFetcher = func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
		v.note("browser " + parameters(args.URL, "code_challenge_method", "resource", "scope"))
		return b.Authorize(ctx, args)
	}
	handler, err := auth.NewAuthorizationCodeHandler(&c)
	if err != nil {
		t.Fatal(err)
	}
	v.session, err = o.enter(t, version, v.trail, handler)
	return v, err
}

// enter connects a client with a handler for its credentials.
func (o office) enter(t *testing.T, version string, tr *trail, handler auth.OAuthHandler) (*mcp.ClientSession, error) {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil)
	transport := &mcp.StreamableClientTransport{
		Endpoint: o.envoy.URL("/mcp"), HTTPClient: &http.Client{Transport: tr}, OAuthHandler: handler, MaxRetries: -1,
	}
	session, err := client.Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Errorf("Close() of the session = %v, want nil", err)
		}
	})
	if got := session.InitializeResult().ProtocolVersion; got != version {
		t.Fatalf("negotiated %s, want %s", got, version)
	}
	return session, nil
}

// mustVisit is visit, which must not fail.
func (o office) mustVisit(t *testing.T, version string, b stack.Browser, c auth.AuthorizationCodeHandlerConfig) visitor {
	t.Helper()
	v, err := o.visit(t, version, b, c)
	if err != nil {
		t.Fatalf("Connect(%s) = %v, want nil; the way was\n%s", version, err, strings.Join(v.until(""), "\n"))
	}
	return v
}

// use calls a tool with arguments that it takes.
func use(ctx context.Context, session *mcp.ClientSession, tool string) error {
	arguments := map[string]any{"path": "a", "content": "b", "query": "c"}
	if tool == "read_file" {
		arguments = map[string]any{"path": "a"}
	}
	_, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	return err
}

// record is that of the first call of a tool by a client.
func (o office) record(t *testing.T, agent, tool string) map[string]any {
	t.Helper()
	record, err := o.cedargate.WaitRecord(soon(t), func(r map[string]any) bool { return r["user_agent"] == agent && r["tool"] == tool })
	if err != nil {
		t.Fatalf("record of %s by %s: %v", tool, agent, err)
	}
	return record
}

// says compares members of a record, written as text, lists in order; policies
// are those of its only question.
func says(t *testing.T, record map[string]any, want map[string]string) {
	t.Helper()
	for name, value := range want {
		found := record[name]
		if questions, _ := record["questions"].([]any); name == "policies" && len(questions) == 1 {
			found = questions[0].(map[string]any)[name]
		}
		if list, ok := found.([]any); ok {
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		if got := fmt.Sprint(found); got != value {
			t.Errorf("%s of the record is %s, want %s: %v", name, got, value, record)
		}
	}
}

// The servers behind Envoy learn who calls, and never with which token.
func (o office) checkUpstream(t *testing.T, principal string, tokens []string) {
	t.Helper()
	for _, r := range o.upstream.Requests() {
		if got := r.Header.Get("x-cedargate-principal"); got != principal {
			t.Errorf("the server is told of %q, want %q", got, principal)
		}
		for _, token := range tokens {
			if strings.Contains(fmt.Sprint(r.Header), token) || bytes.Contains(r.Body, []byte(token)) {
				t.Errorf("the server got the token: %s %s", r.Method, r.Path)
			}
		}
	}
}
