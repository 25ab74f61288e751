package audit_test

import (
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// annotated returns the span that Annotate makes of r.
func annotated(t *testing.T, r audit.Record) sdktrace.ReadOnlySpan {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	_, span := provider.Tracer("test").Start(t.Context(), "Check")
	audit.Annotate(span, r)
	span.End()
	return spans.Ended()[0]
}

func values(span sdktrace.ReadOnlySpan) map[string]string {
	m := map[string]string{}
	for _, a := range span.Attributes() {
		m[string(a.Key)] = a.Value.String()
	}
	return m
}

func TestAnnotateByTheConventions(t *testing.T) {
	span := annotated(t, full())
	want := map[string]string{
		"mcp.method.name": "tools/call", "gen_ai.tool.name": "refund", "gen_ai.prompt.name": "greet",
		"gen_ai.operation.name": "execute_tool", "mcp.resource.uri": "file:///srv/a", "jsonrpc.request.id": "a1",
		"mcp.protocol.version": "2026-07-28", "client.address": "192.0.2.7", "user_agent.original": "go-sdk/1.8.0",
		"cedargate.decision": "deny", "cedargate.reason": "argument_type", "cedargate.layer": "authorization",
		"cedargate.status": "403", "cedargate.server": "shop", "cedargate.principal": "User/corp/alice",
		"cedargate.client": "Client/corp/cli", "cedargate.session": "0123456789ab", "cedargate.policy_set": "abcdef012345",
		"cedargate.policies": `["cap-refunds"]`, "cedargate.policy_errors": `["broken"]`, "cedargate.decision_id": "d-1",
	}
	if diff := cmp.Diff(want, values(span)); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

func TestAnnotateNamesAndStatuses(t *testing.T) {
	tests := []struct {
		name   string
		record audit.Record
		span   string
		status codes.Code
	}{
		{"an allowed tool", audit.Record{Layer: "authorization", Method: "tools/call", Tool: "refund", Status: 200}, "tools/call refund", codes.Unset},
		{"a denied tool", audit.Record{Layer: "authorization", Method: "tools/call", Tool: "refund", Status: 403}, "tools/call refund", codes.Unset},
		{"a prompt", audit.Record{Layer: "authorization", Method: "prompts/get", Prompt: "greet", Status: 200}, "prompts/get greet", codes.Unset},
		{"a resource is no name", audit.Record{Layer: "authorization", Method: "resources/read", URI: "file:///a", Status: 200}, "resources/read", codes.Unset},
		{"a stream", audit.Record{Layer: "authorization", HTTPMethod: "GET", Status: 200}, "Check", codes.Unset},
		{"a stranger chooses no names", audit.Record{Layer: "authentication", Method: "x", Tool: "y", Status: 401}, "Check", codes.Unset},
		{"our fault", audit.Record{Layer: "internal", Method: "tools/call", Reason: "deadline", Status: 503}, "Check", codes.Error},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			span := annotated(t, tt.record)
			if span.Name() != tt.span || span.Status().Code != tt.status {
				t.Errorf("Annotate(%+v) made span %q with status %v, want %q with %v",
					tt.record, span.Name(), span.Status().Code, tt.span, tt.status)
			}
			if got, want := values(span)["error.type"] != "", tt.status == codes.Error; got != want {
				t.Errorf("error.type is set: %v, want %v", got, want)
			}
		})
	}
}

func TestAnnotateRequestIDs(t *testing.T) {
	for written, want := range map[string]string{`"a\u0031"`: "a1", `7`: "7", `1.0`: "1.0", `null`: "", ``: ""} {
		if got := values(annotated(t, audit.Record{RPCID: written}))["jsonrpc.request.id"]; got != want {
			t.Errorf("jsonrpc.request.id of %s = %q, want %q", written, got, want)
		}
	}
}

func TestAnnotateNamesEachPolicyOnce(t *testing.T) {
	r := audit.Record{Questions: []audit.Question{{Policies: []string{"a", "b"}}, {Policies: []string{"b", "c"}}}}
	if got, want := values(annotated(t, r))["cedargate.policies"], `["a","b","c"]`; got != want {
		t.Errorf("cedargate.policies = %s, want %s", got, want)
	}
}

func TestLinkTakesOnlyWhatIsATraceContext(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	tests := []struct {
		parent, state string
		ok            bool
	}{
		{good, "vendor=1", true},
		{good, "\x00", true}, // a bad state is dropped, the link stays
		{"", "", false},
		{"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", "", false},
		{strings.Repeat("x", 1<<16), "", false},
	}
	for _, tt := range tests {
		link, ok := audit.Link(tt.parent, tt.state)
		if ok != tt.ok || ok && link.SpanContext.TraceID().String() != good[3:35] {
			t.Errorf("Link(%.60q, %q) = %v, %v, want ok %v", tt.parent, tt.state, link.SpanContext.TraceID(), ok, tt.ok)
		}
	}
}
