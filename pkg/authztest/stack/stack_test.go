package stack_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// must ends the test if a part does not start, and closes it with the test.
func must[P interface{ Close() error }](t *testing.T, part P, err error) P {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := part.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	})
	return part
}

// soon bounds the wait for something that is on its way.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func start[P interface{ Close() error }](t *testing.T, f func() (P, error)) P {
	t.Helper()
	part, err := f()
	return must(t, part, err)
}

func envoy(t *testing.T, c stack.EnvoyConfig) *stack.Envoy {
	t.Helper()
	e, err := stack.StartEnvoy(t.Context(), c)
	return must(t, e, err)
}

// Envoy, a check service that allows, a real MCP server and a real client
// understand each other in every version; this is what the tests of Cedargate
// stand on.
func TestEveryProtocolVersionWorksThroughEnvoy(t *testing.T) {
	upstream := start(t, stack.StartUpstream)
	check := start(t, stack.StartDoNothing)
	e := envoy(t, stack.EnvoyConfig{Authz: check.Addr(), Upstream: upstream.Addr()})

	for _, version := range []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"} {
		t.Run(version, func(t *testing.T) {
			upstream.Reset()
			client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
			transport := &mcp.StreamableClientTransport{Endpoint: e.URL("/mcp"), MaxRetries: -1}
			session, err := client.Connect(soon(t), transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
			if err != nil {
				t.Fatalf("Connect(%s) = %v, want nil", version, err)
			}
			defer session.Close()
			// The SDK falls back to another version without an error.
			if got := session.InitializeResult().ProtocolVersion; got != version {
				t.Fatalf("negotiated %s, want %s", got, version)
			}
			useEverything(t, session)
			want := []string{
				"tools/list ", "tools/call echo", "resources/list ", "resources/read file:///srv/docs/readme.md",
				"resources/read file:///srv/private/a/b", "prompts/list ", "prompts/get greet", "completion/complete greet",
			}
			var got []string
			for _, call := range upstream.Calls() {
				got = append(got, call.Method+" "+call.Name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("what the server did (-want +got):\n%s", diff)
			}
		})
	}
}

// useEverything asks for a thing of each kind.
func useEverything(t *testing.T, s *mcp.ClientSession) {
	t.Helper()
	ctx := soon(t)
	list, err := s.ListTools(ctx, nil)
	if err != nil || len(list.Tools) != 6 {
		t.Errorf("ListTools() = %v, %v, want six tools", list, err)
	}
	result, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"message": "hi"}})
	if err != nil || result.IsError {
		t.Errorf("CallTool(echo) = %v, %v, want a result", result, err)
	}
	_, errs := s.ListResources(ctx, nil)
	for _, uri := range []string{"file:///srv/docs/readme.md", "file:///srv/private/a/b"} {
		if _, err := s.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri}); err != nil {
			t.Errorf("ReadResource(%s) = %v, want nil", uri, err)
		}
	}
	_, errs2 := s.ListPrompts(ctx, nil)
	_, errs3 := s.GetPrompt(ctx, &mcp.GetPromptParams{Name: "greet", Arguments: map[string]string{"name": "bo"}})
	_, errs4 := s.Complete(ctx, &mcp.CompleteParams{
		Ref:      &mcp.CompleteReference{Type: "ref/prompt", Name: "greet"},
		Argument: mcp.CompleteParamsArgument{Name: "name", Value: "b"},
	})
	for _, err := range []error{errs, errs2, errs3, errs4} {
		if err != nil {
			t.Errorf("list or prompt = %v, want nil", err)
		}
	}
}

