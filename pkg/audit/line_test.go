package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// full is a record in which no field is empty.
func full() audit.Record {
	at := time.Date(2026, 11, 25, 13, 4, 5, 678_912_345, time.FixedZone("", 3600))
	return audit.Record{
		Time: at, Event: "tool_call", Decision: "deny", Layer: "authorization", Reason: "argument_type", Status: 403,
		DecisionID: "d-1", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7",
		Server: "shop", HTTPMethod: "POST", Method: "tools/call", Tool: "refund", Prompt: "greet",
		URI: "file:///srv/a", URISent: "FILE:///srv/a", RPCID: `"a1"`, ProtocolVersion: "2026-07-28", Session: "0123456789ab",
		Principal: "User/corp/alice", Issuer: "corp", Client: "Client/corp/cli", Actor: "Agent/corp/bot",
		TokenID: "j-1", TokenIssuedAt: at.Truncate(time.Second), TokenExpiresAt: at.Truncate(time.Second).Add(time.Hour),
		Scopes: []string{"mcp:read", "mcp:tools"}, SourceAddress: "192.0.2.7", PeerAddress: "10.0.0.1",
		UserAgent: "go-sdk/1.8.0", ClientInfo: "cli/1", Host: "mcp.example.com", Path: "/mcp",
		Questions: []audit.Question{{
			Principal: "Agent/corp/bot", Action: "tools/call", Resource: "Tool/shop/refund", Decision: "deny",
			Policies: []string{"cap-refunds"}, Errors: []string{"broken"},
		}},
		PolicySet: "abcdef012345", Duration: 1234 * time.Microsecond,
		Argument: "args.amount", ExpectedType: "Long", ArgumentPolicies: []string{"cap-refunds"},
		AbsentClaims: []string{"groups"}, Detail: "Mcp-Name differs", Presented: "https://other.example.com/",
	}
}

// written returns the bytes that a Log writes for r.
func written(t interface {
	Helper()
	Fatalf(string, ...any)
}, r audit.Record) string {
	t.Helper()
	var out bytes.Buffer
	log := audit.New(&out)
	if err := log.Record(context.Background(), r); err != nil {
		t.Fatalf("Record(%+v) = %v, want nil", r, err)
	}
	if err := log.Close(); err != nil {
		t.Fatalf("Close() = %v, want nil", err)
	}
	return out.String()
}

func TestLineNamesEveryField(t *testing.T) {
	const want = `{"time":"2026-11-25T12:04:05.678Z","event":"tool_call","decision":"deny","layer":"authorization",` +
		`"reason":"argument_type","status":403,"decision_id":"d-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",` +
		`"span_id":"00f067aa0ba902b7","server":"shop","http_method":"POST","method":"tools/call","tool":"refund",` +
		`"prompt":"greet","uri":"file:///srv/a","rpc_id":"\"a1\"","protocol_version":"2026-07-28",` +
		`"session":"0123456789ab","principal":"User/corp/alice","issuer":"corp","client":"Client/corp/cli",` +
		`"actor":"Agent/corp/bot","token_id":"j-1","token_issued_at":"2026-11-25T12:04:05.000Z",` +
		`"token_expires_at":"2026-11-25T13:04:05.000Z","scopes":["mcp:read","mcp:tools"],"source_address":"192.0.2.7",` +
		`"user_agent":"go-sdk/1.8.0","client_info":"cli/1","questions":[{"principal":"Agent/corp/bot","action":"tools/call",` +
		`"resource":"Tool/shop/refund","decision":"deny","policies":["cap-refunds"],"errors":["broken"]}],` +
		`"policy_set":"abcdef012345","duration_us":1234,"host":"mcp.example.com","path":"/mcp",` +
		`"argument":"args.amount","expected_type":"Long","argument_policies":["cap-refunds"],` +
		`"absent_claims":["groups"],"detail":"Mcp-Name differs","uri_sent":"FILE:///srv/a",` +
		`"peer_address":"10.0.0.1","presented":"https://other.example.com/"}` + "\n"
	if diff := cmp.Diff(want, written(t, full())); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
	if got := written(t, audit.Record{}); got != "{}\n" {
		t.Errorf("line of the zero Record = %q, want {}", got)
	}
}

