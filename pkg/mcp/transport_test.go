package mcp_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/mcp"
)

var length = strconv.Itoa(len(call))

// with is a good request, changed.
func with(change func(*mcp.HTTP)) mcp.HTTP {
	h := post(call)
	change(&h)
	return h
}

func sized(size int64) mcp.HTTP { return with(func(h *mcp.HTTP) { h.Size = size }) }

// framings are requests whose body may not be whole.
var framings = []struct {
	name string
	h    mcp.HTTP
	want string
}{
	{"lower case", request("post", call), "http_method: HTTP method is none of POST, GET, DELETE"},
	{"PUT", request("PUT", call), "http_method: HTTP method is none of POST, GET, DELETE"},
	{"OPTIONS", request("OPTIONS", ""), "http_method: HTTP method is none of POST, GET, DELETE"},
	{"HEAD", request("HEAD", ""), "http_method: HTTP method is none of POST, GET, DELETE"},
	{"no method", request("", call), "http_method: HTTP method is none of POST, GET, DELETE"},
	{"two bodies", with(func(h *mcp.HTTP) { h.TwoBodies = true }), "malformed: two bodies"},
	{"two encodings", with(func(h *mcp.HTTP) { h.TwoHeaders = true }), "malformed: two encodings of the headers"},
	{"two lengths", post(call, "content-length", length, "content-length", length), "malformed: two lengths"},
	{"two lengths in one", post(call, "content-length", length+","+length), "malformed: two lengths"},
	{"length", post(call, "content-length", length), ""},
	{"shorter", post(call, "content-length", "5"), "partial_body: content-length differs"},
	{"signed", post(call, "content-length", "+"+length), "partial_body: content-length differs"},
	{"no number", post(call, "content-length", "x"), "partial_body: content-length differs"},
	{"empty length", post(call, "content-length", ""), "partial_body: content-length differs"},
	{"length of a GET", request("GET", "", "content-length", "0"), ""},
	{"size", sized(int64(len(call))), ""},
	{"larger size", sized(int64(len(call)) + 1), "partial_body: size differs"},
	{"size 0", sized(0), "partial_body: size differs"},
	{"no size", sized(-1), ""},
	{"whole", post(call, "x-envoy-auth-partial-body", "false"), ""},
	{"partial", post(call, "x-envoy-auth-partial-body", "true"), "partial_body: body is partial"},
	{"partial or not", post(call, "x-envoy-auth-partial-body", "false", "x-envoy-auth-partial-body", "true"), "partial_body: body is partial"},
	{"partial, what", post(call, "x-envoy-auth-partial-body", "FALSE"), "partial_body: body is partial"},
	{"gzip", post(call, "content-encoding", "gzip"), "content_encoding: content-encoding is not identity"},
	{"identity", post(call, "content-encoding", "Identity"), ""},
	{"identity and gzip", post(call, "content-encoding", "identity", "content-encoding", "gzip"), "content_encoding: content-encoding is not identity"},
	{"empty coding", post(call, "content-encoding", ""), "content_encoding: content-encoding is not identity"},
	{"no body", post(""), "malformed: no body"},
	{"empty body", post("", "content-length", "0", "x-envoy-auth-partial-body", "false"), "malformed: no body"},
	{"not forwarded", post("", "content-length", "5"), "body_not_forwarded: body not forwarded: with_request_body is not set"},
	{"not forwarded, GET", request("GET", "", "content-length", "5"), "body_not_forwarded: body not forwarded: with_request_body is not set"},
	{"GET with a body", request("GET", "{}"), "malformed: body on GET or DELETE"},
	{"DELETE with a body", request("DELETE", call), "malformed: body on GET or DELETE"},
	{"session", post(call, "mcp-session-id", "a"), ""},
	{"two sessions", request("GET", "", "mcp-session-id", "a", "mcp-session-id", "b"), "malformed: two values of Mcp-Session-Id"},
}

func TestParseFraming(t *testing.T) {
	codes := map[string]int{"body_not_forwarded": 503}
	for _, tt := range framings {
		_, fault := mcp.Parse(tt.h, mcp.Rules{})
		if got := reason(fault); got != tt.want {
			t.Errorf("Parse(%s) = %q, want %q", tt.name, got, tt.want)
			continue
		}
		want := -32600
		if fault != nil && codes[fault.Reason] != 0 {
			want = codes[fault.Reason]
		}
		if fault != nil && fault.Code != want {
			t.Errorf("Parse(%s) has code %d, want %d", tt.name, fault.Code, want)
		}
	}
}

// A cut at the limit can be invisible, so reaching it is too much.
func TestParseBodyLimit(t *testing.T) {
	padded := func(n int) string { return call + strings.Repeat(" ", n-len(call)) }
	tests := []struct {
		limit, size int
		want        string
	}{
		{1000, 999, ""},
		{1000, 1000, "body_limit: body reaches the limit"},
		{0, 262143, ""},
		{0, 262144, "body_limit: body reaches the limit"},
	}
	for _, tt := range tests {
		_, fault := mcp.Parse(post(padded(tt.size)), mcp.Rules{BodyBytes: tt.limit})
		if got := reason(fault); got != tt.want {
			t.Errorf("Parse(%d bytes, limit %d) = %q, want %q", tt.size, tt.limit, got, tt.want)
		}
	}
}

