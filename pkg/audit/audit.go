// Package audit tells what happened: one Record for each check becomes a JSON
// line, span attributes and Envoy dynamic metadata.
package audit

import "time"

// A Record is the account of one check, contract §7. It never holds a token or
// the value of an argument.
type Record struct {
	Time       time.Time
	Event      string // metadata, authentication_failed, protocol_error, tool_call, request, failure, unrouted
	Decision   string // allow, deny
	Layer      string // routing, authentication, protocol, authorization, internal
	Reason     string
	Status     int
	DecisionID string
	TraceID    string
	SpanID     string

	Server, HTTPMethod, Method, Tool, Prompt, URI, URISent string
	RPCID                                                  string
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
	Action, Resource string // "tools/call", "Tool/github/refund"
	Decision         string
	Policies, Errors []string
}
