package audit

import (
	"math"
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// appendLine appends r to b as one JSON object in one line, contract §7. It is
// written by hand because every check waits for it.
func appendLine(b []byte, r *Record) []byte {
	b = append(b, '{')
	b = appendTime(b, "time", r.Time)
	b = appendText(b, "event", r.Event, longText)
	b = appendText(b, "decision", r.Decision, longText)
	b = appendText(b, "layer", r.Layer, longText)
	b = appendText(b, "reason", r.Reason, longText)
	b = appendNumber(b, "status", int64(r.Status))
	b = appendText(b, "decision_id", r.DecisionID, longText)
	b = appendText(b, "trace_id", r.TraceID, longText)
	b = appendText(b, "span_id", r.SpanID, longText)
	b = appendAsked(b, r)
	b = appendCaller(b, r)
	b = appendQuestions(b, r.Questions)
	b = appendText(b, "policy_set", r.PolicySet, longText)
	b = appendNumber(b, "duration_us", r.Duration.Microseconds())
	b = appendText(b, "host", r.Host, shortText)
	b = appendText(b, "path", r.Path, shortText)
	b = appendText(b, "argument", r.Argument, longText)
	b = appendText(b, "expected_type", r.ExpectedType, longText)
	b = appendList(b, "argument_policies", r.ArgumentPolicies)
	b = appendList(b, "absent_claims", r.AbsentClaims)
	b = appendText(b, "detail", r.Detail, longText)
	b = appendText(b, "uri_sent", r.URISent, longText)
	b = appendText(b, "peer_address", r.PeerAddress, longText)
	b = appendText(b, "presented", r.Presented, shortText)
	return append(b, "}\n"...)
}

func appendAsked(b []byte, r *Record) []byte {
	b = appendText(b, "server", r.Server, longText)
	b = appendText(b, "http_method", r.HTTPMethod, longText)
	b = appendText(b, "method", r.Method, longText)
	b = appendText(b, "tool", r.Tool, longText)
	b = appendText(b, "prompt", r.Prompt, longText)
	b = appendText(b, "uri", r.URI, longText)
	b = appendText(b, "rpc_id", r.RPCID, longText)
	b = appendText(b, "protocol_version", r.ProtocolVersion, longText)
	return appendText(b, "session", r.Session, longText)
}

func appendCaller(b []byte, r *Record) []byte {
	b = appendText(b, "principal", r.Principal, longText)
	b = appendText(b, "issuer", r.Issuer, longText)
	b = appendText(b, "client", r.Client, longText)
	b = appendText(b, "actor", r.Actor, longText)
	b = appendText(b, "token_id", r.TokenID, longText)
	b = appendTime(b, "token_issued_at", r.TokenIssuedAt)
	b = appendTime(b, "token_expires_at", r.TokenExpiresAt)
	b = appendList(b, "scopes", r.Scopes)
	b = appendText(b, "source_address", r.SourceAddress, longText)
	b = appendText(b, "user_agent", r.UserAgent, longText)
	return appendText(b, "client_info", r.ClientInfo, longText)
}

func appendQuestions(b []byte, questions []Question) []byte {
	if len(questions) == 0 {
		return b
	}
	b = append(appendName(b, "questions"), '[')
	for i, q := range questions {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendText(b, "principal", q.Principal, longText)
		b = appendText(b, "action", q.Action, longText)
		b = appendText(b, "resource", q.Resource, longText)
		b = appendText(b, "decision", q.Decision, longText)
		b = appendList(b, "policies", q.Policies)
		b = appendList(b, "errors", q.Errors)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendName appends the name of a member, which needs no escape.
func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), name...)
	return append(b, `":`...)
}

func appendText(b []byte, name, value string, limit int) []byte {
	if value == "" {
		return b
	}
	return appendString(appendName(b, name), clean(value, limit))
}

func appendList(b []byte, name string, values []string) []byte {
	if len(values) == 0 {
		return b
	}
	b = append(appendName(b, name), '[')
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, clean(value, longText))
	}
	return append(b, ']')
}

// appendNumber appends n as the uint32 that the definition of a record says.
func appendNumber(b []byte, name string, n int64) []byte {
	n = max(0, min(n, math.MaxUint32))
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendName(b, name), n, 10)
}

// latest and earliest bound what RFC 3339 can write: a token may claim to
// expire in the year 30000.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
)

func appendTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	t = t.UTC()
	switch {
	case t.After(latest):
		t = latest
	case t.Before(earliest):
		t = earliest
	}
	return t.AppendFormat(appendName(b, name), `"2006-01-02T15:04:05.000Z"`)
}

// appendString appends s, which is valid UTF-8, as a JSON string. Runes that a
// reader of lines or a terminal could obey are escaped too: C1 controls,
// U+2028, U+2029, marks of direction. HTML is left alone.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i, c := range s {
		if plain(c) {
			continue
		}
		b = append(b, s[start:i]...)
		b = appendEscape(b, c)
		start = i + utf8.RuneLen(c)
	}
	return append(append(b, s[start:]...), '"')
}

func plain(c rune) bool {
	if c < utf8.RuneSelf {
		return c >= ' ' && c != '"' && c != '\\' && c != 0x7f
	}
	return !unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

func appendEscape(b []byte, c rune) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', byte(c))
	case '\n':
		return append(b, `\n`...)
	case '\t':
		return append(b, `\t`...)
	}
	for _, unit := range utf16.AppendRune(nil, c) {
		const hex = "0123456789abcdef"
		b = append(b, '\\', 'u', hex[unit>>12], hex[unit>>8&0xf], hex[unit>>4&0xf], hex[unit&0xf])
	}
	return b
}
