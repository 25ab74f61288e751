package mcp_test

import (
	"testing"

	"github.com/cedargate/cedargate/pkg/mcp"
)

func meta(version string) string {
	return `{"_meta":{"io.modelcontextprotocol/protocolVersion":"` + version + `"}}`
}

// modern is a message of 2026-07-28; more is "" or further members of params.
func modern(method, more string) string {
	return message(method, `{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`+more+`}`)
}

// Versions, and what is wrong with them.
const (
	current  = "2026-07-28"
	legacy   = "2025-06-18"
	differs  = "header_mismatch: MCP-Protocol-Version differs"
	unknown  = "unsupported_version: unsupported protocol version"
	missing  = "header_mismatch: MCP-Protocol-Version is missing"
	envelope = "invalid_params: no protocol version in _meta"
)

// A versioned is a message under a version header; "-" stands for none.
type versioned struct{ header, body, want string }

func checkVersions(t *testing.T, tests []versioned) {
	t.Helper()
	for _, tt := range tests {
		headers := []string{"mcp-method", method(tt.body)}
		if tt.header != "-" {
			headers = append(headers, "mcp-protocol-version", tt.header)
		}
		_, fault := mcp.Parse(post(tt.body, headers...), mcp.Rules{})
		if got := reason(fault); got != tt.want {
			t.Errorf("Parse(%s) with version header %q = %q, want %q", tt.body, tt.header, got, tt.want)
		}
	}
}

func TestParseVersion(t *testing.T) {
	checkVersions(t, []versioned{
		{"-", message("tools/list", ""), ""},
		{legacy, message("tools/list", ""), ""},
		{legacy, message("tools/list", meta(legacy)), ""},
		{"-", message("tools/list", meta(legacy)), ""},
		{current, modern("tools/list", ""), ""},
		{"-", modern("tools/list", ""), missing},
		{current, message("tools/list", ""), envelope},
		{current, message("tools/list", `{"_meta":null}`), envelope},
		{current, message("vendor/x", ""), envelope},
		{current, message("tools/list", meta(legacy)), differs},
		{legacy, modern("tools/list", ""), differs},
		{current, message("tools/list", meta("v999.0.0")), differs},
		{"v999.0.0", modern("tools/list", ""), differs},
		{"v999.0.0", message("tools/list", meta("v999.0.0")), unknown},
		{"v999.0.0", message("tools/list", ""), unknown},
		{"-", message("tools/list", meta("v999.0.0")), unknown},
		{"", message("tools/list", ""), unknown},
		{"2026-07-28 ", modern("tools/list", ""), ""},
		{"2026-07-28,2026-07-28", modern("tools/list", ""), differs},
		{"2024-10-07", message("tools/list", ""), unknown},
		{"draft", message("tools/list", ""), unknown},
	})
}

func TestParseVersionOfInitializeIsNegotiated(t *testing.T) {
	checkVersions(t, []versioned{
		{"v999.0.0", message("initialize", `{"protocolVersion":"v999.0.0"}`), ""},
		{current, message("initialize", `{"protocolVersion":"2025-11-25"}`), ""},
		{"-", message("initialize", meta(current)), ""},
	})
}

// Of notifications and responses the version need only be known.
func TestParseVersionOfNotifications(t *testing.T) {
	note := func(p string) string {
		return `{"jsonrpc":"2.0","method":"notifications/cancelled","params":` + p + `}`
	}
	checkVersions(t, []versioned{
		{current, note(`{}`), ""},
		{"-", note(meta(current)), ""},
		{"v999.0.0", note(`{}`), unknown},
		{legacy, note(meta("v999.0.0")), unknown},
		{current, `{"jsonrpc":"2.0","id":1,"result":{}}`, ""},
		{"v999.0.0", `{"jsonrpc":"2.0","id":1,"result":{}}`, unknown},
		{current, message("notifications/initialized", ""), ""},
		{legacy, message("notifications/initialized", meta(current)), differs},
	})
}

