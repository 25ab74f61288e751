package config

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"time"
	_ "time/tzdata" // so that time_zone means the same on every machine

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
)

// maxToolName is the longest name of a tool that mcp.Parse reads, in bytes.
const maxToolName = 1024

// servers reads the protected servers.
func (r *reader) servers(in []*cedargatev1.Server, issuers []Issuer, rules mcp.Rules) []Server {
	r.notEmpty("servers", "names no server, nothing could be allowed")
	var names []string
	servers := make([]Server, len(in))
	for i, s := range in {
		servers[i] = r.server(index("servers", i), s, issuers, rules)
		names = append(names, s.GetName())
	}
	r.plainNames("servers", names)
	r.claims(servers)
	return servers
}

// server reads one protected server.
func (r *reader) server(path string, in *cedargatev1.Server, issuers []Issuer, rules mcp.Rules) Server {
	rules.Versions = r.versions(path+".protocol_versions", in.GetProtocolVersions())
	rules.ResourceNames = in.GetResourceNames()
	rules.EncodedSlash = r.oneOf(path+".encoded_slash", in.GetEncodedSlash(), "refuse", "segment") == 1
	r.each(path+".environments", in.GetEnvironments(), anything)
	r.scopes(path+".scopes_supported", in.GetScopesSupported())
	s := Server{
		RefuseUndeclared: r.oneOf(path+".undeclared", in.GetUndeclared(), "allow", "refuse") == 1,
		Server: authz.Server{
			Name:         in.GetName(),
			Resource:     in.GetResource(),
			Issuers:      in.GetIssuers(),
			APIKeys:      in.GetApiKeys(),
			KeyHeader:    r.keyHeader(path, in),
			Workloads:    in.GetWorkloads(),
			Anonymous:    in.GetAnonymous(),
			Scopes:       in.GetScopesSupported(),
			ScopeImplies: r.scopeImplies(path+".scope_implies", in.GetScopeImplies()),
			Intersect:    r.oneOf(path+".delegation", in.GetDelegation(), "principal", "intersect") == 1,
			Environments: in.GetEnvironments(),
			Location:     r.location(path+".time_zone", in.GetTimeZone()),
			ForwardToken: in.GetForwardToken(),
			Rules:        rules,
			Tools:        r.tools(path+".tools", in.GetTools()),
		},
	}
	r.place(path, in, &s)
	r.bound(path, in, &s)
	if !r.has(path+".api_keys") && !r.has(path+".workloads") {
		r.required(path + ".issuers")
	}
	accepted := r.accepted(path+".issuers", in.GetIssuers(), issuers)
	for _, issuer := range accepted {
		s.AuthorizationServers = append(s.AuthorizationServers, issuer.Identifier)
	}
	r.audiences(path+".audiences", in.GetAudiences(), accepted)
	return s
}

// place fills in where the server is: resource, audiences, hosts and paths,
// the latter three by default those of the resource.
func (r *reader) place(path string, in *cedargatev1.Server, s *Server) {
	r.required(path + ".resource")
	scheme := "https"
	if u := r.resource(path+".resource", in.GetResource()); u != nil {
		s.resource, scheme = u, u.Scheme
		s.Audiences = []string{u.text, otherSlash(u.text)}
		s.Hosts = hosts(u.Host, scheme)
		s.Paths = spellings(u.path())
	}
	r.each(path+".audiences", in.GetAudiences(), anything)
	r.each(path+".hosts", in.GetHosts(), hostProblem)
	r.each(path+".paths", in.GetPaths(), pathProblem)
	if len(in.GetAudiences()) > 0 {
		s.Audiences = in.GetAudiences()
	}
	if len(in.GetHosts()) > 0 {
		s.Hosts = nil
		for _, host := range in.GetHosts() {
			if host != "" {
				s.Hosts = append(s.Hosts, hosts(host, scheme)...)
			}
		}
		slices.Sort(s.Hosts)
		s.Hosts = slices.Compact(s.Hosts)
	}
	if len(in.GetPaths()) > 0 {
		s.Paths = in.GetPaths()
	}
}

// spellings gives the paths that mean the same resource as path.
func spellings(path string) []string {
	if path == "/" {
		return []string{path}
	}
	return []string{path, otherSlash(path)}
}

// resource reads a resource identifier, RFC 9728 §1.2.
func (r *reader) resource(path, text string) *webURL {
	u := r.webURL(path, text)
	if u == nil {
		return nil
	}
	r.noQuery(path, u)
	if message, hint := pathProblem(u.path()); message != "" {
		r.refuse(path, "its path "+message, hint)
	}
	if u.plain() {
		r.advise(path, "is plain http: tokens can be read on the way", "use https")
	}
	if spelling := u.spelling(); spelling != text {
		r.advise(path, fmt.Sprintf("clients write it %q, and compare it byte for byte", spelling), "write it so")
	}
	return u
}

// accepted finds the issuers that a server names.
func (r *reader) accepted(path string, names []string, issuers []Issuer) (accepted []Issuer) {
	r.notEmpty(path, "names no issuer, nobody could be authenticated")
	var known []string
	for _, issuer := range issuers {
		known = append(known, issuer.Name)
	}
	r.each(path, names, func(name string) (message, hint string) {
		i := slices.Index(known, name)
		if i < 0 {
			return fmt.Sprintf("unknown issuer %q", name), suggestion(name, known)
		}
		accepted = append(accepted, issuers[i])
		return "", ""
	})
	return accepted
}

