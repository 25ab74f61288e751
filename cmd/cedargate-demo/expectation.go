package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

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
		return decisionLine("allow", e.layer(), e.reason)
	}
	return decisionLine("deny", e.layer(), e.reason)
}

// permitted is the expectation of a request that these policies permit.
func permitted(principal string, policies []string, context ...fact) expectation {
	return expectation{status: 200, reason: "permitted", principal: principal, policies: policies, context: context}
}

// forbidden is that of a request that these policies forbid.
func forbidden(principal, message string, policies []string, context ...fact) expectation {
	return expectation{
		status: 403, reason: "denied_by_policy", answer: message,
		principal: principal, policies: policies, context: context,
	}
}

// unpermitted is that of a request that no policy permits.
func unpermitted(principal string, context ...fact) expectation {
	return expectation{status: 403, reason: "no_permit", answer: "not permitted by policy", principal: principal, context: context}
}

// unauthenticated is that of a request whose caller is not known. No policy is
// asked.
func unauthenticated(reason string, context ...fact) expectation {
	e := expectation{status: 401, reason: reason, answer: "the access token is not valid here", context: context}
	if reason == "no_credential" {
		e.answer = "authentication required"
	}
	return e
}

// A fact is a part of the context that mattered.
type fact struct {
	name string
	got  func(*asked) string
	want string
}

// scopes are those that the record says the token has, in whatever order the
// client asked for them.
func scopes(want ...string) fact {
	return fact{"token.scopes", func(a *asked) string {
		return fmt.Sprintf("%q", slices.Sorted(slices.Values(a.record.texts("scopes"))))
	}, fmt.Sprintf("%q", slices.Sorted(slices.Values(want)))}
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
