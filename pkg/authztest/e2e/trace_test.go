package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// Two traces that a client may name: in the header of HTTP, and in the message.
const (
	headerTrace = "11111111111111111111111111111111"
	headerSpan  = "2222222222222222"
	metaTrace   = "33333333333333333333333333333333"
	tracedCall  = `{"jsonrpc":"2.0","id":"r-1","method":"tools/call","params":{"name":"query","arguments":{"sql":"select 1"},` +
		`"_meta":{"traceparent":"00-` + metaTrace + `-4444444444444444-01"}}}`
)

// A lens is a field whose every part reports to one collector.
type lens struct {
	field
	collector *stack.Collector
	envoy     *stack.Envoy
}

func newLens(t *testing.T, envoyTraces bool) lens {
	t.Helper()
	l := lens{collector: newCollector(t)}
	l.field = newTracedField(t, "log: { level: debug }", l.collector.Addr())
	c := stack.EnvoyConfig{Authz: l.cedargate.Addr(), Upstream: l.server.Addr(), Routes: l.routes()}
	if envoyTraces {
		c.Collector = l.collector.Addr()
	}
	l.envoy = newEnvoy(t, c)
	return l
}

// call sends tracedCall as a client that is traced itself.
func (l lens) call(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(soon(t), http.MethodPost, l.envoy.URL("/mcp"), strings.NewReader(tracedCall))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("content-type", "application/json")
	req.Header.Set("traceparent", "00-"+headerTrace+"-"+headerSpan+"-01")
	if got := do(t, bearer{l.tokens["token"], "traced"}, req); got.status != 200 {
		t.Errorf("status %d, want 200: %s", got.status, got.body)
	}
}

func (l lens) wait(t *testing.T, what string, want func(stack.Span) bool) stack.Span {
	t.Helper()
	span, err := l.collector.Wait(soon(t), want)
	if err != nil {
		t.Fatalf("the span of %s: %v", what, err)
	}
	return span
}

func ours(s stack.Span) bool { return s.Service == "cedargate" }

// One request is one trace: what Envoy received, its question, our answer.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	l := newLens(t, true)
	l.call(t)
	check := l.wait(t, "the check", ours)
	egress := l.wait(t, "the question", func(s stack.Span) bool { return s.SpanID == check.ParentID })
	ingress := l.wait(t, "the request", func(s stack.Span) bool { return s.SpanID == egress.ParentID })
	if egress.Service != "envoy" || ingress.Service != "envoy" || !strings.Contains(egress.Name, "Authorization.Check") {
		t.Errorf("the parents are %q of %s and %q of %s, want two of envoy", egress.Name, egress.Service, ingress.Name, ingress.Service)
	}
	for name, s := range map[string]stack.Span{"check": check, "egress": egress, "ingress": ingress} {
		if s.TraceID != headerTrace {
			t.Errorf("%s is in trace %s, want %s of the client", name, s.TraceID, headerTrace)
		}
	}
	if ingress.ParentID != headerSpan || ingress.Kind != "SPAN_KIND_SERVER" || check.Kind != "SPAN_KIND_SERVER" {
		t.Errorf("ingress is a %s under %s, check a %s, want servers under %s", ingress.Kind, ingress.ParentID, check.Kind, headerSpan)
	}
	// What the message names is anybody's to write: a link, never the parent.
	if !slices.Equal(check.Links, []string{metaTrace}) {
		t.Errorf("links are %q, want %q", check.Links, metaTrace)
	}
	l.checkAttributes(t, check)
}

