// Package config turns the text of a configuration file into validated values
// with all defaults filled in, from which a program assembles the engine. The
// file is defined in proto/cedargate/v1/config.proto.
//
// There is one reading of a file: what two YAML readers could understand
// differently is refused. Every problem is reported at once, with its position.
//
// The package reads no files, apart from the system's time zones, and opens no
// sockets.
package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
)

// A Config is a validated configuration, all defaults filled in. Only Parse
// makes one.
type Config struct {
	GRPC, Admin Address
	Issuers     []Issuer
	APIKeys     []token.APIKey
	Workloads   []token.Workload
	Servers     []Server
	// PolicyPath is the directory of the policies, relative to the
	// configuration file unless it is absolute.
	PolicyPath string
	// OmitBuiltin leaves out the built-in policy cedargate:lifecycle.
	OmitBuiltin bool
	// AuditPath is the file that records are appended to; "stdout" means the
	// standard output.
	AuditPath string
	Log       Log
	// TokenBytes bounds a credential. The other limits are in the rules of
	// each server.
	TokenBytes int
	// TrustedHops is the number of proxies, from the right of x-forwarded-for,
	// whose word is believed; 0 takes the peer's address.
	TrustedHops int

	places    []Problem // of the fields that a restart takes, without a message
	caPlaces  []Problem // of ca_file, by issuer, likewise
	askPlaces []Problem // of the file of introspection, by issuer, likewise
}

// An Address is where to listen: the arguments of net.Listen.
type Address struct {
	Network string // "tcp" or "unix"
	Address string
}

// An Issuer is one authorization server whose tokens are accepted.
type Issuer struct {
	Name       string
	Identifier string // compared byte for byte with "iss"
	JWKSURI    string // "" means discovered
	Algorithms []string
	// GroupsClaims and RolesClaims name claims: literally, or else as a path
	// cut at dots.
	GroupsClaims, RolesClaims []string
	// GroupParents and RoleParents have, for a group or role, those it is in.
	GroupParents, RoleParents map[string][]string
	// AbsentIsNone takes a token without any of them for one of a caller
	// without groups or roles.
	AbsentIsNone bool
	// ScopesClaims and ClientClaims name claims likewise: of each the first
	// that is there counts.
	ScopesClaims, ClientClaims []string
	// AudienceClaim stands for an aud that is absent; "" means none does.
	AudienceClaim string
	// ClientsWithoutSub takes client_id for a sub that is absent.
	ClientsWithoutSub bool
	// ServiceAccounts takes Keycloak's service accounts for agents.
	ServiceAccounts bool
	// Introspection is how the issuer is asked about tokens that are not JWTs;
	// nil: it is not.
	Introspection *Introspection
	// AllowIDTokenShape accepts tokens with at_hash, c_hash or nonce.
	AllowIDTokenShape bool
	// RequireOneOf refuses tokens that have none of these claims, unless it is
	// empty.
	RequireOneOf []string
	// MaxStale is how long keys are used after they were fetched.
	MaxStale time.Duration
	// CAFile has the authorities of the issuer in PEM form, relative to the
	// configuration file unless it is absolute; "" means those of the system.
	CAFile string
	// InsecureHTTP fetches keys over plain http from other than loopback hosts.
	InsecureHTTP bool
	// Required means that a process without the issuer's keys is not ready.
	Required bool
}

// Introspection says how an issuer is asked about opaque tokens.
type Introspection struct {
	Endpoint string
	ClientID string
	// SecretFile or KeyFile has what proves who asks, relative to the
	// configuration file; the other is "".
	SecretFile, KeyFile string
	Cache               time.Duration // how long an answer is used at most; 0: not at all
}

// A Server is one protected MCP server.
type Server struct {
	authz.Server
	// RefuseUndeclared refuses first-level arguments that the tool's schema
	// does not declare.
	RefuseUndeclared bool

	resource *webURL // Resource, read
}

// Log is how the operator's log is written.
type Log struct {
	Text  bool // instead of JSON
	Level slog.Level
}

// A Problem is something wrong with a configuration.
type Problem struct {
	File         string // "" means none: that there are no policies, for instance
	Line, Column int    // from 1; 0 means not known
	Path         string // of the field: "servers[1].tools[0].name"; "" means the file
	Message      string
	Hint         string // what to write instead; "" when not known
	// Advice marks a problem that does not keep the Config from being made.
	Advice bool
}

// String gives position, path and message on one line, without the hint.
func (p Problem) String() string {
	text := p.Message
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.File == "" {
		return text
	}
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, text)
}

// Parse reads the text of the file called name. The problems are distinct and
// sorted by position; the Config is nil if and only if one of them is not
// Advice.
func Parse(name string, text []byte) (*Config, []Problem) {
	r := &reader{file: name}
	var config *Config
	if root := r.document(text); root != nil {
		in := &cedargatev1.Config{}
		r.message("", root, in.ProtoReflect())
		config = r.config(in)
	}
	slices.SortFunc(r.problems, byPosition)
	problems := slices.Compact(r.problems)
	if slices.ContainsFunc(problems, func(p Problem) bool { return !p.Advice }) {
		return nil, problems
	}
	return config, problems
}

// byPosition orders problems by where they stand.
func byPosition(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
		cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
}

// EngineServers gives the servers as the engine takes them.
func (c *Config) EngineServers() []authz.Server {
	servers := make([]authz.Server, len(c.Servers))
	for i, s := range c.Servers {
		servers[i] = s.Server
	}
	return servers
}

// PolicyServers gives the servers as policies are validated with them.
func (c *Config) PolicyServers() []policy.Server {
	servers := make([]policy.Server, len(c.Servers))
	for i, s := range c.Servers {
		servers[i] = s.policyServer()
	}
	return servers
}

// PolicyIssuers gives the issuers as policies are validated with them: those of
// tokens, the one that API keys have for an issuer, and those of workloads.
func (c *Config) PolicyIssuers() []policy.Issuer {
	issuers := make([]policy.Issuer, len(c.Issuers))
	for i, s := range c.Issuers {
		issuers[i] = policy.Issuer{Name: s.Name, Groups: len(s.GroupsClaims) > 0, Roles: len(s.RolesClaims) > 0, AbsentIsNone: s.AbsentIsNone}
	}
	if len(c.APIKeys) > 0 {
		issuers = append(issuers, policy.Issuer{Name: token.KeyIssuer, Groups: true})
	}
	for _, w := range c.Workloads {
		issuers = append(issuers, policy.Issuer{Name: w.Name})
	}
	return issuers
}
