package token

import (
	"errors"
	"strings"
)

// DefaultLimit is the limit of a credential in bytes when none is configured;
// MaxLimit the highest one.
const (
	DefaultLimit = 16 << 10
	MaxLimit     = 48 << 10
)

// ParseAuthorization returns the bearer token of a request (RFC 6750 §2.1).
// lines are the values of its Authorization fields, in order. limit is the
// greatest length of the token in bytes; 0 means DefaultLimit.
//
// The Error is no_credential if there is none, malformed_credential or
// token_limit if it cannot be read in one way only, wrong_scheme if it is for
// another scheme than Bearer. It never holds a part of the credential.
func ParseAuthorization(lines []string, limit int) (raw string, err *Error) {
	raw, dpop, err := parseAuthorization(lines, limit)
	if dpop && err == nil {
		return "", refuse(WrongScheme, "", "the scheme is not Bearer")
	}
	return raw, err
}

// parseAuthorization is ParseAuthorization that takes the scheme DPoP (RFC 9449
// §7.1) too, and tells which of the two it was.
func parseAuthorization(lines []string, limit int) (raw string, dpop bool, err *Error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	line, err := onlyLine(lines)
	if err != nil {
		return "", false, err
	}
	for i := range len(line) {
		if c := line[i]; c < ' ' || c > '~' || c == ',' {
			// A comma is what joins two fields into one line.
			return "", false, malformed(MalformedCredential, "a byte that no bearer token holds")
		}
	}
	scheme, rest, _ := strings.Cut(line, " ")
	raw = strings.TrimLeft(rest, " ")
	dpop = strings.EqualFold(scheme, "DPoP")
	switch known := dpop || strings.EqualFold(scheme, "Bearer"); {
	case strings.Contains(raw, " "):
		return "", dpop, malformed(MalformedCredential, "a blank inside the credential")
	case known && raw == "":
		return "", dpop, &Error{Fault: Missing, Reason: NoCredential}
	case len(raw) > limit:
		return "", dpop, malformed(TokenLimit, "longer than the limit")
	case !known:
		return "", dpop, refuse(WrongScheme, "", "the scheme is neither Bearer nor DPoP")
	}
	return raw, dpop, nil
}

// onlyLine returns the one field that there is, without the blanks around it.
func onlyLine(lines []string) (string, *Error) {
	line := ""
	for _, l := range lines {
		line += strings.Trim(l, " \t")
	}
	switch {
	case line == "":
		return "", &Error{Fault: Missing, Reason: NoCredential}
	case len(lines) > 1:
		return "", malformed(MalformedCredential, "two fields of one name")
	}
	return line, nil
}

func malformed(reason, why string) *Error {
	return &Error{Fault: Malformed, Reason: reason, Err: errors.New(why)}
}

// ParseCredential returns the one credential of a request: a token, with the
// scheme Bearer or DPoP, or an API key in the values of its Authorization fields, or an API key in those of
// the header that the server has for keys, in order; nil if it has none. limit
// is that of ParseAuthorization, and so are the errors: no_credential if there
// is none in either, malformed_credential if there is one in both.
func ParseCredential(authorization, keyHeader []string, limit int) (Credential, *Error) {
	raw, dpop, err := parseAuthorization(authorization, limit)
	key, keyErr := parseKeyHeader(keyHeader, limit)
	switch {
	case keyErr != nil && keyErr.Fault == Missing:
		return Credential{Raw: raw, DPoP: dpop && err == nil}, err
	case err == nil || err.Fault != Missing:
		return Credential{}, malformed(MalformedCredential, "an Authorization field and an API key beside it")
	case keyErr != nil:
		return Credential{}, keyErr
	}
	return Credential{Raw: key, Key: true}, nil
}

// parseKeyHeader returns the API key of a request that has its own header.
func parseKeyHeader(lines []string, limit int) (string, *Error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	line, err := onlyLine(lines)
	if err != nil {
		return "", err
	}
	for i := range len(line) {
		if c := line[i]; c <= ' ' || c > '~' || c == ',' {
			return "", malformed(MalformedCredential, "a byte that no API key holds")
		}
	}
	if len(line) > limit {
		return "", malformed(TokenLimit, "longer than the limit")
	}
	return line, nil
}
