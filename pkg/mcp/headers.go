package mcp

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// values returns the values of all lines of a header, without the blanks
// around them (RFC 9110 §5.5).
func (r *reading) values(name string) []string {
	var values []string
	for _, f := range r.http.Header {
		if f.Name == name {
			values = append(values, strings.Trim(f.Value, " \t"))
		}
	}
	return values
}

// single returns the value of a header that has at most one; ok is false when
// it has two, or when nobody can know.
func (r *reading) single(name string) (value string, sent, ok bool) {
	values := r.values(name)
	switch {
	case len(values) == 0:
		return "", false, true
	case len(values) > 1 || r.http.Joined && strings.Contains(values[0], ","):
		return "", true, false
	}
	return values[0], true, true
}

// framing is the fault because of which the body cannot be read at all.
func (r *reading) framing() *Fault {
	h := r.http
	lengths := r.values("content-length")
	switch {
	case len(lengths) == 1 && len(h.Body) == 0 && positive(lengths[0]):
		return &Fault{Reason: "body_not_forwarded", Code: codeUnavailable, Detail: "body not forwarded: with_request_body is not set"}
	case h.Method != "POST" && h.Method != "GET" && h.Method != "DELETE":
		return transport("http_method", "HTTP method is none of POST, GET, DELETE")
	case h.TwoBodies:
		return malformed("two bodies")
	case h.TwoHeaders:
		return malformed("two encodings of the headers")
	case len(lengths) > 1 || len(lengths) == 1 && strings.Contains(lengths[0], ","):
		return malformed("two lengths")
	}
	for _, partial := range r.values("x-envoy-auth-partial-body") {
		if partial != "false" {
			return transport("partial_body", "body is partial")
		}
	}
	switch {
	case len(lengths) == 1 && !equals(lengths[0], len(h.Body)):
		return transport("partial_body", "content-length differs")
	case h.Size >= 0 && h.Size != int64(len(h.Body)):
		return transport("partial_body", "size differs")
	case len(h.Body) >= r.rules.BodyBytes:
		return transport("body_limit", "body reaches the limit")
	}
	for _, coding := range r.values("content-encoding") {
		if !strings.EqualFold(coding, "identity") {
			return transport("content_encoding", "content-encoding is not identity")
		}
	}
	switch post := h.Method == "POST"; {
	case post && len(h.Body) == 0:
		return malformed("no body")
	case !post && len(h.Body) > 0:
		return malformed("body on GET or DELETE")
	}
	return nil
}

func positive(length string) bool {
	n, err := strconv.ParseUint(length, 10, 63)
	return err == nil && n > 0
}

func equals(length string, n int) bool {
	got, err := strconv.ParseUint(length, 10, 63)
	return err == nil && got == uint64(n)
}

// label is the fault of what the headers say about a whole body.
func (r *reading) label() *Fault {
	types := r.values("content-type")
	session, _, ok := r.single("mcp-session-id")
	r.call.Session = session
	switch {
	case r.http.Method == "POST" && (len(types) != 1 || !jsonType(types[0])):
		return transport("media_type", "media type is not application/json in UTF-8")
	case !ok:
		return malformed("two values of Mcp-Session-Id")
	}
	return nil
}

// jsonType tells whether a content-type is application/json in UTF-8
// (RFC 9110 §8.3.1). A quoted semicolon or comma, which no charset has, is
// refused: parsers differ on where it ends.
func jsonType(value string) bool {
	kind, rest, _ := strings.Cut(value, ";")
	if lower(strings.TrimRight(kind, " \t")) != "application/json" {
		return false
	}
	charsets := 0
	for param := range strings.SplitSeq(rest, ";") {
		param = strings.Trim(param, " \t")
		if param == "" {
			continue
		}
		name, value, ok := strings.Cut(param, "=")
		if inner, quoted := strings.CutPrefix(value, `"`); quoted {
			value, quoted = strings.CutSuffix(inner, `"`)
			ok = ok && quoted
		}
		if !ok || !token(name) || !token(value) {
			return false
		}
		if strings.EqualFold(name, "charset") {
			charsets++
			if !strings.EqualFold(value, "utf-8") {
				return false
			}
		} else if strings.HasPrefix(strings.ToLower(name), "charset") {
			return false // charset* and charset*0 of RFC 2231
		}
	}
	return charsets <= 1
}

