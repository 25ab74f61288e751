package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// A record is one decision record, as Cedargate wrote it.
type record map[string]any

func (r record) text(name string) string {
	s, _ := r[name].(string)
	return s
}

// texts is a list of strings.
func (r record) texts(name string) []string {
	list, _ := r[name].([]any)
	var texts []string
	for _, v := range list {
		texts = append(texts, fmt.Sprint(v))
	}
	return texts
}

// question is what was asked of the policies; the zero record when nothing
// was. No message of the demo asks two questions.
func (r record) question() record {
	list, _ := r["questions"].([]any)
	if len(list) == 0 {
		return record{}
	}
	first, _ := list[0].(map[string]any)
	return first
}

// record waits for the record of a trace that want accepts; nil accepts all.
func (g *gate) record(ctx context.Context, trace string, want func(record) bool) (record, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return g.cedargate.WaitRecord(ctx, func(r map[string]any) bool {
		return r["trace_id"] == trace && (want == nil || want(r))
	})
}

// An expectation says what must become of a request.
type expectation struct {
	status int
	reason string
	answer string // text of the result, or message of the refusal
	// principal, action and resource are those of the question; empty where no
	// policy is asked.
	principal, action, resource string
	context                     []fact
	policies                    []string // ids of those that decide
	// runs is what the MCP server executes: method and name; "" nothing.
	runs string
}

// layer and event are those of the record, contract §7. The demo's bodies are
// all well-formed, and nothing fails.
func (e expectation) layer() string {
	if e.status == http.StatusUnauthorized {
		return "authentication"
	}
	return "authorization"
}

func (e expectation) event() string {
	switch {
	case e.layer() == "authentication":
		return "authentication_failed"
	case e.action == "tools/call":
		return "tool_call"
	}
	return "request"
}

// decision is how the record reads.
func (e expectation) decision() string {
	if e.reason == "permitted" {
		return decision("allow", e.layer(), e.reason)
	}
	return decision("deny", e.layer(), e.reason)
}

func decision(decision, layer, reason any) string {
	return fmt.Sprintf("%v in the layer %v: %v", decision, layer, reason)
}

// A fact is a part of the context that mattered.
type fact struct {
	name string
	got  func(*asked) string
	want string
}

// An asked is a request that has been answered.
type asked struct {
	client    *client
	trace     string
	arguments string // of the tool
	text      string // the result
	reply     reply
	record    record
	ran       []stack.Call // by the servers behind the gate, meanwhile
	reached   int          // HTTP requests of this trace that they received
}

// ask lets c do something that is one request, and compares the client's
// answer, the record and what the servers did with want.
func (s *story) ask(ctx context.Context, c *client, arguments string, do func(context.Context) (string, error), want expectation) *asked {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	github, payments := len(s.world.github.Calls()), len(s.world.payments.Calls())
	a := &asked{client: c, trace: c.wire.begin(), arguments: arguments}
	text, err := do(ctx)
	a.reply, a.text = c.wire.reply(), text
	if a.reply.status == 0 {
		s.fail("answer", err)
		return a
	}
	if a.record, err = s.gate.record(ctx, a.trace, nil); err != nil {
		s.fail("record", err)
		return a
	}
	a.ran = append(s.world.github.Calls()[github:], s.world.payments.Calls()[payments:]...)
	a.reached = s.world.reached(a.trace)
	s.answer(a, want)
	s.decided(a, want)
	s.executed(a, want)
	return a
}

// answer states what the client got.
func (s *story) answer(a *asked, want expectation) {
	got := a.reply.refusal().Error
	s.state("answer", answer(a.reply.status, got.Code, a.text+got.Message), answer(want.status, want.status, want.answer))
	if want.reason == "permitted" {
		return
	}
	s.check("reason in the answer", got.Data.Reason == want.reason, want.reason, got.Data.Reason)
	id := a.record.text("decision_id")
	s.check("id of the decision", got.Data.DecisionID == id && id != "", id, got.Data.DecisionID)
}

func answer(status, code int, text string) string {
	if status == http.StatusOK {
		return fmt.Sprintf("HTTP %d, %s", status, text)
	}
	return fmt.Sprintf("HTTP %d, JSON-RPC error %d: %s", status, code, text)
}

