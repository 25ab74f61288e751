package mcp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/mcp"
)

const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query"}}`

func params(p string) string { return message("tools/call", p) }

// A refusal is a message, and what is wrong with it.
type refusal struct{ body, want string }

func check(t *testing.T, tests []refusal) {
	t.Helper()
	codes := map[string]int{"": 0, "batch": -32600, "malformed": -32600, "invalid_params": -32602}
	for _, tt := range tests {
		_, fault := mcp.Parse(post(tt.body), mcp.Rules{})
		if got := reason(fault); got != tt.want {
			t.Errorf("Parse(%s) = %q, want %q", tt.body, got, tt.want)
			continue
		}
		if fault != nil && fault.Code != codes[fault.Reason] {
			t.Errorf("Parse(%s) has code %d, want %d", tt.body, fault.Code, codes[fault.Reason])
		}
	}
}

func TestParseRefusesMessages(t *testing.T) {
	check(t, []refusal{
		{`[]`, "batch: batch"},
		{"[" + call + "]", "batch: batch"},
		{`"tools/call"`, "malformed: body is no message"},
		{`null`, "malformed: body is no message"},
		{`1`, "malformed: body is no message"},
		{`{}`, `malformed: jsonrpc is not "2.0"`},
		{`{"id":1,"method":"ping"}`, `malformed: jsonrpc is not "2.0"`},
		{`{"jsonrpc":"1.0","id":1,"method":"ping"}`, `malformed: jsonrpc is not "2.0"`},
		{`{"jsonrpc":2.0,"id":1,"method":"ping"}`, `malformed: jsonrpc is not "2.0"`},
		{`{"jsonrpc":"2.0","id":1}`, "malformed: method is no string or empty"},
		{`{"jsonrpc":"2.0","id":1,"method":""}`, "malformed: method is no string or empty"},
		{`{"jsonrpc":"2.0","id":1,"method":null}`, "malformed: method is no string or empty"},
		{`{"jsonrpc":"2.0","id":1,"method":["ping"]}`, "malformed: method is no string or empty"},
		{`{"jsonrpc":"2.0","id":1,"method":"ping","extra":1}`, "malformed: unknown member of the message"},
		{`{"jsonrpc":"2.0","id":1,"method":"ping","":1}`, "malformed: unknown member of the message"},
		{`{"jsonrpc":"2.0","id":1,"method":"ping","name":"query"}`, "malformed: unknown member of the message"},
		{`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"query"}}`, "malformed: request without id"},
		{`{"jsonrpc":"2.0","method":"initialize"}`, "malformed: request without id"},
		{`{"jsonrpc":"2.0","result":{}}`, "malformed: response without id"},
		{`{"jsonrpc":"2.0","id":null,"error":{}}`, "malformed: id is no string or integer"},
		{`{"jsonrpc":"2.0","id":1,"result":{},"error":{}}`, "malformed: result and error"},
		{`{"jsonrpc":"2.0","id":1,"result":{},"params":{}}`, "malformed: params in a response"},
		{`{"jsonrpc":"2.0","id":1,"result":{},"method":"tools/call","params":{"name":"query"}}`, "malformed: method in a response"},
		{`{"jsonrpc":"2.0","id":1,"error":null,"method":null}`, "malformed: method in a response"},
	})
}

