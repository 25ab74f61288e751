package mcp

import (
	"slices"
	"strings"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// Members of params._meta.
const (
	metaVersion    = "io.modelcontextprotocol/protocolVersion"
	metaClientInfo = "io.modelcontextprotocol/clientInfo"
)

// A message is a body that is JSON, not yet known to be a message.
type message struct {
	body   strictjson.Value
	method string
	id     strictjson.Value
	params strictjson.Value // absent when null
	meta   strictjson.Value // absent when null
}

func newMessage(body strictjson.Value) message {
	m := message{body: body, method: body.Get("method").Text(), id: body.Get("id")}
	m.params = present(body.Get("params"))
	m.meta = present(m.params.Get("_meta"))
	return m
}

// present returns v, or the absent value when v is null.
func present(v strictjson.Value) strictjson.Value {
	if v.Kind() == strictjson.Null {
		return strictjson.Value{}
	}
	return v
}

// request tells whether m wants an answer. Known notifications with an id are
// requests, too.
func (m message) request() bool { return m.method != "" && m.has("id") }

// response tells whether m answers a request of the server.
func (m message) response() bool {
	return m.method == "" && (m.has("result") || m.has("error"))
}

func (m message) has(name string) bool { return m.body.Get(name).Kind() != strictjson.Absent }

// The members that are read, level by level.
var (
	readOfMessage = []string{"jsonrpc", "id", "method", "params", "result", "error"}
	readOfParams  = []string{
		"_meta", "name", "arguments", "uri", "ref", "taskId", "notifications",
		"inputResponses", "requestState", "protocolVersion", "clientInfo",
	}
	readOfMeta          = []string{metaVersion, metaClientInfo, "traceparent", "tracestate"}
	readOfRef           = []string{"type", "name", "uri"}
	readOfNotifications = []string{"resourceSubscriptions", "taskIds"}
)

// ambiguous tells whether m has members that a parser which folds case would
// take for each other.
func (m message) ambiguous() bool {
	return lookAlikes(m.body, readOfMessage) ||
		lookAlikes(m.params, readOfParams) ||
		lookAlikes(m.meta, readOfMeta) ||
		lookAlikes(m.params.Get("ref"), readOfRef) ||
		lookAlikes(m.params.Get("notifications"), readOfNotifications) ||
		lookAlikes(m.params.Get("arguments"), nil)
}

// fewMembers is the number of members up to which comparing all pairs is
// cheaper than a map.
const fewMembers = 16

// lookAlikes tells whether two members of v, or one of them and one of read,
// differ and are equal under simple folding.
func lookAlikes(v strictjson.Value, read []string) bool {
	members := v.Members()
	if len(members) > fewMembers {
		return lookAlikesOfMany(members, read)
	}
	for i, m := range members {
		for _, name := range read {
			if m.Name != name && strings.EqualFold(m.Name, name) {
				return true
			}
		}
		for _, other := range members[:i] {
			if strings.EqualFold(m.Name, other.Name) {
				return true
			}
		}
	}
	return false
}

func lookAlikesOfMany(members []strictjson.Member, read []string) bool {
	seen := make(map[string]string, len(members)+len(read))
	for _, name := range read {
		seen[strictjson.Fold(name)] = name
	}
	for _, m := range members {
		folded := strictjson.Fold(m.Name)
		if other, ok := seen[folded]; ok && other != m.Name {
			return true
		}
		seen[folded] = m.Name
	}
	return false
}

// limit is the fault of m's own limits.
func (m message) limit() *Fault {
	kind := m.id.Kind()
	switch {
	case (kind == strictjson.String || kind == strictjson.Number) && len(m.id.Raw()) > maxID:
		return overLimit("id longer than 256 bytes")
	case len(m.method) > maxName:
		return overLimit("method longer than 1 KiB")
	}
	return nil
}

// check is the fault of m as a message of JSON-RPC 2.0 and MCP.
func (m message) check() *Fault {
	switch m.body.Kind() {
	case strictjson.Array:
		return &Fault{Reason: "batch", Code: codeInvalid, Detail: "batch"}
	case strictjson.Object:
	default:
		return malformed("body is no message")
	}
	for _, member := range m.body.Members() {
		if !slices.Contains(readOfMessage, member.Name) {
			return malformed("unknown member of the message")
		}
	}
	if m.body.Get("jsonrpc").Text() != "2.0" {
		return malformed("jsonrpc is not \"2.0\"")
	}
	if m.has("id") && !validID(m.id) {
		return malformed("id is no string or integer")
	}
	if m.has("result") || m.has("error") {
		return m.checkResponse()
	}
	_, known := methods[m.method]
	switch {
	case m.method == "":
		return malformed("method is no string or empty")
	case serverOnly(m.method):
		return malformed("method that only servers send")
	case known && !m.has("id"):
		return malformed("request without id")
	}
	return nil
}

func (m message) checkResponse() *Fault {
	switch {
	case m.has("result") && m.has("error"):
		return malformed("result and error")
	case m.has("method"):
		return malformed("method in a response")
	case m.has("params"):
		return malformed("params in a response")
	case !m.has("id"):
		return malformed("response without id")
	}
	return nil
}

// validID tells whether v is a string or an integer. 1.0 and 1e0 are integers:
// some JSON stacks know only doubles.
func validID(v strictjson.Value) bool {
	switch v.Kind() {
	case strictjson.String:
		return true
	case strictjson.Number:
		return integral(string(v.Raw()))
	}
	return false
}

// integral tells whether a number literal of JSON is an integer that could be
// written out within the limit of ids: 1e999999999 could not, and some servers
// would try.
func integral(literal string) bool {
	mantissa, power, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(literal, "-")), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	figures := strings.TrimLeft(whole+fraction, "0")
	if figures == "" {
		return true
	}
	exponent := 0
	negative := strings.HasPrefix(power, "-")
	for _, d := range strings.TrimLeft(power, "+-0") {
		if exponent = exponent*10 + int(d-'0'); exponent > 2*maxID {
			return false
		}
	}
	if negative {
		exponent = -exponent
	}
	zeros := len(figures) - len(strings.TrimRight(figures, "0"))
	places := len(fraction) - exponent // digits right of the point
	return places <= zeros && len(figures)-places <= maxID
}
