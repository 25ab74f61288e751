package mcp

import (
	"unicode/utf8"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// Codes of JSON-RPC 2.0 §5.1 and of MCP 2026-07-28.
const (
	codeParse       = -32700
	codeInvalid     = -32600
	codeParams      = -32602
	codeHeaders     = -32020
	codeVersion     = -32022
	codeUnavailable = 503
)

const (
	reasonMalformed = "malformed"
	reasonLimit     = "limit"
)

func malformed(detail string) *Fault {
	return &Fault{Reason: reasonMalformed, Code: codeInvalid, Detail: detail}
}

func overLimit(detail string) *Fault {
	return &Fault{Reason: reasonLimit, Code: codeInvalid, Detail: detail}
}

func invalidParams(detail string) *Fault {
	return &Fault{Reason: "invalid_params", Code: codeParams, Detail: detail}
}

func mismatch(detail string) *Fault {
	return &Fault{Reason: "header_mismatch", Code: codeHeaders, Detail: detail}
}

// transport is a fault whose HTTP status alone says it all.
func transport(reason, detail string) *Fault {
	return &Fault{Reason: reason, Code: codeInvalid, Detail: detail}
}

func notJSON(err *strictjson.Error) *Fault {
	switch err.Class {
	case strictjson.OverLimit:
		return overLimit(err.Rule)
	case strictjson.Ambiguous:
		return malformed(err.Rule)
	}
	return &Fault{Reason: reasonMalformed, Code: codeParse, Detail: err.Rule}
}

func refusedURI(bad *refusal) *Fault {
	if bad.limit {
		return overLimit(bad.detail)
	}
	return invalidParams(bad.detail)
}

// cut returns at most n bytes of s, without splitting a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