// decided states what the record says.
func (s *story) decided(a *asked, want expectation) {
	r, question := a.record, a.record.question()
	s.state("decision", decision(r["decision"], r["layer"], r["reason"]), want.decision())
	s.check("event in the record", r["event"] == want.event(), want.event(), r["event"])
	s.check("status in the record", fmt.Sprint(r["status"]) == fmt.Sprint(want.status), want.status, r["status"])
	if want.principal != "" {
		s.state("principal", r.text("principal"), want.principal)
	}
	if want.action != "" {
		s.state("action", question.text("action"), want.action)
		s.state("resource", question.text("resource"), want.resource)
	}
	for i, f := range want.context {
		label := "context"
		if i > 0 {
			label = ""
		}
		s.state(label, f.name+" "+f.got(a), f.name+" "+f.want)
	}
	if want.action != "" {
		s.policies(question.texts("policies"), want.policies)
	}
}

// policies states which policies decided, and shows their text.
func (s *story) policies(got, want []string) {
	s.state("policy", names(got), names(want))
	for _, id := range got {
		text := s.gate.texts[id]
		s.check("text of "+id, text != "", "a loaded policy", "none")
		s.show("", indent(text))
	}
}

func names(policies []string) string {
	if len(policies) == 0 {
		return "none permits it"
	}
	return strings.Join(policies, ", ")
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("| " + line)
	}
	return b.String()
}

// executed states what the request did to the servers.
func (s *story) executed(a *asked, want expectation) {
	var runs, wanted []string
	for _, c := range a.ran {
		runs = append(runs, strings.TrimSpace(c.Method+" "+c.Name))
	}
	if want.runs != "" {
		wanted = append(wanted, want.runs)
	}
	s.state("upstream", called(a.reached, runs), called(len(wanted), wanted))
	for _, c := range a.ran {
		if c.Method == "tools/call" {
			s.check("arguments that ran", sameJSON(string(c.Arguments), a.arguments), a.arguments, string(c.Arguments))
		}
	}
}

func called(times int, runs []string) string {
	unit := "times"
	if times == 1 {
		unit = "time"
	}
	text := fmt.Sprintf("called %d %s", times, unit)
	if len(runs) > 0 {
		text += ", ran " + strings.Join(runs, ", ")
	}
	return text
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}

// reached counts the requests of a trace that got to the servers.
func (w *world) reached(trace string) int {
	n := 0
	for _, r := range slices.Concat(w.github.Requests(), w.payments.Requests()) {
		if strings.Contains(r.Header.Get("traceparent"), trace) {
			n++
		}
	}
	return n
}

// scopes are those that the record says the token has.
func scopes(want ...string) fact {
	return fact{"token.scopes", func(a *asked) string { return fmt.Sprintf("%q", a.record.texts("scopes")) }, fmt.Sprintf("%q", want)}
}

// roles are those of the token.
func roles(want ...string) fact {
	return fact{"roles", func(a *asked) string { return fmt.Sprintf("%q", a.client.claims["roles"]) }, fmt.Sprintf("%q", want)}
}

// argument is one of those of the tool call.
func argument(name string, want any) fact {
	return fact{"args." + name, func(a *asked) string {
		var all map[string]any
		if err := json.Unmarshal([]byte(a.arguments), &all); err != nil {
			return err.Error()
		}
		return fmt.Sprint(all[name])
	}, fmt.Sprint(want)}
}

// presented is what of the credential did not fit.
func presented(want string) fact {
	return fact{"presented", func(a *asked) string { return a.record.text("presented") }, want}
}

// hour is the time of the decision in a time zone.
func hour(zone *time.Location) fact {
	clock := func(t time.Time) string { return fmt.Sprintf("%d in %s", t.In(zone).Hour(), zone) }
	return fact{"time.hour", func(a *asked) string {
		t, err := time.Parse(time.RFC3339, a.record.text("time"))
		if err != nil {
			return err.Error()
		}
		return clock(t)
	}, clock(time.Now())}
}