// checkAttributes holds the names of the semantic conventions, and that span,
// record and access log tell of one decision.
func (l lens) checkAttributes(t *testing.T, check stack.Span) {
	t.Helper()
	record, err := l.cedargate.WaitRecord(soon(t), func(r map[string]any) bool { return r["user_agent"] == "traced" })
	if err != nil {
		t.Fatal(err)
	}
	if record["trace_id"] != headerTrace || record["span_id"] != check.SpanID {
		t.Errorf("record names span %v of trace %v, want %s of %s", record["span_id"], record["trace_id"], check.SpanID, headerTrace)
	}
	want := map[string]string{
		"mcp.method.name": "tools/call", "gen_ai.tool.name": "query", "gen_ai.operation.name": "execute_tool", "jsonrpc.request.id": "r-1",
		"client.address": "127.0.0.1", "user_agent.original": "traced",
		"cedargate.decision": "allow", "cedargate.reason": "permitted", "cedargate.layer": "authorization", "cedargate.status": "200",
		"cedargate.server": "demo", "cedargate.principal": "User/corp/alice", "cedargate.client": "Client/corp/cli",
		"cedargate.policies": `["query"]`, "cedargate.policy_set": fmt.Sprint(record["policy_set"]),
		"cedargate.decision_id": fmt.Sprint(record["decision_id"]),
	}
	if diff := cmp.Diff(want, check.Attributes); diff != "" || check.Name != "tools/call query" {
		t.Errorf("span %q has other attributes (-want +got):\n%s", check.Name, diff)
	}
	line, err := l.envoy.WaitAccess(soon(t), func(line map[string]any) bool { return line["trace_id"] == headerTrace })
	if err != nil {
		t.Fatalf("access log: %v", err)
	}
	if own, _ := line["cedargate"].(map[string]any); own["decision_id"] != record["decision_id"] || own["tool"] != "query" {
		t.Errorf("access log has %v, want decision %v", line["cedargate"], record["decision_id"])
	}
}

// Where Envoy does not trace there is nothing but what the client sent.
func TestTraceOfTheClientAlone(t *testing.T) {
	t.Parallel()
	l := newLens(t, false)
	l.call(t)
	check := l.wait(t, "the check", ours)
	if check.TraceID != headerTrace || check.ParentID != headerSpan || !slices.Equal(check.Links, []string{metaTrace}) {
		t.Errorf("span is in %s under %s with links %q, want %s, %s, and %s", check.TraceID, check.ParentID, check.Links, headerTrace, headerSpan, metaTrace)
	}
}

// Invariant 8: whatever is done with a token, no part of it is to be found
// afterwards: not in answers, records, spans, logs, counters, nor at the
// server.
func TestInvariant08NoTokenIsLeftAnywhere(t *testing.T) {
	t.Parallel()
	l := newLens(t, true)
	var answers []answer
	for _, a := range loadAttacks(t) {
		answers = append(answers, send(t, l.envoy.Addr(), a.bytes(a.name, l.tokens)))
	}
	l.settle(t, l.envoy, "the last one")
	l.wait(t, "the last one", func(s stack.Span) bool { return ours(s) && s.Attributes["user_agent.original"] == "the last one" })
	l.wait(t, "its ingress", func(s stack.Span) bool { return !ours(s) && s.Attributes["user_agent"] == "the last one" })
	counters, err := l.envoy.Admin(soon(t), "/stats")
	if err != nil {
		t.Fatal(err)
	}
	captured := map[string]string{
		"an answer":           fmt.Sprintf("%+v", answers),
		"a record":            text(t, l.cedargate.Records()),
		"the operator's log":  strings.Join(l.cedargate.Log(), "\n"),
		"the access log":      text(t, l.envoy.AccessLog()),
		"the log of envoy":    l.envoy.Log(),
		"a span":              fmt.Sprintf("%+v", l.collector.Spans()),
		"a counter":           string(counters),
		"what the server got": fmt.Sprintf("%+v", l.server.Requests()),
	}
	for where, all := range captured {
		if len(all) < 10 {
			t.Errorf("nothing was captured of %s", where)
		}
		for name, token := range l.tokens {
			for _, part := range strings.Split(token, ".")[1:] {
				// What is cut off is a leak too.
				part = part[:min(24, len(part))]
				if i := strings.Index(all, part); i >= 0 && part != "" {
					t.Errorf("%s has a part of token %q: …%.200s", where, name, all[max(0, i-100):])
				}
			}
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
