package mcp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
	"github.com/cedargate/cedargate/pkg/mcp"
)

// asks has a message for each action of the Cedar schema.
var asks = []struct{ body, want string }{
	{message("initialize", `{"protocolVersion":"2025-11-25"}`), "initialize"},
	{message("server/discover", ""), "server/discover"},
	{message("ping", ""), "ping"},
	{message("ping", "null"), "ping"},
	{message("logging/setLevel", `{"level":"info"}`), "logging/setLevel"},
	{message("tools/list", `{"cursor":"x"}`), "tools/list"},
	{message("prompts/list", ""), "prompts/list"},
	{message("resources/list", ""), "resources/list"},
	{message("resources/templates/list", ""), "resources/templates/list"},
	{message("tools/call", `{"name":"query"}`), "tools/call Tool query"},
	{message("tools/call", `{"name":"Query/é ","arguments":null}`), "tools/call Tool Query/é "},
	{message("prompts/get", `{"name":"greet","arguments":{"who":"me"}}`), "prompts/get Prompt greet"},
	{message("resources/read", `{"uri":"FILE:///c:/priv%c3%a9"}`), "resources/read Resource file:///C:/priv%C3%A9"},
	{message("resources/subscribe", `{"uri":"x://a/b"}`), "resources/subscribe Resource x://a/b"},
	{message("resources/unsubscribe", `{"uri":"x://a/b"}`), "resources/unsubscribe Resource x://a/b"},
	{message("completion/complete", `{"ref":{"type":"ref/prompt","name":"greet","title":"Greet"},"argument":{"name":"a","value":""}}`),
		"completion/complete Prompt greet"},
	{message("completion/complete", `{"ref":{"type":"ref/resource","uri":"repo://{owner}/x"}}`),
		"completion/complete Resource repo://{owner}/x"},
	{message("tasks/get", `{"taskId":"t-1"}`), "tasks/get"},
	{message("tasks/update", `{"taskId":"t-1","inputResponses":{}}`), "tasks/update"},
	{message("tasks/cancel", `{"taskId":"t-1"}`), "tasks/cancel"},
	{message("tasks/result", `{"taskId":"t-1"}`), "tasks/result"},
	{message("tasks/list", ""), "tasks/list"},
	{message("subscriptions/listen", ""), "subscriptions/listen"},
	{message("subscriptions/listen", `{"notifications":{"toolsListChanged":true}}`), "subscriptions/listen"},
	{message("subscriptions/listen", `{"notifications":{"taskIds":[],"resourceSubscriptions":[]}}`), "subscriptions/listen"},
	{message("subscriptions/listen", `{"notifications":{"taskIds":["a","b"],"resourceSubscriptions":["x://a","X://b%2e"]}}`),
		"subscriptions/listen; resources/subscribe Resource x://a; resources/subscribe Resource x://b.; tasks/get"},

	{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, "notifications"},
	{`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, "notifications"},
	{`{"jsonrpc":"2.0","method":"notifications/progress"}`, "notifications"},
	{`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`, "notifications"},
	{`{"jsonrpc":"2.0","method":"notifications/tasks/status"}`, "notifications"},
	{message("notifications/initialized", ""), "notifications"},
	{message("notifications/else", ""), "unknown"},
	{`{"jsonrpc":"2.0","method":"notifications/else"}`, "unknown"},
	{`{"jsonrpc":"2.0","method":"vendor/else"}`, "unknown"},
	{message("vendor/else", `{"name":5}`), "unknown"},
	{message("Tools/call", `{"name":"query"}`), "unknown"},
	{message("tools/call ", `{"name":"query"}`), "unknown"},
	{message("unknown", ""), "unknown"},
	{message("responses", ""), "unknown"},
	{message("stream/get", ""), "unknown"},

	{`{"jsonrpc":"2.0","id":1,"result":{}}`, "responses"},
	{`{"jsonrpc":"2.0","id":"a","result":null}`, "responses"},
	{`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}`, "responses"},
}

// What each message asks for: the actions of the Cedar schema.
func TestParseAsks(t *testing.T) {
	for _, tt := range asks {
		call, fault := mcp.Parse(post(tt.body), mcp.Rules{})
		if fault != nil {
			t.Errorf("Parse(%s) = fault %q, want none", tt.body, reason(fault))
		}
		if got := asked(call); got != tt.want {
			t.Errorf("Parse(%s) asks %q, want %q", tt.body, got, tt.want)
		}
	}
}

func TestParseAsksForStreams(t *testing.T) {
	tests := []struct {
		h    mcp.HTTP
		want string
	}{
		{request("GET", ""), "stream/get"},
		{request("GET", "", "accept", "text/event-stream", "content-type", "text/plain"), "stream/get"},
		{request("GET", "", "last-event-id", "7"), "stream/resume"},
		{request("GET", "", "last-event-id", ""), "stream/resume"},
		{request("DELETE", ""), "session/delete"},
		{request("DELETE", "", "last-event-id", "7"), "session/delete"},
	}
	for _, tt := range tests {
		call, fault := mcp.Parse(tt.h, mcp.Rules{})
		if got := asked(call); fault != nil || got != tt.want {
			t.Errorf("Parse(%s %v) asks %q, fault %q, want %q", tt.h.Method, tt.h.Header, got, reason(fault), tt.want)
		}
		if call.Method != "" || call.ID != nil {
			t.Errorf("Parse(%s) has method %q and id %q, want none", tt.h.Method, call.Method, call.ID)
		}
	}
}

// The whole Call of a request of each era.
func TestParseCall(t *testing.T) {
	compare := cmp.Transformer("Value", func(v strictjson.Value) string { return string(v.Raw()) })
	tests := []struct {
		name string
		h    mcp.HTTP
		want mcp.Call
	}{
		{"2026-07-28", post(`{"jsonrpc":"2.0","id":"\u0061","method":"tools/call","params":{"name":"query","arguments": {"q":1.50} ,`+
			`"requestState":"s","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",`+
			`"io.modelcontextprotocol/clientInfo":{"name":"cli","version":"1.2"},"traceparent":"00-aa","tracestate":"a=1"}}}`,
			"mcp-protocol-version", "2026-07-28", "mcp-method", "tools/call", "mcp-name", "query"),
			mcp.Call{
				HTTPMethod: "POST", Method: "tools/call", ID: []byte(`"\u0061"`),
				Questions:      []mcp.Question{{Action: "tools/call", Target: mcp.OnTool, Name: "query"}},
				InputResponses: true, Version: "2026-07-28", ClientInfo: "cli/1.2", Traceparent: "00-aa", Tracestate: "a=1",
			}},
		{"initialize", post(message("initialize", `{"protocolVersion":"2024-10-07","clientInfo":{"name":"cli","version":"1.2"}}`),
			"mcp-protocol-version", "1999-01-01"),
			mcp.Call{
				HTTPMethod: "POST", Method: "initialize", ID: []byte("1"),
				Questions: []mcp.Question{{Action: "initialize"}}, Version: "2024-10-07", ClientInfo: "cli/1.2",
			}},
		{"notification", post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
			"mcp-protocol-version", " 2025-06-18\t", "mcp-session-id", " s-1 "),
			mcp.Call{
				HTTPMethod: "POST", Method: "notifications/initialized", Notification: true,
				Questions: []mcp.Question{{Action: "notifications"}}, Version: "2025-06-18", Session: "s-1",
			}},
		{"response", post(`{"jsonrpc":"2.0","id":7,"result":{"action":"accept"}}`),
			mcp.Call{HTTPMethod: "POST", Questions: []mcp.Question{{Action: "responses"}}}},
	}
	for _, tt := range tests {
		got, fault := mcp.Parse(tt.h, mcp.Rules{})
		if fault != nil {
			t.Errorf("Parse(%s) = fault %q, want none", tt.name, reason(fault))
		}
		if tt.name == "2026-07-28" {
			if args := string(got.Arguments.Raw()); args != `{"q":1.50}` {
				t.Errorf("Parse(%s) has arguments %s, want those of the body", tt.name, args)
			}
			got.Arguments = strictjson.Value{}
		}
		if diff := cmp.Diff(tt.want, got, compare); diff != "" {
			t.Errorf("Parse(%s) (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestParseInputResponses(t *testing.T) {
	for params, want := range map[string]bool{
		`{"name":"q"}`:                     false,
		`{"name":"q","inputResponses":{}}`: true,
		`{"name":"q","requestState":""}`:   true,
	} {
		call, fault := mcp.Parse(post(message("tools/call", params)), mcp.Rules{})
		if fault != nil || call.InputResponses != want {
			t.Errorf("Parse(tools/call %s).InputResponses = %v, fault %q, want %v", params, call.InputResponses, reason(fault), want)
		}
	}
}

// What is self-reported is bounded, at the edge of a character.
func TestParseBoundsWhatClientsSayOfThemselves(t *testing.T) {
	name := strings.Repeat("é", 600)
	body := message("ping", fmt.Sprintf(`{"_meta":{"io.modelcontextprotocol/clientInfo":{"name":%q},"traceparent":%q}}`, "x"+name, name))
	call, fault := mcp.Parse(post(body), mcp.Rules{})
	if fault != nil {
		t.Fatalf("Parse = fault %q", reason(fault))
	}
	if got, want := call.ClientInfo, "x"+strings.Repeat("é", 511); got != want {
		t.Errorf("ClientInfo has %d bytes, want %d", len(got), len(want))
	}
	if call.Traceparent != "" {
		t.Errorf("Traceparent of %d bytes is kept, want it left out", len(call.Traceparent))
	}
}
