package token

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// The reasons of an Error, contract §1 and §5. Those of Fault Invalid lead to a
// login, so that no other fault may be given one of them.
const (
	NoCredential = "no_credential" // Missing

	MalformedCredential = "malformed_credential" // Malformed
	TokenLimit          = "token_limit"          // Malformed: a login brings the same token

	WrongScheme        = "wrong_scheme" // Invalid, as all to use_dpop_nonce
	MalformedToken     = "malformed_token"
	UnknownIssuer      = "unknown_issuer"
	IssuerNotForServer = "issuer_not_for_server"
	Algorithm          = "algorithm"
	UnknownKey         = "unknown_key"
	BadSignature       = "bad_signature"
	Expired            = "expired"
	NotYetValid        = "not_yet_valid"
	AudienceMismatch   = "audience_mismatch"
	MissingClaim       = "missing_claim"
	TokenType          = "token_type"
	BoundToken         = "bound_token"
	InactiveToken      = "inactive_token"
	MalformedAPIKey    = "malformed_api_key"
	UnknownAPIKey      = "unknown_api_key"
	APIKeyNotForServer = "api_key_not_for_server"
	InvalidDPoPProof   = "invalid_dpop_proof"
	UseDPoPNonce       = "use_dpop_nonce"

	IssuerUnavailable = "issuer_unavailable" // Ours
	KeyUnknownYet     = "key_unknown_yet"    // Ours
	Deadline          = "deadline"           // Ours
)

// presentedBytes bounds Presented, contract §7.
const presentedBytes = 256

// An Error says why a credential was not accepted. It never holds a token.
type Error struct {
	Fault  Fault
	Reason string // of the closed list of contract §5: "expired", "bad_signature", …
	// Presented is the value that did not fit, for the record only: the aud
	// that came, the iss that came; or the name of the member that is absent,
	// of the wrong JSON type, or not to be there. At most 256 bytes.
	Presented string
	// Nonce is set with use_dpop_nonce: the one to use.
	Nonce string
	// RetryAfter is set with Ours.
	RetryAfter time.Duration
	// Err is the cause, for the operator.
	Err error
}

// Error returns the reason and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// refuse makes the Error of a token that is at fault.
func refuse(reason, presented, format string, args ...any) *Error {
	return &Error{
		Fault: Invalid, Reason: reason, Presented: cut(presented, presentedBytes),
		Err: fmt.Errorf(format, args...),
	}
}

// cut returns at most n bytes of s, whole runes only.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