// audiences advises on audiences that ID tokens may carry too: those are
// client ids, which are seldom URLs.
func (r *reader) audiences(path string, audiences []string, accepted []Issuer) {
	for i, audience := range audiences {
		if u, err := url.Parse(audience); audience == "" || err == nil && u.Scheme != "" && u.Host != "" {
			continue
		}
		for _, issuer := range accepted {
			if len(issuer.RequireOneOf) == 0 {
				r.advise(index(path, i), fmt.Sprintf("%q is no URL: ID tokens of issuer %s may have this audience", audience, issuer.Name),
					"set require_one_of for the issuer")
			}
		}
	}
}

// scopeToken is that of RFC 6749 §3.3. It ends in a quoted challenge.
var scopeToken = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]+$`)

func (r *reader) scopes(path string, scopes []string) {
	r.each(path, scopes, func(scope string) (message, hint string) {
		if !scopeToken.MatchString(scope) {
			return fmt.Sprintf("%q is not one scope: visible ASCII without \" and \\", scope), ""
		}
		return "", ""
	})
	if i := slices.Index(scopes, "offline_access"); i >= 0 {
		r.advise(index(path, i), "offline_access asks for refresh tokens, it is no scope of a resource", "take it out")
	}
}

// location loads a time zone.
func (r *reader) location(path, name string) *time.Location {
	location, err := time.LoadLocation(name) // "" means UTC
	if err != nil || name == "Local" {
		r.refuse(path, fmt.Sprintf("unknown time zone %q", name), "write a name of the IANA database, such as Europe/Berlin")
	}
	return location
}

// versions checks protocol versions: known ones, or later ones.
func (r *reader) versions(path string, versions []string) []string {
	known := mcp.Versions()
	r.each(path, versions, func(version string) (message, hint string) {
		_, err := time.Parse(time.DateOnly, version)
		if err != nil || version < slices.Max(known) && !slices.Contains(known, version) {
			return fmt.Sprintf("unknown protocol version %q", version), suggestion(version, known)
		}
		return "", ""
	})
	return versions
}

// tools reads the catalogue of a server.
func (r *reader) tools(path string, in []*cedargatev1.Tool) map[string]policy.Tool {
	var names []string
	tools := make(map[string]policy.Tool, len(in))
	for i, t := range in {
		at := index(path, i)
		names = append(names, t.GetName())
		if len(t.GetName()) > maxToolName {
			r.refuse(at+".name", fmt.Sprintf("has %d bytes, want at most %d", len(t.GetName()), maxToolName), "")
		}
		if t.GetReadOnly() && t.GetDestructive() {
			r.refuse(at+".destructive", "a tool that is read_only destroys nothing", "take one of them out")
		}
		tools[t.GetName()] = policy.Tool{
			Name:     t.GetName(),
			ReadOnly: t.GetReadOnly(),
			// The hint means something only for tools that are not read-only.
			Destructive: !t.GetReadOnly() && orTrue(t.Destructive),
			Idempotent:  t.GetIdempotent(),
			OpenWorld:   orTrue(t.OpenWorld),
			InputSchema: r.inputSchema(at+".input_schema", t.GetInputSchema()),
		}
	}
	r.names(path, names)
	return tools
}

// claims reports pairs of host and path that a server before claims too, for
// its endpoint or for its metadata document.
func (r *reader) claims(servers []Server) {
	owners := map[[2]string]int{}
	for i, s := range servers {
		reported := map[int]bool{}
		for _, pair := range claimed(s) {
			owner, taken := owners[pair]
			if !taken {
				owners[pair] = i
			}
			if !taken || owner == i || reported[owner] {
				continue
			}
			reported[owner] = true
			r.refuse(index("servers", i), fmt.Sprintf("server %q claims host %s with path %s, which belong to server %q",
				s.Name, pair[0], pair[1], servers[owner].Name), "a request must belong to one server")
		}
	}
}

// claimed lists the pairs of host and path that mean s. Its metadata document
// is found under both spellings of the resource, whatever its paths are.
func claimed(s Server) (pairs [][2]string) {
	paths := s.Paths
	if s.resource != nil {
		paths = slices.Concat(paths, spellings(s.resource.path()))
	}
	for _, host := range s.Hosts {
		for _, path := range paths {
			pairs = append(pairs, [2]string{host, path})
		}
	}
	return pairs
}

// policyServer gives what policies need to know about s.
func (s Server) policyServer() policy.Server {
	tools := make([]policy.Tool, 0, len(s.Tools))
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		tools = append(tools, s.Tools[name])
	}
	return policy.Server{
		Name:             s.Name,
		Environments:     s.Environments,
		Tools:            tools,
		RefuseUndeclared: s.RefuseUndeclared,
		CanonicalURI: func(uri string) (string, error) {
			// A policy may name a template, as completion/complete does.
			u, err := mcp.CanonicalTemplate(uri, s.Rules)
			return u.Canonical, err
		},
		HasDirectory: func(uri string) bool {
			u, err := mcp.CanonicalURI(uri, s.Rules)
			return err == nil && slices.Contains(u.Dirs, uri)
		},
	}
}