// post sends a JSON-RPC message and returns the answer's status and body.
func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(soon(t), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("content-type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("POST %s = %v, want an answer", url, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestRoutesLeadToTheirOwnServers(t *testing.T) {
	shop, files := start(t, stack.StartRecorder), start(t, stack.StartRecorder)
	check := start(t, stack.StartDoNothing)
	e := envoy(t, stack.EnvoyConfig{Authz: check.Addr(), Upstream: shop.Addr(), Routes: []stack.Route{
		{Path: "/shop/mcp", Server: "shop"},
		{Path: "/files/mcp", Server: "files", Upstream: files.Addr()},
	}})
	for path, want := range map[string]int{"/shop/mcp?x=1": 200, "/files/mcp": 200, "/mcp": 404, "/.well-known/oauth-protected-resource/shop/mcp": 404} {
		if status, _ := post(t, e.URL(path), `{"jsonrpc":"2.0","id":7,"method":"ping"}`); status != want {
			t.Errorf("POST %s = %d, want %d", path, status, want)
		}
	}
	var got []string
	for name, server := range map[string]*stack.Recorder{"shop": shop, "files": files} {
		for _, r := range server.Requests() {
			got = append(got, name+" "+r.Method+" "+r.Path+" "+string(r.Body))
		}
	}
	slices.Sort(got)
	want := []string{
		`files POST /files/mcp {"jsonrpc":"2.0","id":7,"method":"ping"}`,
		`shop POST /shop/mcp?x=1 {"jsonrpc":"2.0","id":7,"method":"ping"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the servers received (-want +got):\n%s", diff)
	}
	if shop.Reset(); len(shop.Requests()) != 0 {
		t.Errorf("after Reset there are %d requests, want none", len(shop.Requests()))
	}
}

func TestEnvoyTellsWhatItSaw(t *testing.T) {
	server, check, collector := start(t, stack.StartRecorder), start(t, stack.StartDoNothing), start(t, stack.StartCollector)
	e := envoy(t, stack.EnvoyConfig{Authz: check.Addr(), Upstream: server.Addr(), Collector: collector.Addr()})
	if status, body := post(t, e.URL("/mcp?secret"), `{"jsonrpc":"2.0","id":"a","method":"ping"}`); status != 200 || body != `{"jsonrpc":"2.0","id":"a","result":{}}` {
		t.Errorf("POST = %d %s, want 200 and the id", status, body)
	}
	line, err := e.WaitAccess(soon(t), func(line map[string]any) bool { return line["path"] == "/mcp" })
	if err != nil || line["status"] != 200.0 {
		t.Errorf("access log has %v, %v, want status 200", line, err)
	}
	if got := len(e.AccessLog()); got != 1 {
		t.Errorf("access log has %d lines, want 1", got)
	}
	root, err := collector.Wait(soon(t), func(s stack.Span) bool { return s.Service == "envoy" && s.Kind == "SPAN_KIND_SERVER" })
	if err != nil {
		t.Fatalf("the span of the request: %v", err)
	}
	if line["trace_id"] != root.TraceID {
		t.Errorf("access log has trace %v, want %s", line["trace_id"], root.TraceID)
	}
	egress, err := collector.Wait(soon(t), func(s stack.Span) bool { return s.ParentID == root.SpanID })
	if err != nil || !strings.Contains(egress.Name, "Authorization.Check") {
		t.Errorf("child span is %+v, %v, want that of the check", egress, err)
	}
	stats, err := e.Stats(soon(t))
	if err != nil || stats["http.mcp.ext_authz.cedargate.ok"] != 1 {
		t.Errorf("stats have ok = %d, %v, want 1", stats["http.mcp.ext_authz.cedargate.ok"], err)
	}
}

func TestStartEnvoyRefusesWhatItCannotDo(t *testing.T) {
	tests := []struct {
		name   string
		config stack.EnvoyConfig
		want   string // in the error
	}{
		{"no check service", stack.EnvoyConfig{}, "no address of the check service"},
		{"an address without a port", stack.EnvoyConfig{Authz: "127.0.0.1"}, "address of cedargate"},
		{"a change of nothing", stack.EnvoyConfig{Authz: "127.0.0.1:1", Set: map[string]any{"admin/typo/x": 1}}, "nothing at admin/typo"},
		{"the removal of nothing", stack.EnvoyConfig{Authz: "127.0.0.1:1", Set: map[string]any{"typo": nil}}, "nothing at typo"},
		{"a field Envoy does not know", stack.EnvoyConfig{Authz: "127.0.0.1:1", Set: map[string]any{stack.ExtAuthzPath + "/typo": 1}}, "typo"},
		{"a version without a pin", stack.EnvoyConfig{Authz: "127.0.0.1:1", Version: "0.9"}, "no pinned Envoy 0.9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := stack.StartEnvoy(t.Context(), tt.config)
			if err == nil {
				e.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("StartEnvoy(%+v) = %v, want an error with %q", tt.config, err, tt.want)
			}
		})
	}
}

// A test of an attack may loosen a setting and see what comes through.
func TestEnvoyCanBeLoosened(t *testing.T) {
	server := start(t, stack.StartRecorder)
	for open, want := range map[bool]int{false: 503, true: 200} {
		e := envoy(t, stack.EnvoyConfig{
			Authz: "unix:///nobody/listens/here.sock", Upstream: server.Addr(),
			Set: map[string]any{stack.ExtAuthzPath + "/failure_mode_allow": open, stack.SizeLimitPath: nil},
		})
		if got, _ := post(t, e.URL("/mcp"), `{}`); got != want {
			t.Errorf("POST with failure_mode_allow %v = %d, want %d", open, got, want)
		}
	}
}

func TestUpstreamRecordsWhatRan(t *testing.T) {
	upstream := start(t, stack.StartUpstream)
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(soon(t), &mcp.StreamableClientTransport{Endpoint: upstream.URL("/any/path")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	upstream.Reset()
	arguments := map[string]any{"amount": 5, "currency": "EUR"}
	if _, err := session.CallTool(soon(t), &mcp.CallToolParams{Name: "refund", Arguments: arguments}); err != nil {
		t.Errorf("CallTool(refund) = %v, want nil", err)
	}
	if _, err := session.CallTool(soon(t), &mcp.CallToolParams{Name: "unknown"}); err == nil {
		t.Error("CallTool(unknown) = nil, want an error")
	}
	calls := upstream.Calls()
	if len(calls) != 1 || calls[0].Name != "refund" || string(calls[0].Arguments) != `{"amount":5,"currency":"EUR"}` {
		t.Errorf("Calls() = %s, want the refund alone", calls)
	}
	requests := upstream.Requests()
	if len(requests) != 2 || requests[1].Path != "/any/path" || !strings.Contains(string(requests[1].Body), "unknown") {
		t.Errorf("Requests() has %d, want both calls", len(requests))
	}
	hints := map[string]bool{}
	list, err := session.ListTools(soon(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range list.Tools {
		hints[tool.Name] = tool.Annotations.ReadOnlyHint
	}
	want := map[string]bool{"read_file": true, "write_file": false, "delete_repo": false, "refund": false, "search": true, "echo": true}
	if !maps.Equal(hints, want) {
		t.Errorf("read-only hints are %v, want %v", hints, want)
	}
}
