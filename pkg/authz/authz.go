// Package authz decides one request: it routes it to a protected server,
// authenticates the caller, asks the policies, and records what was decided.
package authz

import (
	"context"
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
	// AuthorizationServers are the issuer identifiers for the metadata document.
	AuthorizationServers []string
	Scopes               []string // scopes_supported
	Environments         []string
	Location             *time.Location // for hour, minute and weekday
	ForwardToken         bool
	Rules                mcp.Rules
	Tools                map[string]policy.Tool
}

// Config is what an Engine is made from. Every field but Now and TrustedHops
// is required.
type Config struct {
	Servers  []Server
	Tokens   verifier
	Policies *policy.Set
	Records  recorder
	// TokenBytes bounds a credential; 0 means 16384.
	TokenBytes int
	// TrustedHops is the number of proxies, from the right of x-forwarded-for,
	// whose word is believed; 0 takes the peer's address.
	TrustedHops int
	Now         func() time.Time // nil means time.Now
}

// A verifier turns a credential into claims; *token.Verifier is one. The error
// is a *token.Error.
type verifier interface {
	Verify(ctx context.Context, raw string, accept token.Accept) (token.Claims, error)
}

// A recorder keeps records; *audit.Log is one. When Record returns nil, the
// record has reached the operating system.
type recorder interface {
	Record(ctx context.Context, r audit.Record) error
}