// token tells whether s is a token (RFC 9110 §5.6.2).
func token(s string) bool {
	for i := range len(s) {
		if c := s[i]; !letter(c) && !digit(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// declaresStateless tells whether m comes under 2026-07-28, in _meta or in the
// header.
func (r *reading) declaresStateless(m message) bool {
	if version := m.meta.Get(metaVersion); version.Kind() != strictjson.Absent {
		return stateless(version.Text())
	}
	header, _, _ := r.single("mcp-protocol-version")
	return stateless(header)
}

// version compares the protocol version of header and body, and with those the
// server takes. The zero message stands for a request without a body.
func (r *reading) version(m message) *Fault {
	if m.method == "initialize" { // negotiates, and so may ask for any
		r.call.Version = cut(m.params.Get("protocolVersion").Text(), maxText)
		return nil
	}
	header, sent, ok := r.single("mcp-protocol-version")
	if !ok {
		return mismatch("two values of MCP-Protocol-Version")
	}
	declared := m.meta.Get(metaVersion)
	inMeta, meta := declared.Kind() != strictjson.Absent, declared.Text()
	r.call.Version = cut(header, maxText)
	if inMeta {
		r.call.Version = cut(meta, maxText)
	}
	strict := m.request() && !clientNotification(m.method)
	switch {
	case m.request() && sent && inMeta && header != meta:
		return mismatch("MCP-Protocol-Version differs")
	case sent && !slices.Contains(r.rules.Versions, header):
		return r.unsupported(header)
	case inMeta && !slices.Contains(r.rules.Versions, meta):
		return r.unsupported(meta)
	case strict && inMeta && !sent && stateless(meta):
		return mismatch("MCP-Protocol-Version is missing")
	case strict && sent && !inMeta && stateless(header):
		return invalidParams("no protocol version in _meta")
	}
	return nil
}

func (r *reading) unsupported(version string) *Fault {
	return &Fault{
		Reason: "unsupported_version", Code: codeVersion, Detail: "unsupported protocol version",
		Supported: slices.Clone(r.rules.Versions), Requested: cut(version, maxText),
	}
}

// names compares Mcp-Method and Mcp-Name with the body. name is what the method
// is about, "" when it has no name.
func (r *reading) names(m message, name string) *Fault {
	if !m.request() {
		return nil
	}
	required := r.declaresStateless(m) && m.method != "initialize" && !clientNotification(m.method)
	method, sent, ok := r.single("mcp-method")
	switch {
	case !ok:
		return mismatch("two values of Mcp-Method")
	case sent && method != m.method:
		return mismatch("Mcp-Method differs")
	case !sent && required:
		return mismatch("Mcp-Method is missing")
	}
	header, sent, ok := r.single("mcp-name")
	switch {
	case !ok:
		return mismatch("two values of Mcp-Name")
	case sent && (name == "" || !sameName(header, name)):
		return mismatch("Mcp-Name differs")
	case !sent && required && methods[m.method].named:
		return mismatch("Mcp-Name is missing")
	}
	return nil
}

// sameName tells whether an Mcp-Name names name. A value that looks like the
// base64 sentinel of SEP-2243 is never taken literally.
func sameName(header, name string) bool {
	const prefix, suffix = "=?base64?", "?="
	if len(header) < len(prefix)+len(suffix) || !strings.HasPrefix(header, prefix) || !strings.HasSuffix(header, suffix) {
		return header == name
	}
	encoded := header[len(prefix) : len(header)-len(suffix)]
	if strings.ContainsAny(encoded, "\r\n") { // which the decoder would skip
		return false
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return err == nil && utf8.Valid(decoded) && string(decoded) == name
}
