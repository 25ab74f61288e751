package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A Call is something that an Upstream has done: not what arrived, but what ran.
type Call struct {
	Method    string          // of JSON-RPC: "tools/call", "resources/read", "tools/list", …
	Name      string          // of the tool or prompt, or the URI; "" for lists
	Arguments json.RawMessage // of the tool or prompt, as they came
}

// An Upstream is a real MCP server. At every path it speaks all five protocol
// versions: with sessions up to 2025-11-25, without from 2026-07-28 on. Its
// tools, resources and prompts do nothing but tell that they ran.
type Upstream struct {
	log    requestLog
	server *httpServer

	mu    sync.Mutex
	calls []Call
}

// StartUpstream starts one on loopback.
func StartUpstream() (*Upstream, error) {
	u := &Upstream{}
	server, err := serveHTTP(u.log.wrap(u.handler()))
	if err != nil {
		return nil, fmt.Errorf("starting MCP server: %w", err)
	}
	u.server = server
	return u, nil
}

// Addr is where it listens, host:port.
func (u *Upstream) Addr() string { return u.server.addr() }

// URL is that of path, past Envoy.
func (u *Upstream) URL(path string) string { return "http://" + u.server.addr() + path }

// Calls returns what it has done since the last Reset.
func (u *Upstream) Calls() []Call {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.calls)
}

// Requests returns every HTTP request it has received since the last Reset.
func (u *Upstream) Requests() []Request { return u.log.all() }

// Reset forgets calls and requests; sessions stay.
func (u *Upstream) Reset() {
	u.mu.Lock()
	u.calls = nil
	u.mu.Unlock()
	u.log.reset()
}

// Close stops it, open streams included.
func (u *Upstream) Close() error { return u.server.close() }

func (u *Upstream) did(method, name string, arguments json.RawMessage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls = append(u.calls, Call{method, name, slices.Clone(arguments)})
}

// handler sends requests of the sessionless versions to one handler and the
// others to another: with sessions the SDK never speaks 2026-07-28.
func (u *Upstream) handler() http.Handler {
	server := u.mcpServer()
	get := func(*http.Request) *mcp.Server { return server }
	// Envoy passes the client's Host on, which a server on loopback refuses.
	stateful := mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{DisableLocalhostProtection: true})
	stateless := mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{DisableLocalhostProtection: true, Stateless: true})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("MCP-Protocol-Version") >= "2026-07-28" {
			stateless.ServeHTTP(w, r)
			return
		}
		stateful.ServeHTTP(w, r)
	})
}

func (u *Upstream) mcpServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "upstream", Version: "1"}, &mcp.ServerOptions{
		CompletionHandler: u.complete,
		SubscribeHandler: func(_ context.Context, r *mcp.SubscribeRequest) error {
			u.did("resources/subscribe", r.Params.URI, nil)
			return nil
		},
		UnsubscribeHandler: func(_ context.Context, r *mcp.UnsubscribeRequest) error {
			u.did("resources/unsubscribe", r.Params.URI, nil)
			return nil
		},
	})
	for _, t := range tools() {
		s.AddTool(t, u.callTool)
	}
	for _, uri := range []string{"file:///srv/docs/readme.md", "file:///srv/docs/guide.md", "file:///srv/private/salaries.csv"} {
		name := uri[strings.LastIndexByte(uri, '/')+1:]
		s.AddResource(&mcp.Resource{URI: uri, Name: name, MIMEType: "text/plain"}, u.readResource)
	}
	s.AddResourceTemplate(&mcp.ResourceTemplate{URITemplate: "file:///srv/{+path}", Name: "srv", MIMEType: "text/plain"}, u.readResource)
	s.AddPrompt(&mcp.Prompt{Name: "greet", Arguments: []*mcp.PromptArgument{{Name: "name"}}}, u.getPrompt)
	s.AddPrompt(&mcp.Prompt{Name: "review", Arguments: []*mcp.PromptArgument{{Name: "code", Required: true}}}, u.getPrompt)
	s.AddReceivingMiddleware(u.noteLists)
	return s
}

func (u *Upstream) callTool(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	u.did("tools/call", r.Params.Name, r.Params.Arguments)
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{
		Text: fmt.Sprintf("%s ran with %s", r.Params.Name, r.Params.Arguments),
	}}}, nil
}

func (u *Upstream) readResource(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	u.did("resources/read", r.Params.URI, nil)
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{
		URI: r.Params.URI, MIMEType: "text/plain", Text: "the contents of " + r.Params.URI,
	}}}, nil
}

func (u *Upstream) getPrompt(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	arguments, err := json.Marshal(r.Params.Arguments)
	if err != nil {
		return nil, err
	}
	u.did("prompts/get", r.Params.Name, arguments)
	return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{
		Role: "user", Content: &mcp.TextContent{Text: fmt.Sprintf("%s with %s", r.Params.Name, arguments)},
	}}}, nil
}

func (u *Upstream) complete(_ context.Context, r *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
	u.did("completion/complete", r.Params.Ref.Name+r.Params.Ref.URI, nil) // one of them is empty
	return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{r.Params.Argument.Value + "…"}}}, nil
}

// noteLists records the lists, which the SDK answers itself.
func (u *Upstream) noteLists(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		if strings.HasSuffix(method, "/list") {
			u.did(method, "", nil)
		}
		return next(ctx, method, req)
	}
}

// tools is the catalogue of an Upstream.
func tools() []*mcp.Tool {
	yes, no := true, false
	reads := &mcp.ToolAnnotations{ReadOnlyHint: true, OpenWorldHint: &no}
	writes := &mcp.ToolAnnotations{DestructiveHint: &no, OpenWorldHint: &no}
	destroys := &mcp.ToolAnnotations{DestructiveHint: &yes, OpenWorldHint: &no}
	return []*mcp.Tool{
		{Name: "read_file", Description: "reads a file", Annotations: reads,
			InputSchema: schema(`{"path":{"type":"string"}}`, "path")},
		{Name: "write_file", Description: "writes a file", Annotations: writes,
			InputSchema: schema(`{"path":{"type":"string"},"content":{"type":"string"}}`, "path", "content")},
		{Name: "delete_repo", Description: "deletes a repository", Annotations: destroys,
			InputSchema: schema(`{"repo":{"type":"string"}}`, "repo")},
		{Name: "refund", Description: "pays money back", Annotations: writes,
			InputSchema: schema(`{"amount":{"type":"integer"},"currency":{"type":"string"},"note":{"type":"string"}}`, "amount", "currency")},
		{Name: "search", Description: "searches the documents", Annotations: reads,
			InputSchema: schema(`{"query":{"type":"string"},"limit":{"type":"integer"},"tags":{"type":"array","items":{"type":"string"}}}`, "query")},
		{Name: "echo", Description: "says it again", Annotations: reads,
			InputSchema: schema(`{"message":{"type":"string"}}`)},
	}
}

// schema is the JSON Schema of an object with these properties.
func schema(properties string, required ...string) json.RawMessage {
	if len(required) == 0 {
		return json.RawMessage(`{"type":"object","properties":` + properties + `}`)
	}
	return json.RawMessage(`{"type":"object","properties":` + properties + `,"required":["` + strings.Join(required, `","`) + `"]}`)
}