func TestParseVersionOfStreams(t *testing.T) {
	for _, method := range []string{"GET", "DELETE"} {
		_, fault := mcp.Parse(request(method, "", "mcp-protocol-version", "v999.0.0"), mcp.Rules{})
		if got := reason(fault); got != unknown {
			t.Errorf("Parse(%s) with an unknown version = %q, want %q", method, got, unknown)
		}
	}
}

// method is the method that Mcp-Method has to repeat.
func method(body string) string {
	call, _ := mcp.Parse(post(body), mcp.Rules{})
	return call.Method
}

// Names and values of the headers, and what is wrong with them.
const (
	methodDiffers = "header_mismatch: Mcp-Method differs"
	methodMissing = "header_mismatch: Mcp-Method is missing"
	nameDiffers   = "header_mismatch: Mcp-Name differs"
	nameMissing   = "header_mismatch: Mcp-Name is missing"
	version       = "mcp-protocol-version"
	v             = "2026-07-28"
	m, n          = "mcp-method", "mcp-name"
)

// A heading is a message, its headers, and what is wrong with them.
type heading struct {
	body    string
	headers []string
	want    string
}

func checkHeadings(t *testing.T, tests []heading) {
	t.Helper()
	for _, tt := range tests {
		_, fault := mcp.Parse(post(tt.body, tt.headers...), mcp.Rules{})
		if got := reason(fault); got != tt.want {
			t.Errorf("Parse(%s) with %q = %q, want %q", tt.body, tt.headers, got, tt.want)
		}
		if fault != nil && fault.Code != -32020 {
			t.Errorf("Parse(%s) with %q has code %d, want -32020", tt.body, tt.headers, fault.Code)
		}
	}
}

func named(name string) string { return params(`{"name":"` + name + `"}`) }

// Headers are compared with the body whatever version is declared.
func TestParseComparesHeaders(t *testing.T) {
	checkHeadings(t, []heading{
		{named("query"), []string{m, "tools/call", n, "query"}, ""},
		{named("query"), []string{m, "tools/list"}, methodDiffers},
		{named("query"), []string{m, "TOOLS/CALL"}, methodDiffers},
		{named("query"), []string{m, ""}, methodDiffers},
		{named("query"), []string{m, " tools/call\t"}, ""},
		{named("query"), []string{m, "=?base64?dG9vbHMvY2FsbA==?="}, methodDiffers}, // not for Mcp-Method
		{named("query"), []string{n, "drop"}, nameDiffers},
		{named("query"), []string{n, "Query"}, nameDiffers},
		{named("query"), []string{n, ""}, nameDiffers},
		{named("query"), []string{version, "2025-03-26", n, "drop"}, nameDiffers},
		{named("query"), []string{n, "query", n, "query"}, "header_mismatch: two values of Mcp-Name"},
		{named("query"), []string{m, "tools/call", m, "tools/call"}, "header_mismatch: two values of Mcp-Method"},
		{named("query"), []string{version, v, version, v}, "header_mismatch: two values of MCP-Protocol-Version"},
		{named("a,b"), []string{n, "a,b"}, ""},
		{named("query"), []string{"mcp-param-q", "whatever", "mcp-param-q", "else"}, ""},
	})
}

// Mcp-Name repeats the name, URI or task id; on other methods it is a mismatch.
func TestParseKnowsWhatHasAName(t *testing.T) {
	completion := message("completion/complete", `{"ref":{"type":"ref/resource","uri":"repo://{owner}"}}`)
	checkHeadings(t, []heading{
		{message("prompts/get", `{"name":"greet"}`), []string{n, "greet"}, ""},
		{message("resources/read", `{"uri":"X://a%2e"}`), []string{n, "X://a%2e"}, ""},
		{message("resources/read", `{"uri":"X://a%2e"}`), []string{n, "x://a."}, nameDiffers},
		{message("resources/subscribe", `{"uri":"x://a"}`), []string{n, "x://b"}, nameDiffers},
		{message("tasks/result", `{"taskId":"t"}`), []string{n, "u"}, nameDiffers},
		{completion, []string{n, "repo://{owner}"}, ""},
		{completion, []string{n, "repo://x"}, nameDiffers},
		{message("completion/complete", `{"ref":{"type":"ref/prompt","name":"greet"}}`), []string{n, "greet"}, ""},
		{message("tools/list", ""), []string{n, "query"}, nameDiffers},
		{message("tools/list", ""), []string{n, ""}, nameDiffers},
		{message("vendor/x", `{"name":"query"}`), []string{n, "query"}, nameDiffers},
		{message("initialize", ""), []string{m, "tools/call"}, methodDiffers},
		{message("notifications/progress", ""), []string{m, "tools/call"}, methodDiffers},
		{`{"jsonrpc":"2.0","method":"notifications/progress"}`, []string{m, "other", n, "x"}, ""},
	})
}