func TestParseRefusesParams(t *testing.T) {
	check(t, []refusal{
		{message("ping", `[]`), "invalid_params: params is no object"},
		{message("vendor/x", `"x"`), "invalid_params: params is no object"},
		{`{"jsonrpc":"2.0","method":"notifications/initialized","params":1}`, "invalid_params: params is no object"},
		{message("ping", `{"_meta":[]}`), "invalid_params: _meta is no object"},
		{message("ping", `{"_meta":{"io.modelcontextprotocol/protocolVersion":20260728}}`), "invalid_params: protocol version in _meta is no string"},
		{message("ping", `{"_meta":{"io.modelcontextprotocol/protocolVersion":null}}`), "invalid_params: protocol version in _meta is no string"},
		{message("tools/call", ""), "invalid_params: name is no string or empty"},
		{params(`null`), "invalid_params: name is no string or empty"},
		{params(`{}`), "invalid_params: name is no string or empty"},
		{params(`{"name":""}`), "invalid_params: name is no string or empty"},
		{params(`{"name":["query"]}`), "invalid_params: name is no string or empty"},
		{params(`{"name":"query","arguments":[]}`), "invalid_params: arguments is no object"},
		{params(`{"name":"query","arguments":"{}"}`), "invalid_params: arguments is no object"},
		{params(`{"name":"query","inputResponses":null}`), "invalid_params: inputResponses is no object"},
		{params(`{"name":"query","requestState":{}}`), "invalid_params: requestState is no string"},
		{message("prompts/get", `{"name":7}`), "invalid_params: name is no string or empty"},
		{message("resources/read", `{}`), "invalid_params: uri is no string or empty"},
		{message("resources/read", `{"uri":""}`), "invalid_params: uri is no string or empty"},
		{message("resources/subscribe", `{"uri":null}`), "invalid_params: uri is no string or empty"},
		{message("resources/read", `{"uri":"file:///a/../b"}`), "invalid_params: dot segment"},
		{message("resources/read", `{"uri":"notes"}`), "invalid_params: URI without a scheme"},
		{message("completion/complete", `{}`), "invalid_params: ref is none of its two kinds"},
		{message("completion/complete", `{"ref":"greet"}`), "invalid_params: ref is none of its two kinds"},
		{message("completion/complete", `{"ref":{"type":"ref/tool","name":"x"}}`), "invalid_params: ref is none of its two kinds"},
		{message("completion/complete", `{"ref":{"type":"ref/prompt","name":"x","uri":"x://y"}}`), "invalid_params: ref is none of its two kinds"},
		{message("completion/complete", `{"ref":{"type":"ref/resource","name":"x","uri":"x://y"}}`), "invalid_params: ref is none of its two kinds"},
		{message("completion/complete", `{"ref":{"type":"ref/prompt"}}`), "invalid_params: name is no string or empty"},
		{message("completion/complete", `{"ref":{"type":"ref/resource"}}`), "invalid_params: uri is no string or empty"},
		{message("tasks/get", `{"taskId":""}`), "invalid_params: taskId is no string or empty"},
		{message("tasks/result", `{"taskId":1}`), "invalid_params: taskId is no string or empty"},
		{message("subscriptions/listen", `{"notifications":[]}`), "invalid_params: notifications is no object"},
		{message("subscriptions/listen", `{"notifications":null}`), "invalid_params: notifications is no object"},
		{message("subscriptions/listen", `{"notifications":{"resourceSubscriptions":{}}}`), "invalid_params: resourceSubscriptions is no array"},
		{message("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["x://a",1]}}`), "invalid_params: uri is no string or empty"},
		{message("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["x://a","x://b/../c"]}}`), "invalid_params: dot segment"},
		{message("subscriptions/listen", `{"notifications":{"taskIds":"t"}}`), "invalid_params: taskIds is no array"},
		{message("subscriptions/listen", `{"notifications":{"taskIds":["t",""]}}`), "invalid_params: taskIds has an element that is no string or empty"},
	})
}

func TestParseRefusesMethodsOfServers(t *testing.T) {
	for _, method := range []string{
		"sampling/createMessage", "elicitation/create", "roots/list", "notifications/message",
		"notifications/resources/updated", "notifications/resources/list_changed", "notifications/tools/list_changed",
		"notifications/prompts/list_changed", "notifications/subscriptions/acknowledged", "notifications/tasks",
		"notifications/elicitation/complete",
	} {
		const want = "malformed: method that only servers send"
		check(t, []refusal{{message(method, ""), want}, {`{"jsonrpc":"2.0","method":"` + method + `"}`, want}})
	}
}

// Members that another parser could take for one that is read.
func TestParseRefusesLookAlikes(t *testing.T) {
	many := func(name string) string {
		var b strings.Builder
		for i := range 40 {
			fmt.Fprintf(&b, `"m%d":0,`, i)
		}
		return params(`{"name":"query","arguments":{` + b.String() + `"` + name + `":1}}`)
	}
	const lookAlikes = "malformed: look-alike members"
	check(t, []refusal{
		{`{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}`, lookAlikes},
		{`{"jsonrpc":"2.0","id":1,"Method":"ping"}`, lookAlikes},
		{`{"jſonrpc":"2.0","id":1,"method":"ping"}`, lookAlikes},
		{`{"jsonrpc":"2.0","id":1,"method":"ping","PARAMS":{}}`, lookAlikes},
		{params(`{"name":"query","Name":"drop"}`), lookAlikes},
		{params(`{"NAME":"drop"}`), lookAlikes},
		{params(`{"name":"query","argumentſ":{}}`), lookAlikes},
		{params(`{"name":"query","arguments":{},"argument\u017f":{}}`), lookAlikes},
		{message("tasks/get", "{\"taskId\":\"a\",\"tas\u212aId\":\"b\"}"), lookAlikes},
		{message("resources/read", `{"uri":"x://a","URI":"x://b"}`), lookAlikes},
		{params(`{"name":"query","_META":{}}`), lookAlikes},
		{params(`{"name":"query","x":1,"X":2}`), lookAlikes},
		{params(`{"name":"query","_meta":{"IO.modelcontextprotocol/protocolVersion":"2026-07-28"}}`), lookAlikes},
		{params(`{"name":"query","_meta":{"a":1,"A":1}}`), lookAlikes},
		{params(`{"name":"query","arguments":{"path":"/a","Path":"/b"}}`), lookAlikes},
		{params(`{"name":"query","arguments":{"k":1,"\u212a":2}}`), lookAlikes},
		{params(`{"name":"query","arguments":{"é":1,"É":2}}`), lookAlikes},
		{message("completion/complete", `{"ref":{"type":"ref/prompt","name":"x","Uri":"x://y"}}`), lookAlikes},
		{message("subscriptions/listen", `{"notifications":{"taskids":["t"]}}`), lookAlikes},
		{params(`{"name":"query","a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"URI":"x"}`), lookAlikes},
		{many("M39"), lookAlikes},
		{many("M40"), ""},
		{params(`{"name":"query","arguments":{"Name":"x","a":{"b":1,"B":2}}}`), ""}, // below the first level
	})
}

func TestParseIDs(t *testing.T) {
	long := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	const no = "malformed: id is no string or integer"
	tests := []struct{ id, want string }{
		{`1`, ""}, {`"1"`, ""}, {`1.0`, ""}, {`1e0`, ""}, {`10e-1`, ""}, {`-7`, ""}, {`0`, ""}, {`-0.0e9`, ""}, {`""`, ""},
		{`12.50e1`, ""}, {`100000000000000000000`, ""}, {`"\u0000<é>"`, ""}, {`1E+2`, ""}, {`1e255`, ""},
		{long(256), ""}, {strings.Repeat("9", 256), ""},
		{`1.5`, no}, {`15e-1`, no}, {`1e-1`, no}, {`12.55e1`, no}, {`1e256`, no}, {`1e999999999`, no}, {`1e-999999999`, no},
		{`null`, no}, {`true`, no}, {`[1]`, no}, {`{}`, no},
		{long(257), "limit: id longer than 256 bytes"},
		{strings.Repeat("9", 257), "limit: number literal too long"},
	}
	for _, tt := range tests {
		got, fault := mcp.Parse(post(`{"jsonrpc":"2.0","id": `+tt.id+` ,"method":"ping"}`), mcp.Rules{})
		if r := reason(fault); r != tt.want {
			t.Errorf("Parse(id %s) = %q, want %q", tt.id, r, tt.want)
		}
		want := tt.id
		if fault != nil {
			want = ""
		}
		if string(got.ID) != want {
			t.Errorf("Parse(id %s) has id %s, want it as it came or not at all", tt.id, got.ID)
		}
	}
}

// The record of a refused URI says which one came.
func TestParseFaultBearsTheURI(t *testing.T) {
	got, _ := mcp.Parse(post(message("resources/read", `{"uri":"x:.."}`)), mcp.Rules{})
	want := []mcp.Question{{Action: "resources/read", Target: mcp.OnResource, URI: mcp.URI{Sent: "x:.."}}}
	if diff := cmp.Diff(want, got.Questions); diff != "" {
		t.Errorf("Parse(refused URI).Questions (-want +got):\n%s", diff)
	}
}

// A refusal bears the id, method and name that could be read.
func TestParseFaultBearsWhatIsKnown(t *testing.T) {
	tests := []struct {
		name         string
		h            mcp.HTTP
		id, want, is string
	}{
		{"header", post(call, "mcp-name", "other"), "1", "tools/call Tool query", "header_mismatch: Mcp-Name differs"},
		{"version", post(call, "mcp-protocol-version", "x"), "1", "tools/call Tool query", "unsupported_version: unsupported protocol version"},
		{"params", post(params(`{"name":"query","arguments":1}`)), "1", "tools/call Tool query", "invalid_params: arguments is no object"},
		{"long name", post(params(`{"name":"` + strings.Repeat("n", 1025) + `"}`)), "1", "", "limit: name longer than 1 KiB"},
		{"URI", post(message("resources/read", `{"uri":"x:.."}`)), "1", "resources/read Resource ", "invalid_params: dot segment"},
		{"media type", request("POST", call, "content-type", "text/json"), "1", "tools/call Tool query", "media_type: media type is not application/json in UTF-8"},
		{"session", post(call, "mcp-session-id", "a", "mcp-session-id", "a"), "1", "tools/call Tool query", "malformed: two values of Mcp-Session-Id"},
		{"server only", post(message("roots/list", "")), "", "unknown", "malformed: method that only servers send"},
		{"jsonrpc", post(`{"jsonrpc":"1","id":1,"method":"ping"}`), "", "ping", `malformed: jsonrpc is not "2.0"`},
		{"response", post(`{"jsonrpc":"2.0","id":1,"result":{}}`, "mcp-protocol-version", "x"), "", "responses", "unsupported_version: unsupported protocol version"},
		{"duplicate", post(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1,"a":1}}`), "", "", "malformed: duplicate member"},
		{"trailing", post(call + call), "", "", "malformed: trailing data"},
		{"partial", post(call, "x-envoy-auth-partial-body", "true"), "", "", "partial_body: body is partial"},
		{"encoded", post(call, "content-encoding", "gzip"), "", "", "content_encoding: content-encoding is not identity"},
	}
	for _, tt := range tests {
		got, fault := mcp.Parse(tt.h, mcp.Rules{})
		if reason(fault) != tt.is {
			t.Errorf("Parse(%s) = %q, want %q", tt.name, reason(fault), tt.is)
		}
		if string(got.ID) != tt.id || asked(got) != tt.want || got.HTTPMethod != "POST" {
			t.Errorf("Parse(%s) bears id %q and asks %q, want %q and %q", tt.name, got.ID, asked(got), tt.id, tt.want)
		}
	}
}

func TestParseLimits(t *testing.T) {
	nest := func(depth int) string { // of the whole message, whose params are depth 2
		return params(`{"name":"query","arguments":` + strings.Repeat(`{"a":`, depth-2) + `1` + strings.Repeat(`}`, depth-2) + `}`)
	}
	members := func(n int) string { // the message counts 1, its members 4, params 1 and 2, arguments 1
		var b strings.Builder
		for i := range n - 9 {
			fmt.Fprintf(&b, `,"m%d":0`, i)
		}
		return params(`{"name":"query","arguments":{` + strings.TrimPrefix(b.String(), ",") + `}}`)
	}
	uris := func(n int, uri string) string {
		return message("subscriptions/listen", `{"notifications":{"resourceSubscriptions":[`+
			strings.TrimSuffix(strings.Repeat(`"`+uri+`",`, n), ",")+`]}}`)
	}
	read := func(uri string) string { return message("resources/read", `{"uri":"`+uri+`"}`) }
	tests := []struct{ name, body, want string }{
		{"depth 64", nest(64), ""},
		{"depth 65", nest(65), "limit: nested too deep"},
		{"10,000 elements", members(10_000), ""},
		{"10,001 elements", members(10_001), "limit: too many members, objects and arrays"},
		{"an embedding", params(`{"name":"query","arguments":{"v":[` + strings.Repeat("0.25,", 40_000) + `1]}}`), ""},
		{"a number of 100,000 digits", params(`{"name":"query","arguments":{"n":` + strings.Repeat("1", 100_000) + `}}`), "limit: number literal too long"},
		{"a name of 1 KiB", params(`{"name":"` + strings.Repeat("n", 1024) + `"}`), ""},
		{"a name of 1 KiB and one", params(`{"name":"` + strings.Repeat("n", 1025) + `"}`), "limit: name longer than 1 KiB"},
		{"a prompt of 1 KiB and one", message("prompts/get", `{"name":"`+strings.Repeat("n", 1025)+`"}`), "limit: name longer than 1 KiB"},
		{"a method of 1 KiB and one", message(strings.Repeat("m", 1025), ""), "limit: method longer than 1 KiB"},
		{"a URI of 8 KiB", read("x:" + strings.Repeat("u", 8190)), ""},
		{"a URI of 8 KiB and one", read("x:" + strings.Repeat("u", 8191)), "limit: URI longer than 8 KiB"},
		{"a URI of 8 KiB in its canonical spelling", read("x:" + strings.Repeat("é", 1365)), ""},
		{"a URI that becomes longer than 8 KiB", read("x:" + strings.Repeat("é", 1366)), "limit: URI longer than 8 KiB"},
		{"64 segments", read("x://h" + strings.Repeat("/s", 64) + "/"), ""},
		{"65 segments", read("x://h" + strings.Repeat("/s", 65)), "limit: URI with more than 64 path segments"},
		{"4,000 slashes", read("x://h" + strings.Repeat("/a", 4000)), "limit: URI with more than 64 path segments"},
		{"64 resources", uris(64, "x://a"), ""},
		{"65 resources", uris(65, "x://a"), "limit: more than 64 resources"},
		// A limit is found before what is wrong with message and params.
		{"limit before a refused URI", message("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["x:..","x:`+strings.Repeat("u", 8191)+`"]}}`), "limit: URI longer than 8 KiB"},
		{"limit before refused URIs", uris(65, "x:.."), "limit: more than 64 resources"},
		{"limit before message", `{"jsonrpc":"1","id":1,"method":"tools/call","params":{"name":"` + strings.Repeat("n", 1025) + `"}}`, "limit: name longer than 1 KiB"},
		{"message before params", `{"jsonrpc":"1","id":1,"method":"tools/call"}`, `malformed: jsonrpc is not "2.0"`},
	}
	for _, tt := range tests {
		_, fault := mcp.Parse(post(tt.body), mcp.Rules{})
		if got := reason(fault); got != tt.want {
			t.Errorf("Parse(%s) = %q, want %q", tt.name, got, tt.want)
		}
		if fault != nil && fault.Code != -32600 {
			t.Errorf("Parse(%s) has code %d, want -32600", tt.name, fault.Code)
		}
	}
}

// One subscriptions/listen with as much as the limits take stays bounded.
func TestParseManyURIsAreBounded(t *testing.T) {
	uri := "x://h" + strings.Repeat("/"+strings.Repeat("a", 50), 64)
	body := message("subscriptions/listen", `{"notifications":{"resourceSubscriptions":[`+
		strings.TrimSuffix(strings.Repeat(`"`+uri+`",`, 60), ",")+`]}}`)
	got, fault := mcp.Parse(post(body), mcp.Rules{})
	if fault != nil || len(got.Questions) != 61 {
		t.Fatalf("Parse(60 URIs of 64 segments) asks %d questions, fault %q, want 61", len(got.Questions), reason(fault))
	}
	allocs := testing.AllocsPerRun(3, func() { mcp.Parse(post(body), mcp.Rules{}) })
	if allocs > 60*60 {
		t.Errorf("Parse(60 URIs of 64 segments) makes %v allocations, want at most 60 for each", allocs)
	}
}

func TestParseUnsupportedVersion(t *testing.T) {
	rules := mcp.Rules{Versions: []string{"2025-11-25", "2027-01-01"}}
	_, fault := mcp.Parse(post(call, "mcp-protocol-version", strings.Repeat("9", 5000)), rules)
	want := &mcp.Fault{
		Reason: "unsupported_version", Code: -32022, Detail: "unsupported protocol version",
		Supported: []string{"2025-11-25", "2027-01-01"}, Requested: strings.Repeat("9", 1024),
	}
	if diff := cmp.Diff(want, fault); diff != "" {
		t.Errorf("Parse(unknown version) (-want +got):\n%s", diff)
	}
}