func TestParseMediaType(t *testing.T) {
	accepted := []string{
		"application/json", "Application/JSON", "application/json;charset=utf-8", "application/json; charset=UTF-8",
		`application/json ; charset="utf-8"`, "application/json;", "application/json; profile=x", " application/json ",
	}
	refused := []string{
		"", "text/json", "text/plain", "application/jsonrpc", "application/json-rpc", "application/json/x", "application",
		"application/json; charset=utf-16", "application/json; charset=latin1", "application/json; charset=utf8",
		"application/json; charset=utf-8; charset=utf-16", "application/json; charset=utf-8;charset=utf-8",
		"application/json; charset", "application/json; charset=", `application/json; charset="utf-8`,
		"application/json; charset*=utf-8''utf-16", "application/json; charset*0=utf-16", "application/json; charset =utf-16",
		"application/json,application/json", "application/json, text/plain", "application/json; x=a,text/plain",
		`application/json; x="a; charset=utf-16"`, "multipart/form-data; boundary=x", "application/vnd.api+json",
		"application/j\u017fon", // which folds to it, but is none
	}
	for _, value := range accepted {
		if _, fault := mcp.Parse(request("POST", call, "content-type", value), mcp.Rules{}); fault != nil {
			t.Errorf("Parse(content-type: %s) = %q, want none", value, reason(fault))
		}
	}
	const want = "media_type: media type is not application/json in UTF-8"
	for _, value := range refused {
		if _, fault := mcp.Parse(request("POST", call, "content-type", value), mcp.Rules{}); reason(fault) != want {
			t.Errorf("Parse(content-type: %s) = %q, want %q", value, reason(fault), want)
		}
	}
	if _, fault := mcp.Parse(request("POST", call), mcp.Rules{}); reason(fault) != want {
		t.Errorf("Parse(no content-type) = %q, want %q", reason(fault), want)
	}
	if _, fault := mcp.Parse(post(call, "content-type", "application/json"), mcp.Rules{}); reason(fault) != want {
		t.Errorf("Parse(two content-types) = %q, want %q", reason(fault), want)
	}
}

// Of several faults the first of the contract's order (§1) is answered: each
// step mends the one before.
func TestParseOrderOfFaults(t *testing.T) {
	h := mcp.HTTP{
		Method: "PUT", TwoBodies: true, Size: 3,
		Body: []byte(`{"jsonrpc":"2","id":1,"method":"tools/call","params":{"arguments":1,"a":1,"a":1},"x":` + strings.Repeat("[", 70)),
		Header: []mcp.Field{
			{Name: "x-envoy-auth-partial-body", Value: "true"}, {Name: "content-length", Value: "7"}, {Name: "content-encoding", Value: "br"},
			{Name: "content-type", Value: "text/plain"}, {Name: "mcp-session-id", Value: "a"}, {Name: "mcp-session-id", Value: "b"},
			{Name: "mcp-protocol-version", Value: "x"}, {Name: "mcp-method", Value: "y"}, {Name: "mcp-name", Value: "z"},
		},
	}
	rules := mcp.Rules{BodyBytes: 10}
	drop := func(i int) func() { return func() { h.Header[i].Name = "mended" } }
	body := func(text string) func() { return func() { h.Body = []byte(text) } }
	steps := []struct {
		want string
		mend func()
	}{
		{"http_method: HTTP method is none of POST, GET, DELETE", func() { h.Method = "POST" }},
		{"malformed: two bodies", func() { h.TwoBodies = false }},
		{"partial_body: body is partial", drop(0)},
		{"partial_body: content-length differs", drop(1)},
		{"partial_body: size differs", func() { h.Size = -1 }},
		{"body_limit: body reaches the limit", func() { rules.BodyBytes = 0 }},
		{"content_encoding: content-encoding is not identity", drop(2)},
		{"media_type: media type is not application/json in UTF-8", func() { h.Header[3].Value = "application/json" }},
		{"malformed: two values of Mcp-Session-Id", drop(4)},
		{"malformed: duplicate member", body(`{"jsonrpc":"2","id":1,"method":"` + strings.Repeat("m", 1025) + `","params":{"Name":1}}`)},
		{"malformed: look-alike members", body(`{"jsonrpc":"2","id":1,"method":"tools/call","params":{"name":"` + strings.Repeat("n", 1025) + `"}}`)},
		{"limit: name longer than 1 KiB", body(`{"jsonrpc":"2","id":1,"method":"tools/call","params":{}}`)},
		{`malformed: jsonrpc is not "2.0"`, body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`)},
		{"invalid_params: name is no string or empty", body(call)},
		{"unsupported_version: unsupported protocol version", drop(6)},
		{"header_mismatch: Mcp-Method differs", drop(7)},
		{"header_mismatch: Mcp-Name differs", drop(8)},
		{"", func() {}},
	}
	for _, step := range steps {
		if _, fault := mcp.Parse(h, rules); reason(fault) != step.want {
			t.Fatalf("Parse = %q, want %q", reason(fault), step.want)
		}
		step.mend()
	}
}
