package corpus

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/audit"
)

// An Answer is what came back at one level.
type Answer struct {
	Allowed bool
	// Status, Header and Body are what the client sees of a request that is not
	// allowed.
	Status int
	Header http.Header
	Body   []byte
	// Upstream are the headers that the server behind the proxy gets of a
	// request that is allowed.
	Upstream http.Header
	// Executed are the bodies that this server got, at the level that has one.
	Executed [][]byte
}

// An Asker asks at one level.
type Asker func(ctx context.Context, s Sent) (Answer, error)

// InProcess asks the engine of w: the level Engine.
func (w *World) InProcess(ctx context.Context, s Sent) (Answer, error) {
	result := w.Engine.Check(ctx, s.Checked())
	a := Answer{
		Allowed: result.Allowed, Status: result.Status, Header: http.Header{}, Body: result.Body,
		Upstream: s.Forwarded(result.Upstream, result.Remove),
	}
	for _, f := range result.Header {
		a.Header.Add(f.Name, f.Value)
	}
	return a, nil
}

// Run asks c and returns what differs from what it expects; "" if nothing does.
func (w *World) Run(ctx context.Context, c Case, ask Asker) (string, error) {
	s, err := w.Begin(c)
	if err != nil {
		return "", err
	}
	a, err := ask(ctx, s)
	if err != nil {
		return "", err
	}
	record, records := w.end()
	got, want := c.compare(a, record, s)
	if records != 1 && c.Fault != "audit" {
		want["records"], got["records"] = 1, records
	}
	return cmp.Diff(want, got), nil
}

// compare lays what c expects beside what came, member by member.
func (c Case) compare(a Answer, record audit.Record, s Sent) (got, want map[string]any) {
	e := c.Expect
	got, want = map[string]any{}, map[string]any{}
	add := func(name string, g, w any) { got[name], want[name] = g, w }
	opt := func(name, g, w string) {
		if w != "" {
			add(name, g, w)
		}
	}
	add("allowed", a.Allowed, e.Reason == "permitted")
	if a.Executed != nil {
		add("executed", texts(a.Executed), texts([][]byte{s.HTTP.Body}))
	}
	if !a.Allowed {
		add("status", a.Status, e.Status)
	}
	if c.Fault != "audit" {
		add("reason", record.Reason, e.Reason)
		add("event", record.Event, e.Event)
		add("layer", record.Layer, e.Layer)
		add("recorded status", record.Status, e.Status)
	}
	opt("detail", record.Detail, e.Detail)
	opt("principal", record.Principal, e.Principal)
	opt("argument", record.Argument, e.Argument)
	opt("presented", record.Presented, e.Presented)
	if e.Absent != nil {
		add("absent claims", record.AbsentClaims, e.Absent)
	}
	if e.Scopes != nil {
		add("scopes", record.Scopes, e.Scopes)
	}
	c.compareQuestions(record, add, opt)
	compareHeader("header ", a.Header, e.Header, add)
	compareHeader("upstream ", a.Upstream, e.Upstream, add)
	if !a.Allowed && s.HTTP.Method != http.MethodHead {
		c.compareBody(a, add, opt)
	}
	return got, want
}

// compareHeader takes "*" for any one value that is not empty.
func compareHeader(where string, got http.Header, want map[string]string, add func(string, any, any)) {
	for name, value := range want {
		values := got.Values(name)
		if value == "*" && len(values) == 1 && values[0] != "" {
			value = values[0]
		}
		add(where+name, strings.Join(values, " | "), value)
	}
}

func texts(bodies [][]byte) []string {
	var all []string
	for _, b := range bodies {
		all = append(all, string(b))
	}
	return all
}

func (c Case) compareQuestions(record audit.Record, add func(string, any, any), opt func(string, string, string)) {
	e := c.Expect
	if e.Questions > 0 {
		add("questions", len(record.Questions), e.Questions)
	}
	if len(record.Questions) == 0 {
		opt("action", "", e.Action)
		return
	}
	first, deciding := record.Questions[0], record.Questions[0]
	for _, q := range record.Questions {
		if deciding.Decision == "allow" && q.Decision == "deny" {
			deciding = q
		}
	}
	opt("action", first.Action, e.Action)
	opt("resource", first.Resource, e.Resource)
	if e.Asked != nil {
		var asked []string
		for _, q := range record.Questions {
			asked = append(asked, q.Principal)
		}
		add("asked", asked, e.Asked)
	}
	if e.Policies != nil {
		add("policies", append([]string{}, deciding.Policies...), e.Policies)
	}
	if e.Errors != nil {
		add("errors", append([]string{}, deciding.Errors...), e.Errors)
	}
}

// compareBody reads the JSON-RPC error, or the metadata document.
func (c Case) compareBody(a Answer, add func(string, any, any), opt func(string, string, string)) {
	e := c.Expect
	if e.Event == "metadata" {
		var document map[string]any
		if len(e.Body) > 0 {
			add("document is JSON", json.Unmarshal(a.Body, &document), error(nil))
		}
		for name, value := range e.Body {
			add("document "+name, document[name], value)
		}
		return
	}
	var body struct {
		JSONRPC string
		ID      json.RawMessage
		Error   struct {
			Code    int
			Message string
			Data    map[string]any
		}
	}
	add("body is JSON", json.Unmarshal(a.Body, &body), error(nil))
	add("content-type", a.Header.Get("content-type"), "application/json")
	add("cache-control", a.Header.Get("cache-control"), "no-store")
	add("jsonrpc", body.JSONRPC, "2.0")
	add("reason in the body", body.Error.Data["reason"], e.Reason)
	for name, value := range e.Data {
		add("data "+name, body.Error.Data[name], value)
	}
	if e.Code != 0 {
		add("code", body.Error.Code, e.Code)
	}
	opt("message", body.Error.Message, e.Message)
	if e.ID == "none" {
		add("id", string(body.ID), "")
	} else {
		opt("id", string(body.ID), e.ID)
	}
}
