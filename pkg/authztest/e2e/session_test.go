package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// sessionPolicies let alice work: lists, small refunds, the documents, one
// prompt. Everything else nothing permits.
const sessionPolicies = `
@id("lists")
permit (principal == MCP::User::"corp/alice", action in MCP::Action::"list", resource == MCP::Server::"demo");

@id("refunds")
permit (principal == MCP::User::"corp/alice", action == MCP::Action::"tools/call", resource == MCP::Tool::"demo/refund")
when { context.args.amount <= 100 };

@id("docs")
permit (
  principal == MCP::User::"corp/alice",
  action in [MCP::Action::"resources/read", MCP::Action::"resources/subscribe"],
  resource in MCP::ResourceDir::"demo/file:///srv/docs/"
);

@id("greet")
permit (
  principal == MCP::User::"corp/alice",
  action in [MCP::Action::"prompts/get", MCP::Action::"completion/complete"],
  resource == MCP::Prompt::"demo/greet"
);
`

const sessionConfig = `
issuers:
  - { name: corp, issuer: %q }
servers:
  - name: demo
    resource: %s
    issuers: [corp]
    scopes_supported: [tools:read]
    tools:
      - name: refund
        input_schema:
          type: object
          properties: { amount: { type: integer }, currency: { type: string } }
          required: [amount, currency]
  - name: other
    resource: https://mcp.example.com/other/mcp
    issuers: [corp]
policies: { path: policies }
`

// A house is all real parts around a real MCP server.
type house struct {
	issuer    *authztest.Issuer
	cedargate *stack.Cedargate
	upstream  *stack.Upstream
	envoy     *stack.Envoy
}

func newHouse(t *testing.T, patience string) house {
	t.Helper()
	h := house{issuer: newIssuer(t, authztest.IssuerConfig{}), upstream: newUpstream(t)}
	h.cedargate = newCedargate(t, stack.CedargateConfig{
		Config: fmt.Appendf(nil, sessionConfig, h.issuer.URL(), demoResource), Files: policies(sessionPolicies),
	})
	h.envoy = newEnvoy(t, stack.EnvoyConfig{Authz: h.cedargate.Addr(), Upstream: h.upstream.Addr(), Routes: []stack.Route{
		{Path: "/mcp", Server: "demo"}, {Path: "/other/mcp", Server: "other"},
	}, Set: map[string]any{patiencePath: patience}})
	return h
}

// connect connects a client that speaks version, or fails.
func (h house) connect(t *testing.T, token, version, agent string) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil)
	transport := &mcp.StreamableClientTransport{
		Endpoint: h.envoy.URL("/mcp"), MaxRetries: -1, HTTPClient: &http.Client{Transport: bearer{token, agent}},
	}
	session, err := client.Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatalf("Connect(%s) = %v, want nil", version, err)
	}
	if got := session.InitializeResult().ProtocolVersion; got != version {
		t.Fatalf("negotiated %s, want %s", got, version)
	}
	return session
}

// A step is one thing a client does, and what the policies make of it.
type step struct {
	name      string
	do        func(context.Context, *mcp.ClientSession) error
	permitted bool
	ran       string // what the server did: method and name
}

func steps() []step {
	refund := func(amount int) func(context.Context, *mcp.ClientSession) error {
		return func(ctx context.Context, s *mcp.ClientSession) error {
			_, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "refund", Arguments: map[string]any{"amount": amount, "currency": "EUR"}})
			return err
		}
	}
	read := func(uri string) func(context.Context, *mcp.ClientSession) error {
		return func(ctx context.Context, s *mcp.ClientSession) error {
			_, err := s.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
			return err
		}
	}
	prompt := func(name string) func(context.Context, *mcp.ClientSession) error {
		return func(ctx context.Context, s *mcp.ClientSession) error {
			_, err := s.GetPrompt(ctx, &mcp.GetPromptParams{Name: name, Arguments: map[string]string{"name": "bo", "code": "x"}})
			return err
		}
	}
	return []step{
		{"list tools", func(ctx context.Context, s *mcp.ClientSession) error { _, err := s.ListTools(ctx, nil); return err }, true, "tools/list "},
		{"small refund", refund(100), true, "tools/call refund"},
		{"large refund", refund(101), false, ""},
		{"a tool without a permit", func(ctx context.Context, s *mcp.ClientSession) error {
			_, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "delete_repo", Arguments: map[string]any{"repo": "r"}})
			return err
		}, false, ""},
		{"small refund again", refund(1), true, "tools/call refund"},
		{"document", read("file:///srv/docs/readme.md"), true, "resources/read file:///srv/docs/readme.md"},
		{"salaries", read("file:///srv/private/salaries.csv"), false, ""},
		{"way out of the documents", read("file:///srv/docs/%2e%2e/private/salaries.csv"), false, ""},
		{"list resources", func(ctx context.Context, s *mcp.ClientSession) error { _, err := s.ListResources(ctx, nil); return err }, true, "resources/list "},
		{"prompt", prompt("greet"), true, "prompts/get greet"},
		{"other prompt", prompt("review"), false, ""},
		{"completion", func(ctx context.Context, s *mcp.ClientSession) error {
			_, err := s.Complete(ctx, &mcp.CompleteParams{
				Ref:      &mcp.CompleteReference{Type: "ref/prompt", Name: "greet"},
				Argument: mcp.CompleteParamsArgument{Name: "name", Value: "b"},
			})
			return err
		}, true, "completion/complete greet"},
	}
}

