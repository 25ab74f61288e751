package mcp

import (
	"errors"
	"slices"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// Defaults and fixed limits of a reading.
const (
	defaultBody     = 256 << 10
	defaultElements = 10_000
	maxDepth        = 64
	maxNumber       = 256
	maxID           = 256 // as written, quotes included
	maxName         = 1 << 10
	maxListen       = 64 // resources of one subscriptions/listen
	maxText         = 1 << 10
)

// statelessVersion is the first revision in which each request stands for
// itself: it says its version in _meta, and its headers repeat the body.
const statelessVersion = "2026-07-28"

// stateless tells whether version is read by the rules of 2026-07-28.
func stateless(version string) bool { return version >= statelessVersion }

// Parse reads h by the rules. On a Fault the Call holds what is known all the
// same: the HTTP method, and the rest as far as the reading came. Parse is
// pure, and bounded in time and memory by the limits.
//
// The Fault is the first of the order of the contract: framing, media type,
// session, JSON, limits, message, params, version, other headers.
func Parse(h HTTP, rules Rules) (Call, *Fault) {
	if rules.BodyBytes <= 0 {
		rules.BodyBytes = defaultBody
	}
	if rules.Elements <= 0 {
		rules.Elements = defaultElements
	}
	if len(rules.Versions) == 0 {
		rules.Versions = Versions()
	}
	r := reading{http: h, rules: rules, call: Call{HTTPMethod: h.Method}}
	fault := r.read()
	return r.call, fault
}

// A reading is one Parse.
type reading struct {
	http  HTTP
	rules Rules
	call  Call
}

func (r *reading) read() *Fault {
	if fault := r.framing(); fault != nil {
		return fault
	}
	// The body is whole. It is read even if its label is wrong, so that the
	// refusal can bear its id.
	first := r.label()
	var then *Fault
	if r.http.Method == "POST" {
		then = r.post()
	} else {
		then = r.stream()
	}
	if first != nil {
		return first
	}
	return then
}

// stream reads a GET or DELETE, which have no body.
func (r *reading) stream() *Fault {
	action := actionStreamGet
	if r.http.Method == "DELETE" {
		action = actionSessionDelete
	} else if len(r.values("last-event-id")) > 0 {
		// Servers look events up by that id alone, so this is not the same.
		action = actionStreamResume
	}
	r.ask(Question{Action: action})
	return r.version(message{})
}

// post reads the message in the body.
func (r *reading) post() *Fault {
	m, fault := r.message()
	if fault != nil {
		return fault
	}
	r.describe(m)
	subject, wrong := r.subject(m)
	broken := m.check()
	if broken == nil && m.request() && len(m.id.Raw()) <= maxID {
		r.call.ID = slices.Clone(m.id.Raw())
	}
	limit := m.limit()
	if limit == nil && wrong != nil && wrong.Reason == reasonLimit {
		limit = wrong
	}
	for _, fault := range []*Fault{limit, broken, wrong} {
		if fault != nil {
			return fault
		}
	}
	if fault := r.version(m); fault != nil {
		return fault
	}
	return r.names(m, subject)
}

// describe keeps what a record says of m, and no decision rests on.
func (r *reading) describe(m message) {
	r.call.Method = m.method
	r.call.Notification = m.method != "" && !m.has("id")
	r.call.Traceparent = short(m.meta.Get("traceparent"))
	r.call.Tracestate = short(m.meta.Get("tracestate"))
	client := m.meta.Get(metaClientInfo)
	if client.Kind() == strictjson.Absent && m.method == "initialize" {
		client = m.params.Get("clientInfo")
	}
	name, version := client.Get("name").Text(), client.Get("version").Text()
	if version != "" {
		name += "/" + version
	}
	r.call.ClientInfo = cut(name, maxText)
}

// short returns the text of v, or "" when it is too long to be what it should.
func short(v strictjson.Value) string {
	if len(v.Raw()) > maxText {
		return ""
	}
	return v.Text()
}

// ask adds a question to the call.
func (r *reading) ask(q Question) { r.call.Questions = append(r.call.Questions, q) }

// message reads the body as JSON in the one strict way.
func (r *reading) message() (message, *Fault) {
	v, err := strictjson.Parse(r.http.Body, strictjson.Limits{
		Depth: maxDepth, Elements: r.rules.Elements, Number: maxNumber,
	})
	var broken *strictjson.Error
	if errors.As(err, &broken) {
		return message{}, notJSON(broken)
	}
	m := newMessage(v)
	if m.ambiguous() {
		return message{}, malformed("look-alike members")
	}
	return m, nil
}