func TestLineMakesValuesSafe(t *testing.T) {
	long := strings.Repeat("a", 1023)
	tests := []struct{ name, sent, want string }{
		{"html stays", `<a href="x">&`, `{"tool":"<a href=\"x\">&"}`},
		{"no second line", "a\nb\r\tc\\", `{"tool":"a\nb\u000d\tc\\"}`},
		{"no line for JavaScript or Unicode", "a\u2028b\u0085c", `{"tool":"a\u2028b\u0085c"}`},
		{"no terminal sequence", "\x1b[2J\x7f\u009b2J", `{"tool":"\u001b[2J\u007f\u009b2J"}`},
		{"no turned text", "a\u202egpj", `{"tool":"a\u202egpj"}`},
		{"a hidden rune beyond the plane", "a\U000E0041", `{"tool":"a\udb40\udc41"}`},
		{"other languages stay", "取消 privé 🙂", `{"tool":"取消 privé 🙂"}`},
		{"invalid UTF-8", "a\xff\xfeb", "{\"tool\":\"a\uFFFDb\"}"},
		{"cut at 1 KiB", long + "bc", `{"tool":"` + long + `b"}`},
		{"cut before a rune", long + "é", `{"tool":"` + long + `"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := written(t, audit.Record{Tool: tt.sent}); got != tt.want+"\n" {
				t.Errorf("line of Tool %q = %s, want %s", tt.sent, got, tt.want)
			}
		})
	}
}

func TestLineCutsWhatStrangersSentAt256(t *testing.T) {
	long, cut := strings.Repeat("é", 200), strings.Repeat("é", 128)
	got := written(t, audit.Record{Host: long, Path: long, Presented: long})
	want := `{"host":"` + cut + `","path":"` + cut + `","presented":"` + cut + `"}` + "\n"
	if got != want {
		t.Errorf("line = %s, want %s", got, want)
	}
}

func TestLineWritesTimesThatRFC3339CanHold(t *testing.T) {
	far := time.Date(30000, 1, 1, 0, 0, 0, 0, time.UTC)
	early := time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)
	got := written(t, audit.Record{TokenIssuedAt: early, TokenExpiresAt: far})
	want := `{"token_issued_at":"0001-01-01T00:00:00.000Z","token_expires_at":"9999-12-31T23:59:59.999Z"}` + "\n"
	if got != want {
		t.Errorf("line = %s, want %s", got, want)
	}
}

// Whatever a caller sends, a record is one line, and that line is JSON.
func TestAnyRecordIsOneLineOfJSON(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	list := rapid.SliceOfN(text, 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		r := full()
		for _, field := range []*string{
			&r.Reason, &r.Method, &r.Tool, &r.URI, &r.RPCID, &r.Principal, &r.UserAgent, &r.ClientInfo, &r.Host, &r.Presented,
		} {
			*field = text.Draw(t, "text")
		}
		r.Scopes, r.AbsentClaims = list.Draw(t, "scopes"), list.Draw(t, "claims")
		r.Questions = []audit.Question{{Action: r.Method, Resource: r.URI, Policies: list.Draw(t, "policies")}, {}}
		r.Status = rapid.Int().Draw(t, "status")
		r.Duration = time.Duration(rapid.Int64().Draw(t, "duration"))
		r.TokenExpiresAt = time.Unix(rapid.Int64Range(-1e13, 1e13).Draw(t, "exp"), 0)

		got := written(t, r)
		if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") || !utf8.ValidString(got) {
			t.Fatalf("%q is not one line of UTF-8", got)
		}
		var m struct {
			Tool   string    `json:"tool"`
			Expiry time.Time `json:"token_expires_at"`
		}
		if err := json.Unmarshal([]byte(got), &m); err != nil {
			t.Fatalf("Unmarshal(%s) = %v, want nil", got, err)
		}
		if len(m.Tool) > 1024 || !utf8.ValidString(m.Tool) || (r.Tool == "") != (m.Tool == "") {
			t.Fatalf("tool %q became %q", r.Tool, m.Tool)
		}
		if len(r.Tool) <= 1024 && utf8.ValidString(r.Tool) && m.Tool != r.Tool {
			t.Fatalf("tool %q became %q, want it unchanged", r.Tool, m.Tool)
		}
	})
}

func TestMetadataAlwaysHasItsElevenKeys(t *testing.T) {
	want := map[string]string{
		"decision": "deny", "reason": "argument_type", "layer": "authorization", "principal": "User/corp/alice",
		"client": "Client/corp/cli", "server": "shop", "method": "tools/call", "action": "tools/call",
		"tool": "refund", "uri": "file:///srv/a", "decision_id": "d-1",
	}
	if diff := cmp.Diff(want, audit.Metadata(full())); diff != "" {
		t.Errorf("Metadata(full) (-want +got):\n%s", diff)
	}
	empty := audit.Metadata(audit.Record{})
	for key := range want {
		if got, ok := empty[key]; !ok || got != "" {
			t.Errorf("Metadata(zero)[%q] = %q, %v, want an empty string", key, got, ok)
		}
	}
	if len(empty) != len(want) {
		t.Errorf("Metadata(zero) has %d keys, want %d", len(empty), len(want))
	}
	hostile := audit.Metadata(audit.Record{Tool: "\xff" + strings.Repeat("x", 2000)})["tool"]
	if !utf8.ValidString(hostile) || len(hostile) != 1024 {
		t.Errorf("Metadata of a hostile tool has %d bytes, valid UTF-8 %v, want 1024 valid bytes", len(hostile), utf8.ValidString(hostile))
	}
}