// A real client in each version of the protocol gets what the policies permit,
// an error for what they do not, and goes on.
func TestSessions(t *testing.T) {
	t.Parallel()
	h := newHouse(t, patience)
	for _, version := range []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"} {
		t.Run(version, func(t *testing.T) {
			h.upstream.Reset()
			session := h.connect(t, h.issuer.Mint(nil), version, version)
			var want []string
			for _, s := range steps() {
				err := s.do(soon(t), session)
				if s.permitted {
					want = append(want, s.ran)
				}
				if (err == nil) != s.permitted {
					t.Errorf("%s: %v, want permitted: %v", s.name, err, s.permitted)
				}
				if err != nil && errors.Is(err, mcp.ErrConnectionClosed) {
					t.Fatalf("%s: %v, and the session is gone", s.name, err)
				}
			}
			if err := session.Close(); err != nil {
				t.Errorf("Close() = %v, want nil", err)
			}
			if diff := cmp.Diff(want, h.ran()); diff != "" {
				t.Errorf("what the server did (-want +got):\n%s", diff)
			}
			h.checkStreams(t, version)
		})
	}
}

func (h house) ran() []string {
	var ran []string
	for _, call := range h.upstream.Calls() {
		ran = append(ran, call.Method+" "+call.Name)
	}
	return ran
}

// checkStreams holds what a session is made of in each era. A record for each
// request, and the client's identity in each that was forwarded.
func (h house) checkStreams(t *testing.T, version string) {
	t.Helper()
	// The stream and the end of the session may still be on their way.
	if version < "2026-07-28" {
		if _, err := h.cedargate.WaitRecord(soon(t), func(r map[string]any) bool {
			return r["user_agent"] == version && r["http_method"] == "DELETE"
		}); err != nil {
			t.Errorf("the end of the session: %v", err)
		}
	}
	var methods []string
	for _, r := range byAgent(h.cedargate.Records(), version) {
		if r["method"] == nil {
			methods = append(methods, fmt.Sprint(r["http_method"], " ", r["reason"], " ", r["session"] != nil))
		}
		if r["method"] == "initialize" || r["method"] == "notifications/initialized" {
			methods = append(methods, fmt.Sprint(r["method"], " ", r["reason"]))
		}
		if r["principal"] != "User/corp/alice" {
			t.Errorf("a record has principal %v, want alice: %v", r["principal"], r)
		}
	}
	slices.Sort(methods)
	want := []string{"DELETE permitted true", "GET permitted true", "initialize permitted", "notifications/initialized permitted"}
	if version == "2026-07-28" {
		want = nil
	}
	if diff := cmp.Diff(want, methods); diff != "" {
		t.Errorf("streams and handshake (-want +got):\n%s", diff)
	}
	for _, r := range h.upstream.Requests() {
		if r.Header.Get("authorization") != "" || r.Header.Get("x-cedargate-principal") != "User/corp/alice" {
			t.Errorf("the server sees authorization %q of %q, want none of alice", r.Header.Get("authorization"), r.Header.Get("x-cedargate-principal"))
		}
	}
}

// A denial tells a client what it needs: its own id, the code, a reason, and
// the id by which the operator finds the record.
func TestADenialReachesTheClientAsAnError(t *testing.T) {
	t.Parallel()
	h := newHouse(t, patience)
	session := h.connect(t, h.issuer.Mint(nil), "2026-07-28", "denied")
	_, err := session.CallTool(soon(t), &mcp.CallToolParams{Name: "delete_repo", Arguments: map[string]any{"repo": "r"}})
	if err == nil || !strings.Contains(err.Error(), "not permitted by policy") {
		t.Errorf("CallTool(delete_repo) = %v, want the message of the denial", err)
	}
	record, err := h.cedargate.WaitRecord(soon(t), func(r map[string]any) bool { return r["tool"] == "delete_repo" })
	if err != nil || record["reason"] != "no_permit" || record["event"] != "tool_call" || record["layer"] != "authorization" {
		t.Errorf("record of the denial is %v, %v", record, err)
	}
	if err := session.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	// Someone without a permit gets through the handshake, and no further.
	bob := h.connect(t, h.issuer.Mint(map[string]any{"sub": "bob"}), "2025-06-18", "bob")
	if _, err := bob.ListTools(soon(t), nil); err == nil {
		t.Error("ListTools() of bob = nil, want a denial")
	}
	if err := bob.Close(); err != nil {
		t.Errorf("Close() of bob = %v, want nil", err)
	}
}

