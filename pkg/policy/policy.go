// Package policy decides: it turns a schema and policy files into an immutable
// Set, and asks the Set whether a principal may do a thing.
//
// Load validates every policy strictly against the schema in cedar/, and types
// the arguments of tools that a policy reads by the input_schema of the tools
// it can match. Decide hands the policies whose scope matches to Cedar, after
// it has checked that the arguments they read are what they were validated
// with. A forbid that errs denies; a permit that errs does not count.
//
// # What a Request must bring
//
// Entities holds the principal, the resource, context.client and
// context.actor, each with all its ancestors. An entity that is missing is in
// nothing, and a forbid on what it should be in does not fire; so a Request
// without its principal or resource is denied. Actions come from the schema.
//
//	MCP::User, Agent   "<issuer>/<sub>"; in its Groups, Roles and Issuer;
//	                   issuer, sub, email? or spiffeId?; tags: claims as sets of strings
//	MCP::Anonymous     "anonymous"
//	MCP::Client        "<issuer>/<client id>"; in its Groups; clientId
//	MCP::Group, Role   "<issuer>/<value>"; in the Groups and Roles it belongs to, and its Issuer
//	MCP::Issuer        "<issuer>"
//	MCP::Server        "<server>"; in its Envs
//	MCP::Env           "<environment>"
//	MCP::Tool          "<server>/<tool>"; in its Server;
//	                   name, server, readOnly, destructive, idempotent, openWorld
//	MCP::Prompt        "<server>/<prompt>"; in its Server; name, server
//	MCP::Resource      "<server>/<canonical URI>"; in every ResourceDir of its path, and its Server;
//	                   uri, scheme, host?, path, server
//	MCP::ResourceDir   "<server>/<canonical prefix that ends in />"; in its Server. It may be
//	                   left out of Entities: its resources are in the Server themselves
//
// Context holds time and rpcMethod, for tools/call also inputResponses, and
// sourceIp, token, client, actor and protocolVersion as far as there are any;
// the schema gives their types. Set.Validate tells whether a Request conforms.
package policy

import (
	"github.com/cedar-policy/cedar-go"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// A File is one policy file.
type File struct {
	Name string // as an operator finds it
	Text []byte
}

// Config is what a Set is made from.
type Config struct {
	Files   []File
	Servers []Server
	Issuers []Issuer
	// OmitBuiltin leaves out the built-in policy cedargate:lifecycle.
	OmitBuiltin bool
	// TrustedHops says that the operator has set trusted_hops.
	TrustedHops bool
}

// A Server is what policies need to know about one protected server.
type Server struct {
	Name         string
	Environments []string
	Tools        []Tool
	// RefuseUndeclared refuses first-level arguments that the tool's schema
	// does not declare.
	RefuseUndeclared bool
	// CanonicalURI gives the canonical spelling of a resource literal, or says
	// why it has none.
	CanonicalURI func(uri string) (string, error)
	// HasDirectory tells whether resources can be in the directory of this
	// canonical spelling; nil means in any.
	HasDirectory func(uri string) bool
}

// A Tool is one entry of the catalogue.
type Tool struct {
	Name                                         string
	ReadOnly, Destructive, Idempotent, OpenWorld bool
	InputSchema                                  []byte // JSON Schema; nil: not given
}

// An Issuer is what policies need to know about one issuer.
type Issuer struct {
	Name          string
	Groups, Roles bool // groups_claims, roles_claims are configured
	// AbsentIsNone says that a token without these claims is of a caller
	// without groups and roles.
	AbsentIsNone bool
}

// A Problem is something wrong with a policy file.
type Problem struct {
	File         string
	Line, Column int // 0: not known
	Message      string
	Hint         string // what to write instead; "" when not known
	// Advice marks a problem that does not keep the Set from being made.
	Advice bool
}

// A Request is one question to a Set.
type Request struct {
	Principal, Resource cedar.EntityUID
	Action              string
	// Entities holds principal, resource, client, actor and all their
	// ancestors. It is not changed.
	Entities cedar.EntityMap
	// Context is the context without args. It is not changed.
	Context cedar.RecordMap
	// Server is the name of the protected server.
	Server string
	// Tool and Arguments are set for tools/call.
	Tool      string
	Arguments strictjson.Value
	// SourceUnknown says that the source address could not be read: the call
	// is refused if a policy that can match reads context.sourceIp.
	SourceUnknown bool
	// AbsentGroups and AbsentRoles are claims with groups and roles that the
	// token of the principal does not state, though it may have some.
	AbsentGroups, AbsentRoles []string
	// ActorAbsentGroups and ActorAbsentRoles are those of context.actor.
	ActorAbsentGroups, ActorAbsentRoles []string
	// TemplatePrefix is "<server>/<prefix>" when the resource is a URI template
	// with an expression: every resource below it is meant (contract §3).
	TemplatePrefix string
}

// A Decision is the answer to a Request. The zero Decision denies.
type Decision struct {
	Allowed bool
	// Reason is permitted, denied_by_policy, no_permit, policy_error,
	// argument_type, argument_missing, argument_case, argument_undeclared,
	// groups_incomplete or source_unknown.
	Reason string
	// Policies are the ids of the policies that decided, or of the one that
	// depends on Absent; Errors those of the
	// policies that erred; both sorted.
	Policies, Errors []string
	// Message is the @deny_message of the first deciding or erring forbid in
	// the order of ids; for groups_incomplete it names the claims and the
	// policy; "" when there is none.
	Message string
	// Absent are the claims of groups_incomplete, by name.
	Absent []string
	// Argument, ExpectedType and Readers are set for argument_*: the path as
	// policies write it, the type it was validated with, and the ids of the
	// policies that read it.
	Argument, ExpectedType string
	Readers                []string
}

// An Info describes one loaded policy, for people.
type Info struct {
	ID, File     string // File "" for the built-in one
	Line, Column int
	Forbid       bool
	Text         string // the policy as it was written, annotations included
}
