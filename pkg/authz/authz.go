// Package authz decides one request: it finds the protected server, reads what
// is asked, authenticates the caller, asks the policies, and records what was
// decided. [Engine.Check] is its table of contents.
//
// # Invariants
//
// The invariants of the design, and the tests that hold them, each of which
// bears its number:
//
//  1. The zero value of every decision denies: TestInvariant01ZeroValuesDeny
//     here and in extauthz, where one function makes every response.
//  2. Every path through Check is recorded exactly once, and nothing is allowed
//     without a record: TestInvariant02RecordedExactlyOnce.
//  3. Check never answers with a gRPC error: TestInvariant03NoGRPCError in
//     extauthz.
//  4. Nothing is allowed after the context is done, and the answer leaves
//     before the caller's deadline: TestInvariant04Deadline.
//  5. One strict reading: TestInvariant05OneStrictReading.
//  6. Path, host and headers are the caller's to choose:
//     TestInvariant06CallerChoosesNothing.
//  7. A token is good for its issuer's keys, its algorithms and this server's
//     audience alone: TestInvariant07TokenForThisServer.
//  8. The token reaches nothing: TestInvariant08NoTokenAnywhere.
//  9. A forbid that errs denies: TestInvariant09ForbidThatErrsDenies. That no
//     value of an argument is dropped is held by pkg/policy's tests.
//  10. One request sees one set of policies: TestInvariant10ImmutableSets. Live
//     reload, which the policy issue adds, completes it.
//  11. No default deny has an exception beyond three: TestInvariant11Exceptions.
//  12. What an unauthenticated caller sends is cheap:
//     TestInvariant12CheapRefusals here, the cool-down tests of pkg/jwks, and
//     TestFloodOfRandomTokens of pkg/token.
//  13. Authentication comes first, and the layers are independent:
//     TestInvariant13TwoLayers.
package authz

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

// A Server is one protected MCP server, all defaults filled in.
type Server struct {
	Name      string
	Resource  string   // RFC 9728 resource identifier, as configured
	Audiences []string // compared with "aud" by equality
	Hosts     []string // lower case; with and without the scheme's default port
	Paths     []string // compared byte for byte
	Issuers   []string // configured names of the issuers
	// APIKeys are the names of the API keys that are accepted, as bearer tokens
	// and in KeyHeader; "" means that there is no such header.
	APIKeys   []string
	KeyHeader string // lower case
	// Anonymous lets callers without a credential be decided by the policies.
	Anonymous bool
	// Workloads are the names of the workloads that need no token.
	Workloads []string
	// RequireDPoP takes only tokens that are bound to a DPoP key; DPoPNonce wants
	// a nonce of ours in proofs.
	RequireDPoP, DPoPNonce bool
	// AuthorizationServers are the issuer identifiers for the metadata document;
	// a server without any has none.
	AuthorizationServers []string
	Scopes               []string // scopes_supported
	// ScopeImplies has, for a scope, those that it includes; policies see them
	// all, and what these include.
	ScopeImplies map[string][]string
	// Intersect permits what a delegated token asks for only if the policies
	// permit it to the subject and to the actor.
	Intersect    bool
	Environments []string
	Location     *time.Location // for hour, minute and weekday
	ForwardToken bool
	Rules        mcp.Rules
	Tools        map[string]policy.Tool
}

// Accept is what s accepts of a credential.
func (s Server) Accept() token.Accept {
	return token.Accept{
		Issuers: s.Issuers, Audiences: s.Audiences, Keys: s.APIKeys, Anonymous: s.Anonymous,
		Workloads: s.Workloads, RequireDPoP: s.RequireDPoP, DPoPNonce: s.DPoPNonce,
	}
}

// Config is what an Engine is made from. Servers, Tokens, Policies and Records
// are required.
type Config struct {
	Servers  []Server
	Tokens   verifier
	Policies *policy.Set
	Records  recorder
	// TokenBytes bounds a credential; 0 means 16384.
	TokenBytes int
	// TrustedHops is the number of addresses, from the right of
	// x-forwarded-for, whose last one is believed to be the client's; 0 takes
	// the address of the proxy's peer.
	TrustedHops int
	Now         func() time.Time // nil means time.Now
	Log         *slog.Logger     // for the operator; nil discards
}

// A verifier turns a credential into claims; *token.Verifier is one. The error
// is a *token.Error.
type verifier interface {
	Verify(ctx context.Context, c token.Credential, accept token.Accept) (token.Claims, error)
}

// A recorder keeps records; *audit.Log is one. When Record returns nil, the
// record has reached the operating system. A record that was handed over is
// written even if ctx ends before that.
type recorder interface {
	Record(ctx context.Context, r audit.Record) error
}

// A Request is one HTTP request about which the proxy asks.
type Request struct {
	HTTP mcp.HTTP
	Host string
	Path string // with the query, as the proxy will send it
	// Server is the protected server that the proxy's configuration names for
	// the route; Named tells an empty name from none.
	Server string
	Named  bool
	// Source is the address of the proxy's peer; "" for a unix socket.
	Source string
	// Peer is what the proxy knows of the TLS certificate of its peer; what a
	// header says of one is read from HTTP.
	Peer token.Peer
}

// A Result is the answer to a Request. The zero Result denies.
type Result struct {
	Allowed bool
	// Status, Header and Body answer the client of a request that is not
	// allowed.
	Status int
	Header []mcp.Field
	Body   []byte
	// Upstream are the headers to set, and Remove the names of those to remove,
	// on the way to the server of a request that is allowed. No name is in both.
	Upstream []mcp.Field
	Remove   []string
	// Record is what was recorded.
	Record audit.Record
}

// An Engine decides requests. It is immutable and safe for concurrent use.
type Engine struct {
	Config
	routes routes
}

// New makes an Engine of c. It fails when c is incomplete or two servers claim
// one place.
func New(c Config) (*Engine, error) {
	if c.Tokens == nil || c.Policies == nil || c.Records == nil {
		return nil, fmt.Errorf("authz: tokens, policies and records are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.TokenBytes == 0 {
		c.TokenBytes = 16384
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	r, err := newRoutes(c.Servers)
	if err != nil {
		return nil, fmt.Errorf("authz: %w", err)
	}
	return &Engine{Config: c, routes: r}, nil
}
