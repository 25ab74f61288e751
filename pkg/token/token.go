// Package token tells who asks: it turns the credential of a request into
// verified Claims, or says what is wrong with it.
package token

import (
	"context"
	"crypto"
	"time"
)

// Kind is the kind of a principal.
type Kind byte

// The kinds of a principal. The zero Kind is nobody.
const (
	Nobody    Kind = iota
	User           // a person: MCP::User
	Agent          // a client that got the token for itself: MCP::Agent
	Anonymous      // a caller without a credential: MCP::Anonymous
)

// Claims is what a verified credential says. The zero Claims is nobody.
type Claims struct {
	Kind     Kind
	Issuer   string // the configured name of the issuer, not its URL
	Subject  string
	Client   string // OAuth client id; "" when the token names none
	Audience []string
	Scopes   []string
	Groups   []string // values of groups_claims, parents of paths included
	Roles    []string // values of roles_claims
	Email    string   // only when email_verified is true
	ID       string   // jti, else "sha256:" and 16 hex digits of the token's hash

	IssuedAt, ExpiresAt, NotBefore, AuthTime time.Time // zero: not claimed
	ACR                                      string
	AMR                                      []string

	// Bound is what the token is bound to; Verify has checked it.
	Bound Binding
	// Actor is the outermost act claim (RFC 8693 §4.1), nil when there is none.
	Actor *Actor
	// Tags are all claims, each as a set of strings (cedar.md §4.1, 4).
	Tags map[string][]string
	// AbsentGroups and AbsentRoles name the configured claims, none of which the
	// token has, when the issuer does not say that this means none: the caller
	// may have groups that the token does not state (contract §4).
	AbsentGroups, AbsentRoles []string
	// Unreadable names the claims that policies would read and that are not in
	// a form that can be read; the caller is authenticated, the call is not to
	// be allowed (contract §5, claim_unreadable).
	Unreadable []string
}

// An Actor is the party that acts for the subject.
type Actor struct {
	Issuer  string // configured name
	Subject string
	// AbsentGroups and AbsentRoles are those of Claims: an act claim says no
	// more than who the actor is.
	AbsentGroups, AbsentRoles []string
}

// Fault says whose fault an Error is.
type Fault byte

// The faults. The zero Fault is ours, so that a forgotten one is never a
// reason to send the caller to a login.
const (
	Ours      Fault = iota // 503
	Invalid                // the token is at fault: 401
	Malformed              // the credential cannot be read: 400
	Missing                // there is no credential: 401 without an error
)

// A Credential is what a request brings to say who asks. The zero Credential
// is none. ParseCredential makes one from the fields that hold a token or a key;
// the rest is for whoever knows the request to fill in.
type Credential struct {
	// Raw is an access token or an API key; "" is none.
	Raw string
	// Key says that Raw came in the header for API keys, and is nothing else.
	Key bool
	// DPoP says that Raw came with the scheme DPoP (RFC 9449 §7.1).
	DPoP bool

	// Proofs are the values of the DPoP header fields, in order.
	Proofs []string
	// Method is that of the HTTP request, URL that of the endpoint as it is
	// configured: proofs are for both.
	Method, URL string
	Peer        Peer
}

// Accept is what one protected server accepts.
type Accept struct {
	Issuers   []string // configured names
	Audiences []string // compared by equality, contract §5
	Keys      []string // names of API keys
	Anonymous bool     // callers without a credential
	Workloads []string // names of workloads
	// RequireDPoP refuses tokens that are not bound to a DPoP key; DPoPNonce
	// refuses proofs without a nonce of ours.
	RequireDPoP, DPoPNonce bool
}

// Keys gives the keys of one issuer. *jwks.Source is one. An error that has the
// methods KeyReason() string and RetryAfter() time.Duration says which reason
// the caller is answered with; every other error is issuer_unavailable.
//
// Keys that also have the method Epoch() uint64 tell when they change: what was
// verified is remembered as long as the number stays the same; 0 says that there
// are no keys. Without it every token is verified each time.
type Keys interface {
	// Key returns the key that verifies signatures of alg made with the key
	// named kid; kid "" asks for the only key that fits alg.
	Key(ctx context.Context, kid, alg string) (crypto.PublicKey, error)
}
