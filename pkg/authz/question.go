package authz

import (
	"maps"
	"net/netip"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

// fixed holds what every question to one server shares: the entity of the
// server and those above it.
type fixed struct {
	server   cedar.EntityUID
	entities cedar.EntityMap
}

func newFixed(s Server) fixed {
	f := fixed{server: uid("Server", s.Name), entities: cedar.EntityMap{}}
	var above []cedar.EntityUID
	for _, name := range s.Environments {
		env := uid("Env", name)
		above = append(above, env)
		f.entities[env] = cedar.Entity{UID: env}
	}
	f.entities[f.server] = cedar.Entity{UID: f.server, Parents: cedar.NewEntityUIDSet(above...)}
	return f
}

// A question is what all questions of one check share.
type question struct {
	site      *site
	principal cedar.EntityUID
	entities  cedar.EntityMap // of the caller and the server
	context   cedar.RecordMap
	source    source
	who       token.Claims
}

// newQuestion puts who and the circumstances of call into Cedar's words
// (contract §4).
func newQuestion(s *site, who token.Claims, call mcp.Call, src source, now time.Time) question {
	q := question{site: s, entities: maps.Clone(s.fixed.entities), source: src, who: who}
	q.principal = q.addCaller(who)
	q.context = cedar.RecordMap{
		"time":      timeRecord(now, s.Location),
		"rpcMethod": cedar.String(call.Method),
	}
	if who.Kind != token.Anonymous {
		q.context["token"] = tokenRecord(who, s.implied(who.Scopes))
	}
	if who.Client != "" {
		client := uid("Client", who.Issuer+"/"+who.Client)
		q.entities[client] = cedar.Entity{UID: client, Attributes: record(cedar.RecordMap{"clientId": cedar.String(who.Client)})}
		q.context["client"] = client
	}
	if who.Actor != nil {
		q.context["actor"] = q.addParty("Agent", who.Actor.Issuer, who.Actor.Subject, nil, nil)
	}
	if call.Version != "" {
		q.context["protocolVersion"] = cedar.String(call.Version)
	}
	if src.addr.IsValid() {
		q.context["sourceIp"] = cedar.IPAddr(netip.PrefixFrom(src.addr, src.addr.BitLen()))
	}
	return q
}

// ask is the request to the policies for one thing that must be permitted.
func (q question) ask(what mcp.Question, call mcp.Call) policy.Request {
	r := policy.Request{
		Principal:     q.principal,
		Action:        what.Action,
		Resource:      q.site.fixed.server,
		Entities:      q.entities,
		Context:       q.context,
		Server:        q.site.Name,
		SourceUnknown: q.source.unknown,
	}
	var entity cedar.Entity
	switch what.Target {
	case mcp.OnTool:
		entity = q.site.tool(what.Name)
		r.Tool, r.Arguments = what.Name, call.Arguments
		r.Context = maps.Clone(q.context)
		r.Context["inputResponses"] = cedar.Boolean(call.InputResponses)
	case mcp.OnPrompt:
		entity = q.site.prompt(what.Name)
	case mcp.OnResource:
		entity = q.site.resource(what.URI)
		if what.URI.Template {
			r.TemplatePrefix = q.site.Name + "/" + what.URI.Prefix
		}
	default:
		return r
	}
	r.Resource = entity.UID
	r.Entities = maps.Clone(q.entities)
	r.Entities[entity.UID] = entity
	return r
}

// addCaller adds the principal and everything above it. The claims are tags;
// groups and roles are also parents, so that policies find them in the scope.
func (q question) addCaller(who token.Claims) cedar.EntityUID {
	if who.Kind == token.Anonymous {
		anonymous := uid("Anonymous", "anonymous")
		q.entities[anonymous] = cedar.Entity{UID: anonymous}
		return anonymous
	}
	var above []cedar.EntityUID
	for _, name := range who.Groups {
		above = append(above, q.addAbove("Group", who.Issuer+"/"+name))
	}
	for _, name := range who.Roles {
		above = append(above, q.addAbove("Role", who.Issuer+"/"+name))
	}
	kind := "User"
	if who.Kind == token.Agent {
		kind = "Agent"
	}
	principal := q.addParty(kind, who.Issuer, who.Subject, above, who.Tags)
	if kind == "User" && who.Email != "" {
		e := q.entities[principal]
		attributes := e.Attributes.Map()
		attributes["email"] = cedar.String(who.Email)
		e.Attributes = record(attributes)
		q.entities[principal] = e
	}
	return principal
}

// addParty adds a User or an Agent of an issuer.
func (q question) addParty(kind, issuer, subject string, above []cedar.EntityUID, tags map[string][]string) cedar.EntityUID {
	party := uid(kind, issuer+"/"+subject)
	from := q.addAbove("Issuer", issuer)
	e := cedar.Entity{
		UID:        party,
		Parents:    cedar.NewEntityUIDSet(append(above, from)...),
		Attributes: record(cedar.RecordMap{"issuer": from, "sub": cedar.String(subject)}),
	}
	if len(tags) > 0 {
		all := make(cedar.RecordMap, len(tags))
		for name, values := range tags {
			all[cedar.String(name)] = set(values)
		}
		e.Tags = record(all)
	}
	if _, there := q.entities[party]; !there { // an actor that is the principal keeps the principal's claims
		q.entities[party] = e
	}
	return party
}

func (q question) addAbove(kind, id string) cedar.EntityUID {
	above := uid(kind, id)
	q.entities[above] = cedar.Entity{UID: above}
	return above
}

// tool makes the entity of a tool that may or may not exist: without it a
// forbid on its server would not match. What the catalogue does not list has
// the hints that the specification assumes (cedar.md §4.1).
func (s *site) tool(name string) cedar.Entity {
	t, listed := s.Tools[name]
	if !listed {
		t = policy.Tool{Destructive: true, OpenWorld: true}
	}
	return cedar.Entity{
		UID:     uid("Tool", s.Name+"/"+name),
		Parents: cedar.NewEntityUIDSet(s.fixed.server),
		Attributes: record(cedar.RecordMap{
			"name":        cedar.String(name),
			"server":      s.fixed.server,
			"readOnly":    cedar.Boolean(t.ReadOnly),
			"destructive": cedar.Boolean(t.Destructive),
			"idempotent":  cedar.Boolean(t.Idempotent),
			"openWorld":   cedar.Boolean(t.OpenWorld),
		}),
	}
}

func (s *site) prompt(name string) cedar.Entity {
	return cedar.Entity{
		UID:        uid("Prompt", s.Name+"/"+name),
		Parents:    cedar.NewEntityUIDSet(s.fixed.server),
		Attributes: record(cedar.RecordMap{"name": cedar.String(name), "server": s.fixed.server}),
	}
}

// resource is in every directory of its URI, so that policies match whole path
// segments.
func (s *site) resource(u mcp.URI) cedar.Entity {
	above := []cedar.EntityUID{s.fixed.server}
	for _, dir := range u.Dirs {
		above = append(above, uid("ResourceDir", s.Name+"/"+dir))
	}
	attributes := cedar.RecordMap{
		"uri":    cedar.String(u.Canonical),
		"scheme": cedar.String(u.Scheme),
		"path":   cedar.String(u.Path),
		"server": s.fixed.server,
	}
	if u.Host != "" {
		attributes["host"] = cedar.String(u.Host)
	}
	return cedar.Entity{
		UID:        uid("Resource", s.Name+"/"+u.Canonical),
		Parents:    cedar.NewEntityUIDSet(above...),
		Attributes: record(attributes),
	}
}

func timeRecord(now time.Time, zone *time.Location) cedar.Record {
	local := now.In(zone)
	weekday := int64(local.Weekday())
	if weekday == 0 {
		weekday = 7 // Monday is 1, Sunday 7
	}
	return record(cedar.RecordMap{
		"now":     cedar.NewDatetime(now.UTC()),
		"zone":    cedar.String(zone.String()),
		"hour":    cedar.Long(local.Hour()),
		"minute":  cedar.Long(local.Minute()),
		"weekday": cedar.Long(weekday),
	})
}

// tokenRecord is context.token: scopes with those that they include.
func tokenRecord(who token.Claims, scopes []string) cedar.Record {
	r := cedar.RecordMap{
		"issuer":   uid("Issuer", who.Issuer),
		"audience": set(who.Audience),
		"scopes":   set(scopes),
		"amr":      set(who.AMR),
	}
	for name, at := range map[cedar.String]time.Time{"issuedAt": who.IssuedAt, "expiresAt": who.ExpiresAt, "authTime": who.AuthTime} {
		if !at.IsZero() {
			r[name] = cedar.NewDatetime(at)
		}
	}
	if who.ACR != "" {
		r["acr"] = cedar.String(who.ACR)
	}
	return record(r)
}

func uid(kind, id string) cedar.EntityUID {
	return cedar.NewEntityUID(cedar.EntityType("MCP::"+kind), cedar.String(id))
}

func record(m cedar.RecordMap) cedar.Record { return cedar.NewRecord(m) }

func set(values []string) cedar.Set {
	out := make([]cedar.Value, len(values))
	for i, v := range values {
		out[i] = cedar.String(v)
	}
	return cedar.NewSet(out...)
}
