package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// A sequence is a request over HTTP/2 whose point is how it is framed.
type sequence struct {
	name, why string
	path      string      // "" is /mcp
	authority string      // "" is mcp.example.com
	fields    [][2]string // after the pseudo headers, the token and the media type
	data      []string    // one DATA frame each; the last one ends the stream
	trailers  bool        // the stream ends with trailers instead
	want      outcome
}

// An outcome is an answer of each proxy: status and reason, where "-" is a
// refusal without a Check, and "reset -" one without an answer.
type outcome struct{ guarded, bare, partial string }

func same(want string) outcome { return outcome{want, want, want} }

const (
	queryCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query","arguments":{"sql":"select 1"}}}`
	dropCall  = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"drop"}}`
)

func padded(text string, n int) string { return text + strings.Repeat(" ", n-len(text)) }

// limit is that of Cedargate and of the proxies, small enough for one window.
const limit = 1000

// sequences rest on what envoy.md §1.3 calls gap A, where the last frame may
// bring the body over the limit, and gap B, where an operator allows partial
// bodies and the cut is at the end of a frame.
func sequences() []sequence {
	first := padded(queryCall, limit)
	return []sequence{
		{name: "plain", why: "What the others pretend to be.", data: []string{queryCall}, want: same("200 permitted")},
		{name: "two frames", why: "A frame is no message.", data: []string{queryCall[:50], queryCall[50:]}, want: same("200 permitted")},
		{name: "trailers", why: "Nobody becomes root by a trailer.", data: []string{queryCall}, trailers: true, want: same("200 permitted")},
		{name: "gap A at once", why: "One last frame is over the limit: the Check is cut, the server gets all.",
			data: []string{first + padded(dropCall, 8*limit)}, want: outcome{"413 -", "413 partial_body", "413 partial_body"}},
		{name: "gap A at the edge", why: "Nine bytes below the limit, then ten.",
			data: []string{first[:limit-9], dropCall[:10]}, want: outcome{"413 -", "413 partial_body", "413 partial_body"}},
		{name: "gap B", why: "The limit exactly, and a second message behind it.",
			data: []string{first, padded(dropCall, limit)}, want: outcome{"413 -", "413 partial_body", "413 body_limit"}},
		{name: "gap B and trailers", why: "The same, ended by trailers.",
			data: []string{first, padded(dropCall, limit)}, trailers: true, want: outcome{"413 -", "413 -", "413 body_limit"}},
		{name: "at the limit", why: "A cut there cannot be seen.", data: []string{first}, want: same("413 body_limit")},
		{name: "over by trailers", why: "Over the limit before the trailers.",
			data: []string{first[:900], dropCall + strings.Repeat(" ", 900)}, trailers: true, want: outcome{"413 -", "413 -", "413 partial_body"}},
		{name: "length too small", why: "The length says less than comes.", fields: [][2]string{{"content-length", "50"}},
			data: []string{queryCall}, want: same("reset -")},
		{name: "length too large", why: "The length says more than comes.", fields: [][2]string{{"content-length", "500"}},
			data: []string{queryCall}, want: same("reset -")},
		{name: "empty frame", why: "A body of nothing.", data: []string{""}, want: same("400 malformed")},
		{name: "two tokens", why: "HTTP/2 has two lines, Envoy joins them.", fields: [][2]string{{"authorization", "Bearer x"}},
			data: []string{queryCall}, want: same("400 malformed_credential")},
		{name: "two names", why: "Two lines of Mcp-Name.", fields: [][2]string{{"mcp-name", "query"}, {"mcp-name", "drop"}},
			data: []string{queryCall}, want: same("400 header_mismatch")},
		{name: "identity", why: "Only Cedargate says who the caller is.", fields: [][2]string{{"x-cedargate-principal", "User/corp/root"}},
			data: []string{queryCall}, want: same("200 permitted")},
		{name: "underscore", why: "CGI reads an underscore as a dash.", fields: [][2]string{{"x_cedargate_principal", "User/corp/root"}},
			data: []string{queryCall}, want: outcome{"reset -", "reset -", "200 permitted"}},
		{name: "upper case", why: "HTTP/2 names are in lower case.", fields: [][2]string{{"X-A", "b"}}, data: []string{queryCall}, want: same("reset -")},
		{name: "line break", why: "A line break would be a header of HTTP/1.1 behind Envoy.",
			fields: [][2]string{{"x-a", "b\r\nx-cedargate-principal: User/corp/root"}}, data: []string{queryCall}, want: same("reset -")},
		{name: "path of bytes", why: "The Check says /m!cp, the server would get the byte.", path: "/m\x80cp",
			data: []string{queryCall}, want: outcome{"404 -", "404 -", "403 unknown_server"}},
		{name: "authority wins", why: "The host header says another host than the authority.", path: "/open/mcp", authority: "evil.example.com",
			fields: [][2]string{{"host", "mcp.example.com"}}, data: []string{queryCall}, want: same("403 unknown_server")},
		{name: "upgrade header", why: "HTTP/2 has no connection header.", fields: [][2]string{{"connection", "upgrade"}},
			data: []string{queryCall}, want: same("reset -")},
	}
}

// What is authorized is what runs, however the request is framed and whether
// or not the operator has the filter that closes gap A.
func TestFrames(t *testing.T) {
	t.Parallel()
	f := newField(t, fmt.Sprintf("limits: { body_bytes: %d }", limit))
	body := stack.ExtAuthzPath + "/with_request_body/"
	proxies := []struct {
		name string
		set  map[string]any
		want func(outcome) string
	}{
		{"guarded", map[string]any{
			stack.SizeLimitPath + "/typed_config/max_request_bytes": limit,
		}, func(o outcome) string { return o.guarded }},
		{"bare", map[string]any{
			stack.SizeLimitPath: nil,
		}, func(o outcome) string { return o.bare }},
		{"partial", map[string]any{
			stack.SizeLimitPath:                                                                 nil,
			body + "allow_partial_message":                                                      true,
			stack.ManagerPath + "/normalize_path":                                               false,
			stack.ManagerPath + "/path_with_escaped_slashes_action":                             "KEEP_UNCHANGED",
			stack.ManagerPath + "/merge_slashes":                                                false,
			stack.ManagerPath + "/common_http_protocol_options/headers_with_underscores_action": "ALLOW",
			stack.ManagerPath + "/route_config/virtual_hosts/0/routes/0/match":                  map[string]any{"prefix": "/"},
		}, func(o outcome) string { return o.partial }},
	}
	for _, p := range proxies {
		p.set[body+"max_request_bytes"] = limit
		p.set[stack.ManagerPath+"/delayed_close_timeout"] = "0.01s" // what ends a broken connection
		routes := f.routes()
		if p.name == "partial" {
			routes = []stack.Route{{Path: "/mcp"}}
		}
		envoy := newEnvoy(t, stack.EnvoyConfig{Authz: f.cedargate.Addr(), Upstream: f.server.Addr(), Routes: routes, Set: p.set})
		for _, s := range sequences() {
			t.Run(p.name+"/"+s.name, func(t *testing.T) {
				agent, want := p.name+" "+s.name, p.want(s.want)
				status := s.send(t, envoy.Addr(), f.tokens["token"], agent)
				reason := want[strings.IndexByte(want, ' ')+1:]
				if !strings.HasPrefix(want, status+" ") {
					t.Errorf("%s: answer is %s, want %s", s.why, status, want)
				}
				f.checkServed(t, agent, reason == "permitted")
				f.checkRecord(t, envoy, agent, reason)
			})
		}
	}
}

// checkRecord holds that agent left one record with the reason, or none.
func (f field) checkRecord(t *testing.T, envoy *stack.Envoy, agent, reason string) {
	t.Helper()
	f.settle(t, envoy, "after "+agent)
	own := byAgent(f.cedargate.Records(), agent)
	if reason == "-" && len(own) == 0 {
		return
	}
	if len(own) != 1 || own[0]["reason"] != reason {
		t.Errorf("records are %v, want one with reason %s", own, reason)
	}
}

// send sends s and returns the status of the answer, or "reset".
func (s sequence) send(t *testing.T, address, token, agent string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	s.write(&out, token, agent)
	if _, err := conn.Write(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	return await(t, http2.NewFramer(conn, conn))
}

// write writes the frames of s; writing to a buffer cannot fail.
func (s sequence) write(out *bytes.Buffer, token, agent string) {
	framer := http2.NewFramer(out, nil)
	framer.AllowIllegalWrites = true
	_ = framer.WriteSettings()
	fields := append([][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", or(s.authority, "mcp.example.com")}, {":path", or(s.path, "/mcp")},
		{"authorization", "Bearer " + token}, {"content-type", "application/json"}, {"user-agent", agent},
	}, s.fields...)
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(fields), EndHeaders: true})
	for i, data := range s.data {
		_ = framer.WriteData(1, i == len(s.data)-1 && !s.trailers, []byte(data))
	}
	if s.trailers {
		_ = framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: 1, BlockFragment: block([][2]string{{"x-cedargate-principal", "User/corp/root"}}), EndHeaders: true, EndStream: true,
		})
	}
}

func block(fields [][2]string) []byte {
	var out bytes.Buffer
	encoder := hpack.NewEncoder(&out)
	for _, f := range fields {
		_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return out.Bytes()
}

// await reads until the answer of stream 1 has come.
func await(t *testing.T, framer *http2.Framer) string {
	t.Helper()
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return "reset"
		}
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "reset"
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		}
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// What one connection has permitted says nothing about the next request on
// it, and a request that waits behind another is checked as any other.
func TestPipelinedRequestsAreEachChecked(t *testing.T) {
	t.Parallel()
	f := newField(t, "")
	envoy := newEnvoy(t, stack.EnvoyConfig{Authz: f.cedargate.Addr(), Upstream: f.server.Addr(), Routes: f.routes()})
	request := func(agent, credential, body string) string {
		return fmt.Sprintf("POST /mcp HTTP/1.1\r\nhost: mcp.example.com\r\n%scontent-type: application/json\r\nuser-agent: %s\r\ncontent-length: %d\r\n\r\n%s",
			credential, agent, len(body), body)
	}
	bearer := "authorization: Bearer " + f.tokens["token"] + "\r\n"
	sendAll(t, envoy.Addr(), request("first", bearer, queryCall)+request("second", "", queryCall)+request("third", bearer, dropCall), 200, 401, 403)
	for agent, reason := range map[string]string{"first": "permitted", "second": "no_credential", "third": "no_permit"} {
		f.checkServed(t, agent, reason == "permitted")
		f.checkRecord(t, envoy, agent, reason)
	}
}