// The way of a client that has no token yet: the challenge, the document that
// it names, the authorization server (RFC 9728 §5). The six kinds of token are
// those that a server of protected resources must tell apart.
func TestTheWayToAToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, patience)
	stranger := newIssuer(t, authztest.IssuerConfig{})
	past := map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}
	const metadata = `resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"`
	const missing = `Bearer scope="tools:read", ` + metadata
	const invalid = `Bearer error="invalid_token", scope="tools:read", ` + metadata + `, error_description="the access token is not valid here"`
	tests := []struct {
		name, token string
		status      int
		challenge   string
	}{
		{"no token", "", 401, missing},
		{"a valid token", h.issuer.Mint(nil), 200, ""},
		{"another audience", h.issuer.Mint(map[string]any{"aud": "https://mcp.example.com/other/mcp"}), 401, invalid},
		{"no audience", h.issuer.Mint(map[string]any{"aud": authztest.Absent}), 401, invalid},
		{"expired", h.issuer.Mint(past), 401, invalid},
		{"a key that nobody trusts", h.issuer.Mint(nil, authztest.Forged()), 401, invalid},
		{"an issuer that nobody trusts", stranger.Mint(nil), 401, invalid},
		{"no signature", h.issuer.Mint(nil, authztest.Unsigned()), 401, invalid},
		{"no token at all", "foo", 401, invalid},
	}
	for _, tt := range tests {
		got := post(t, h.envoy.URL("/mcp"), tt.token, "six", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
		if got.status != tt.status || got.header.Get("www-authenticate") != tt.challenge {
			t.Errorf("%s: %d, challenge %q, want %d, %q", tt.name, got.status, got.header.Get("www-authenticate"), tt.status, tt.challenge)
		}
	}
	h.checkDocument(t, missing)
	h.checkTokenOfTheOtherServer(t)
}

// checkDocument fetches the document that the challenge names, as a client
// does that has nothing else.
func (h house) checkDocument(t *testing.T, challenge string) {
	t.Helper()
	h.upstream.Reset()
	_, rest, _ := strings.Cut(challenge, `resource_metadata="`)
	named, _, _ := strings.Cut(rest, `"`)
	req, err := http.NewRequestWithContext(soon(t), http.MethodGet, h.envoy.URL(strings.TrimPrefix(named, "https://mcp.example.com")), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "mcp.example.com"
	got := do(t, bearer{"", "document"}, req)
	var document struct {
		Resource string
		Servers  []string `json:"authorization_servers"`
	}
	if err := json.Unmarshal([]byte(got.body), &document); err != nil {
		t.Fatalf("document %q: %v", got.body, err)
	}
	if document.Resource != demoResource || !slices.Equal(document.Servers, []string{h.issuer.URL()}) || got.header.Get("content-type") != "application/json" {
		t.Errorf("document is %s, want that of %s with %s", got.body, demoResource, h.issuer.URL())
	}
	if n := len(h.upstream.Requests()); n != 0 {
		t.Errorf("the server got %d requests for the document, want none", n)
	}
}

// checkTokenOfTheOtherServer passes a token on, as a server that got it might.
func (h house) checkTokenOfTheOtherServer(t *testing.T) {
	t.Helper()
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	other := h.issuer.Mint(map[string]any{"aud": "https://mcp.example.com/other/mcp"})
	if got := post(t, h.envoy.URL("/other/mcp"), other, "other", ping); got.status == 401 {
		t.Errorf("its own server answers 401: %s", got.body)
	}
	if got := post(t, h.envoy.URL("/mcp"), other, "passed on", ping); got.status != 401 {
		t.Errorf("the token of the other server: %d, want 401", got.status)
	}
	record, err := h.cedargate.WaitRecord(soon(t), func(r map[string]any) bool { return r["user_agent"] == "passed on" })
	if err != nil || record["reason"] != "audience_mismatch" || record["presented"] != "https://mcp.example.com/other/mcp" {
		t.Errorf("record is %v, %v, want the audience that came", record, err)
	}
}
