// Package audit tells what happened: one Record for each check becomes a JSON
// line, span attributes and Envoy dynamic metadata.
//
// What a caller sent is made safe on its way out: strings are cut, invalid
// UTF-8 is replaced, and nothing in a value can begin a new line or steer a
// terminal. A Record has no place for a token or for the value of an argument.
package audit

import (
	"strings"
	"time"
	"unicode/utf8"
)

// A Record is the account of one check, contract §7. It never holds a token or
// the value of an argument. An empty field is left out of the JSON line.
type Record struct {
	Time       time.Time
	Event      string // metadata, authentication_failed, protocol_error, tool_call, request, failure, unrouted, reload
	Decision   string // allow, deny
	Layer      string // routing, authentication, protocol, authorization, internal
	Reason     string
	Status     int
	DecisionID string
	TraceID    string
	SpanID     string

	Server, HTTPMethod, Method, Tool, Prompt, URI, URISent string
	RPCID                                                  string // as written, quotes included
	ProtocolVersion                                        string
	Session                                                string // first 12 hex digits of SHA-256

	Principal, Issuer, Client, Actor string // "User/corp/alice", "corp", "Client/corp/cli", "Agent/corp/bot"
	TokenID                          string
	TokenIssuedAt, TokenExpiresAt    time.Time
	Scopes                           []string

	SourceAddress, PeerAddress, UserAgent, ClientInfo string
	Host, Path                                        string
	Questions                                         []Question
	PolicySet                                         string
	Duration                                          time.Duration

	Argument, ExpectedType string
	ArgumentPolicies       []string // the policies that read Argument
	AbsentClaims           []string
	Detail                 string
	Presented              string
}

// A Question is one thing that had to be permitted.
type Question struct {
	// Principal is the actor of a delegated token, "Agent/corp/bot", where it
	// was asked about; "" is the principal of the record.
	Principal        string
	Action, Resource string // "tools/call", "Tool/github/refund"
	Decision         string
	Policies, Errors []string
}

const (
	decisionAllow = "allow"
	decisionDeny  = "deny"

	// longText bounds what a caller can name: methods, tools, URIs, agents.
	longText = 1024
	// shortText bounds what an unauthenticated caller sent and only an operator
	// who looks for a mistake reads: host, path, the claim that did not fit.
	shortText = 256
)

// Metadata gives Envoy's dynamic metadata of r, the struct below the key
// "cedargate" of contract §6: always the same eleven keys, all strings, since a
// rate-limit descriptor with an absent key, or one that is no string, is
// dropped and limits nothing.
func Metadata(r Record) map[string]string {
	m := map[string]string{
		"decision":    r.Decision,
		"reason":      r.Reason,
		"layer":       r.Layer,
		"principal":   r.Principal,
		"client":      r.Client,
		"server":      r.Server,
		"method":      r.Method,
		"action":      "",
		"tool":        r.Tool,
		"uri":         r.URI,
		"decision_id": r.DecisionID,
	}
	if len(r.Questions) > 0 {
		m["action"] = r.Questions[0].Action
	}
	// A protobuf string that is not UTF-8 would fail the whole answer.
	for key, value := range m {
		m[key] = clean(value, longText)
	}
	return m
}

// clean returns s in valid UTF-8 and at most limit bytes, with no rune split.
func clean(s string, limit int) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) <= limit {
		return s
	}
	for !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