// A value that looks like the base64 sentinel of SEP-2243 is decoded, and never taken literally.
func TestParseDecodesTheSentinel(t *testing.T) {
	checkHeadings(t, []heading{
		{named("é"), []string{n, "=?base64?w6k=?="}, ""},
		{named("é"), []string{n, "é"}, ""}, // the Go SDK sends it raw
		{named("query"), []string{n, "=?base64?cXVlcnk=?="}, ""},
		{named("drop"), []string{n, "=?base64?cXVlcnk=?="}, nameDiffers},
		{named("=?base64?cXVlcnk=?="), []string{n, "=?base64?cXVlcnk=?="}, nameDiffers},
		{named("=?base64?cXVlcnk=?="), []string{n, "=?base64?PT9iYXNlNjQ/Y1hWbGNuaz0/PQ==?="}, ""},
		{named("query"), []string{n, "=?base64?cXVlcnk?="}, nameDiffers},       // no padding
		{named("query"), []string{n, "=?base64?cXVlcnl=?="}, nameDiffers},      // loose bits
		{named("query"), []string{n, "=?base64?cXVl\r\ncnk=?="}, nameDiffers},  // line break
		{named("query"), []string{n, "=?base64?c XVlcnk=?="}, nameDiffers},     // blank
		{named("query"), []string{n, "=?BASE64?cXVlcnk=?="}, nameDiffers},      // a literal
		{named("=?BASE64?cXVlcnk=?="), []string{n, "=?BASE64?cXVlcnk=?="}, ""}, // a literal
		{named("=?base64?="), []string{n, "=?base64?="}, ""},                   // too short to be one
		{named("=?base64?x"), []string{n, "=?base64?x"}, ""},                   // no suffix
		{named("\ufffd"), []string{n, "=?base64?/w==?="}, nameDiffers},         // not UTF-8
	})
}

// What 2026-07-28 requires.
func TestParseRequiresHeaders(t *testing.T) {
	task := `,"taskId":"t-1"`
	checkHeadings(t, []heading{
		{modern("tools/list", ""), []string{version, v}, methodMissing},
		{modern("vendor/x", ""), []string{version, v}, methodMissing},
		{modern("tools/call", `,"name":"query"`), []string{version, v, m, "tools/call"}, nameMissing},
		{modern("tools/call", `,"name":"query"`), []string{version, v, m, "tools/call", n, "query"}, ""},
		{modern("prompts/get", `,"name":"greet"`), []string{version, v, m, "prompts/get"}, nameMissing},
		{modern("resources/read", `,"uri":"x://a"`), []string{version, v, m, "resources/read"}, nameMissing},
		{modern("tasks/get", task), []string{version, v, m, "tasks/get"}, nameMissing},
		{modern("tasks/update", task), []string{version, v, m, "tasks/update"}, nameMissing},
		{modern("tasks/cancel", task), []string{version, v, m, "tasks/cancel"}, nameMissing},
		{modern("tasks/cancel", task), []string{version, v, m, "tasks/cancel", n, "t-1"}, ""},
		{modern("subscriptions/listen", ""), []string{version, v, m, "subscriptions/listen"}, ""},
		{modern("completion/complete", `,"ref":{"type":"ref/prompt","name":"greet"}`), []string{version, v, m, "completion/complete"}, ""},
		{modern("notifications/initialized", ""), []string{version, v}, ""},
	})
}

