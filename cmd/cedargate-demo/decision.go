package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

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

// An asked is a request that has been answered.
type asked struct {
	client    *client
	trace     string
	arguments string // of the tool
	text      string // the result
	reply     reply
	record    record
	ran       []stack.Call    // by the servers behind the gate, meanwhile
	reached   []stack.Request // of this trace, at these servers
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
		s.check("answer", false, "one over HTTP", err)
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
	s.state("answer", httpAnswer(a.reply.status, got.Code, a.text+got.Message), httpAnswer(want.status, want.status, want.answer))
	if want.reason == "permitted" {
		return
	}
	s.check("reason in the answer", got.Data.Reason == want.reason, want.reason, got.Data.Reason)
	id := a.record.text("decision_id")
	s.check("id of the decision", got.Data.DecisionID == id && id != "", id, got.Data.DecisionID)
}

func httpAnswer(status, code int, text string) string {
	if status == http.StatusOK {
		return fmt.Sprintf("HTTP %d, %s", status, text)
	}
	return fmt.Sprintf("HTTP %d, JSON-RPC error %d: %s", status, code, text)
}

// decided states what the record says.
func (s *story) decided(a *asked, want expectation) {
	r, question := a.record, a.record.question()
	s.state("decision", decisionLine(r["decision"], r["layer"], r["reason"]), want.decision())
	s.check("event in the record", r["event"] == want.event(), want.event(), r["event"])
	s.check("status in the record", fmt.Sprint(r["status"]) == fmt.Sprint(want.status), want.status, r["status"])
	if got := r.text("principal"); got+want.principal != "" {
		s.state("principal", got, want.principal)
	}
	if got := question.text("action"); got+want.action != "" {
		s.state("action", got, want.action)
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

func decisionLine(decision, layer, reason any) string {
	return fmt.Sprintf("%v in the layer %v: %v", decision, layer, reason)
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
	s.state("upstream", called(len(a.reached), runs), called(len(wanted), wanted))
	for _, r := range a.reached {
		s.state("told", told(r.Header.Get("x-cedargate-principal"), r.Header.Get("authorization")), told(want.principal, ""))
	}
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

// told is what a server learns about the caller.
func told(principal, authorization string) string {
	token := "no token"
	if authorization != "" {
		token = "a token"
	}
	return "x-cedargate-principal: " + principal + ", " + token
}

// reached returns the requests of a trace that got to the servers.
func (w *world) reached(trace string) []stack.Request {
	var reached []stack.Request
	for _, r := range slices.Concat(w.github.Requests(), w.payments.Requests()) {
		if strings.Contains(r.Header.Get("traceparent"), trace) {
			reached = append(reached, r)
		}
	}
	return reached
}
