package jwks

import "time"

// The reasons of an Error, as the answer to a caller names them.
const (
	UnknownKey        = "unknown_key"        // the token is at fault
	KeyUnknownYet     = "key_unknown_yet"    // the cool-down forbids to ask the issuer
	IssuerUnavailable = "issuer_unavailable" // the issuer could not be asked, or has no keys
)

// An Error says why there is no key.
type Error struct {
	reason string
	after  time.Duration
	err    error
}

// Error returns the reason and the cause; it holds no part of a token but the
// kid.
func (e *Error) Error() string {
	if e.err == nil {
		return e.reason
	}
	return e.reason + ": " + e.err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// KeyReason returns UnknownKey, KeyUnknownYet or IssuerUnavailable.
func (e *Error) KeyReason() string { return e.reason }

// RetryAfter returns when to try again: whole seconds, at least one, unless the
// reason is UnknownKey.
func (e *Error) RetryAfter() time.Duration { return e.after }