// In headers that come as a map a comma may hide a second line.
func TestParseJoinedHeaders(t *testing.T) {
	tests := []struct{ header, value, want string }{
		{"mcp-name", "a,b", "header_mismatch: two values of Mcp-Name"},
		{"mcp-method", "tools/call,tools/call", "header_mismatch: two values of Mcp-Method"},
		{"mcp-protocol-version", "2025-06-18,2025-06-18", "header_mismatch: two values of MCP-Protocol-Version"},
		{"mcp-session-id", "s,s", "malformed: two values of Mcp-Session-Id"},
		{"x-envoy-auth-partial-body", "false,false", "partial_body: body is partial"},
		{"content-encoding", "identity,gzip", "content_encoding: content-encoding is not identity"},
	}
	for _, tt := range tests {
		h := post(params(`{"name":"a,b"}`), tt.header, tt.value)
		h.Joined = true
		if _, fault := mcp.Parse(h, mcp.Rules{}); reason(fault) != tt.want {
			t.Errorf("Parse(joined %s: %s) = %q, want %q", tt.header, tt.value, reason(fault), tt.want)
		}
	}
	h := post(call, "mcp-session-id", "s,s")
	if got, fault := mcp.Parse(h, mcp.Rules{}); fault != nil || got.Session != "s,s" {
		t.Errorf("Parse(raw mcp-session-id: s,s) has session %q, fault %q, want it literally", got.Session, reason(fault))
	}
}

// A method that 2026-07-28 removed is the server's to answer, when its required
// member is missing.
func TestParseRemovedMethods(t *testing.T) {
	tests := []struct{ method, more, want, fault string }{
		{"resources/subscribe", "", "unknown", ""},
		{"resources/unsubscribe", "", "unknown", ""},
		{"tasks/result", "", "unknown", ""},
		{"resources/subscribe", `,"uri":"x://a"`, "resources/subscribe Resource x://a", ""},
		{"resources/subscribe", `,"uri":7`, "", "invalid_params: uri is no string or empty"},
		{"resources/read", "", "", "invalid_params: uri is no string or empty"},
		{"tasks/get", "", "tasks/get", "invalid_params: taskId is no string or empty"},
		{"ping", "", "ping", ""},
		{"tasks/list", "", "tasks/list", ""},
	}
	for _, tt := range tests {
		got, fault := mcp.Parse(post(modern(tt.method, tt.more), "mcp-protocol-version", "2026-07-28", "mcp-method", tt.method), mcp.Rules{})
		if asked(got) != tt.want || reason(fault) != tt.fault {
			t.Errorf("Parse(%s%s) asks %q, fault %q, want %q and %q", tt.method, tt.more, asked(got), reason(fault), tt.want, tt.fault)
		}
	}
	_, fault := mcp.Parse(post(message("resources/subscribe", "{}"), "mcp-protocol-version", "2025-11-25"), mcp.Rules{})
	if got, want := reason(fault), "invalid_params: uri is no string or empty"; got != want {
		t.Errorf("Parse(resources/subscribe of 2025-11-25 without uri) = %q, want %q", got, want)
	}
}

// A version that the operator adds is read by the rules of 2026-07-28.
func TestParseLaterVersion(t *testing.T) {
	rules := mcp.Rules{Versions: []string{"2027-03-01"}}
	body := message("tools/list", meta("2027-03-01"))
	for _, tt := range []struct {
		headers []string
		want    string
	}{
		{[]string{"mcp-protocol-version", "2027-03-01", "mcp-method", "tools/list"}, ""},
		{[]string{"mcp-protocol-version", "2027-03-01"}, "header_mismatch: Mcp-Method is missing"},
		{nil, "header_mismatch: MCP-Protocol-Version is missing"},
	} {
		if _, fault := mcp.Parse(post(body, tt.headers...), rules); reason(fault) != tt.want {
			t.Errorf("Parse(2027-03-01 with %q) = %q, want %q", tt.headers, reason(fault), tt.want)
		}
	}
}
