package stack_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

const wholeConfig = `
issuers:
  - { name: corp, issuer: "%s" }
servers:
  - name: demo
    resource: https://mcp.example.com/mcp
    issuers: [corp]
    tools:
      - name: refund
        input_schema:
          type: object
          properties: { amount: { type: integer }, currency: { type: string } }
          required: [amount, currency]
policies: { path: policies }
`

const wholePolicies = `
@id("all-list")
permit (principal, action == MCP::Action::"tools/list", resource == MCP::Server::"demo");

@id("small-refunds")
permit (principal == MCP::User::"corp/alice", action == MCP::Action::"tools/call", resource == MCP::Tool::"demo/refund")
when { context.args.amount <= 100 };
`

// A whole is every real part, the binary included.
type whole struct {
	issuer    *authztest.Issuer
	cedargate *stack.Cedargate
	collector *stack.Collector
	upstream  *stack.Upstream
	envoy     *stack.Envoy
}

func everything(t *testing.T) whole {
	t.Helper()
	issuer, err := authztest.NewIssuer(authztest.IssuerConfig{})
	w := whole{issuer: must(t, issuer, err)}
	w.collector, w.upstream = start(t, stack.StartCollector), start(t, stack.StartUpstream)
	w.cedargate, err = stack.StartCedargate(t.Context(), stack.CedargateConfig{
		Config:    fmt.Appendf(nil, wholeConfig, issuer.URL()),
		Files:     map[string][]byte{"policies/main.cedar": []byte(wholePolicies)},
		Collector: w.collector.Addr(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if code, err := w.cedargate.Close(); code != 0 || err != nil {
			t.Errorf("Close() of cedargate = %d, %v, want 0", code, err)
		}
	})
	w.envoy = envoy(t, stack.EnvoyConfig{Authz: w.cedargate.Addr(), Upstream: w.upstream.Addr(), Collector: w.collector.Addr()})
	return w
}

// A bearer sends its token with every request.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func (w whole) connect(t *testing.T, token, version string) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	transport := &mcp.StreamableClientTransport{
		Endpoint: w.envoy.URL("/mcp"), MaxRetries: -1, HTTPClient: &http.Client{Transport: bearer(token)},
	}
	session, err := client.Connect(soon(t), transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatalf("Connect(%s) = %v, want nil", version, err)
	}
	t.Cleanup(func() { session.Close() })
	if got := session.InitializeResult().ProtocolVersion; got != version {
		t.Fatalf("negotiated %s, want %s", got, version)
	}
	return session
}

// The main job, with nothing left out: who may call what with which arguments,
// the record and the trace of each answer, and what the server gets to see.
func TestWholeJob(t *testing.T) {
	w := everything(t)
	for _, version := range []string{"2025-11-25", "2026-07-28"} {
		t.Run(version, func(t *testing.T) {
			session := w.connect(t, w.issuer.Mint(nil), version)
			w.upstream.Reset()
			if _, err := session.ListTools(soon(t), nil); err != nil {
				t.Errorf("ListTools() = %v, want nil", err)
			}
			refund := func(amount int) error {
				arguments := map[string]any{"amount": amount, "currency": "EUR"}
				_, err := session.CallTool(soon(t), &mcp.CallToolParams{Name: "refund", Arguments: arguments})
				return err
			}
			if err := refund(100); err != nil {
				t.Errorf("refund of 100 = %v, want nil", err)
			}
			if err := refund(101); err == nil {
				t.Error("refund of 101 = nil, want a refusal")
			}
			calls := w.upstream.Calls()
			if len(calls) != 2 || calls[1].Name != "refund" || !strings.Contains(string(calls[1].Arguments), `"amount":100`) {
				t.Errorf("the server did %s, want the list and the refund of 100", calls)
			}
			for _, r := range w.upstream.Requests() {
				if r.Header.Get("authorization") != "" || r.Header.Get("x-cedargate-principal") != "User/corp/alice" {
					t.Errorf("the server sees authorization %q of %q, want none of User/corp/alice",
						r.Header.Get("authorization"), r.Header.Get("x-cedargate-principal"))
				}
			}
		})
	}
	w.seesTheRefusal(t)
}

// seesTheRefusal follows one refusal from the record to the access log and to
// the trace.
func (w whole) seesTheRefusal(t *testing.T) {
	t.Helper()
	record, err := w.cedargate.WaitRecord(soon(t), func(r map[string]any) bool { return r["reason"] == "no_permit" })
	if err != nil || record["tool"] != "refund" || record["principal"] != "User/corp/alice" || record["status"] != 403.0 {
		t.Errorf("record of the refusal = %v, %v", record, err)
	}
	line, err := w.envoy.WaitAccess(soon(t), func(l map[string]any) bool {
		metadata, _ := l["cedargate"].(map[string]any)
		return metadata["decision_id"] == record["decision_id"]
	})
	if err != nil || line["trace_id"] != record["trace_id"] {
		t.Errorf("access log has trace %v, %v, want %v", line["trace_id"], err, record["trace_id"])
	}
	span, err := w.collector.Wait(soon(t), func(s stack.Span) bool {
		return s.Service == "cedargate" && s.Attributes["cedargate.decision_id"] == record["decision_id"]
	})
	if err != nil || span.TraceID != record["trace_id"] || span.Name != "tools/call refund" || span.Failed {
		t.Errorf("span of the refusal = %+v, %v, want tools/call refund in trace %v", span, err, record["trace_id"])
	}
	parent, err := w.collector.Wait(soon(t), func(s stack.Span) bool { return s.SpanID == span.ParentID })
	if err != nil || parent.Service != "envoy" {
		t.Errorf("its parent = %+v, %v, want a span of envoy", parent, err)
	}
}

// A Cedargate that hangs, and one that is gone, are both 503 for the caller,
// and nothing reaches the server.
func TestWholeOutage(t *testing.T) {
	w := everything(t)
	call := func() int {
		status, _ := post(t, w.envoy.URL("/mcp"), `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
		return status
	}
	if got := call(); got != 401 {
		t.Errorf("POST without a token = %d, want 401", got)
	}
	if err := w.cedargate.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if got := call(); got != 503 {
		t.Errorf("POST while cedargate hangs = %d, want 503", got)
	}
	if err := w.cedargate.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for call() != 401 {
		if time.Now().After(deadline) {
			t.Fatal("cedargate goes on, and its answers do not come")
		}
	}
	if code, err := w.cedargate.Close(); code != 0 || err != nil {
		t.Errorf("Close() = %d, %v, want 0", code, err)
	}
	if got := call(); got != 503 {
		t.Errorf("POST after cedargate has ended = %d, want 503", got)
	}
	if n := len(w.upstream.Requests()); n != 0 {
		t.Errorf("the server got %d requests, want none", n)
	}
}
