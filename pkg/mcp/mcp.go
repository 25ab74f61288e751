// Package mcp reads what an HTTP request asks of an MCP server: HTTP method,
// headers and JSON-RPC body become a Call, or a Fault that says what is wrong
// with them. It covers the Streamable HTTP transport of the protocol versions
// 2024-11-05 to 2026-07-28.
//
// There is one strict reading: what another parser could read as another
// method, tool or argument is refused. The body decides; headers are only
// compared with it.
package mcp

import "github.com/cedargate/cedargate/pkg/internal/strictjson"

// HTTP is one request as the proxy saw it.
type HTTP struct {
	Method string
	Header []Field // in the order received, without pseudo headers
	// Joined says that the proxy gave the headers as a map, in which the lines
	// of one name are joined by commas: a comma may then hide a second line.
	Joined bool
	Body   []byte
	// Size is the number of body bytes the proxy says it received; negative
	// means that it does not say.
	Size int64
	// TwoBodies and TwoHeaders say that the proxy filled both fields that can
	// carry a body, or headers: nobody knows which one the server sees.
	TwoBodies, TwoHeaders bool
}

// A Field is one header line. Name is in lower case.
type Field struct{ Name, Value string }

// Rules are the settings of one protected server that a reading depends on,
// and the limits.
type Rules struct {
	// BodyBytes is the body limit; a body that reaches it is refused, since a
	// cut at the limit can be invisible. 0 means 262144.
	BodyBytes int
	// Elements bounds members, objects and arrays of a body. 0 means 10,000.
	Elements int
	// Versions are the protocol versions the server takes. Empty means
	// Versions().
	Versions []string
	// ResourceNames takes a resource "URI" without a scheme as a plain name.
	ResourceNames bool
	// EncodedSlash keeps %2F inside its path segment, instead of refusing it.
	EncodedSlash bool
}

// A Call is what a request asks. The zero Call asks nothing and has no
// questions; only Parse makes another.
type Call struct {
	HTTPMethod string
	// Method is the JSON-RPC method; "" for GET, DELETE and responses.
	Method string
	// ID is the id of a request as it was written, quotes included; nil when
	// there is none, when it is the id of a response, or when the body was not
	// one well-formed message with a valid id.
	ID []byte
	// Notification says that the message has no id: nothing answers it.
	Notification bool
	// Questions has one entry for each thing that must be permitted; never
	// empty after a Parse without Fault. The first one names the call. A GET
	// with Last-Event-ID asks "stream/resume". With a Fault it holds what could
	// be read; a URI that is refused has only Sent.
	Questions []Question
	// Arguments are those of tools/call: an Object; absent counts as {}.
	Arguments strictjson.Value
	// InputResponses says that a tools/call carries inputResponses or
	// requestState.
	InputResponses bool
	// Version is the protocol version that the request declares: that of _meta,
	// else of the header; for initialize that of params; else "".
	Version string
	// Session is the value of Mcp-Session-Id. It is never identity.
	Session string
	// ClientInfo is the self-reported "name/version"; never used to decide.
	ClientInfo string
	// Traceparent and Tracestate are those of params._meta (SEP-414).
	Traceparent, Tracestate string
}

// Target says what kind of thing a Question is about.
type Target byte

// The targets of a Question. The zero Target is the server itself.
const (
	OnServer Target = iota
	OnTool
	OnPrompt
	OnResource
)

// A Question is one thing that must be permitted.
type Question struct {
	Action string // a Cedar action id: "tools/call", "stream/get", "unknown"
	Target Target
	Name   string // of the tool or prompt
	URI    URI    // of the resource
}

// A URI is the one name of a resource: its canonical spelling, and what is cut
// from it.
type URI struct {
	Canonical string
	Sent      string   // as the body has it
	Scheme    string   // "" for a plain resource name
	Host      string   // "" when the URI has none
	Path      string   // of the canonical spelling
	Dirs      []string // canonical prefixes that end in "/", shortest first
	// Template is set for a URI template with an expression: it stands for
	// every URI that begins with Prefix.
	Template bool
	Prefix   string
}

// A Fault is what is wrong with a request. Its texts are constants.
type Fault struct {
	Reason string // one of the closed list: "malformed", "header_mismatch", …
	Code   int    // of JSON-RPC; never 0
	Detail string // one constant text for each rule: "lone surrogate"
	// Supported and Requested are set for an unsupported protocol version.
	Supported []string
	Requested string
}

// Versions returns the protocol versions that are known without configuration,
// oldest first.
func Versions() []string {
	return []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", statelessVersion}
}
