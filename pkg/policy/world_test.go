package policy_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
	"github.com/cedargate/cedargate/pkg/policy"
)

// refundSchema has one argument of each kind that Cedar can type, as servers
// in Python and TypeScript write them, and two that it cannot.
const refundSchema = `{
	"type": "object",
	"properties": {
		"amount":   {"type": "integer", "minimum": 0},
		"currency": {"enum": ["EUR", "USD"]},
		"rate":     {"type": "number"},
		"urgent":   {"type": "boolean", "default": false},
		"note":     {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null},
		"ticket":   {"type": ["string", "null"]},
		"tags":     {"type": "array", "items": {"type": "string"}},
		"lines":    {"type": "array", "items": {"type": "integer"}},
		"opts":     {"$ref": "#/$defs/Options"},
		"either":   {"anyOf": [{"type": "string"}, {"type": "integer"}]},
		"maybe":    {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}
	},
	"required": ["amount", "currency", "ticket"],
	"$defs": {"Options": {"type": "object",
		"properties": {"force": {"type": "boolean"}, "dry-run": {"type": "boolean"}, "level": {"allOf": [{"type": "integer"}]}},
		"required": ["force"]}}
}`

// world is the configuration that most tests share.
func world(files ...policy.File) policy.Config {
	return policy.Config{
		Files: files,
		Issuers: []policy.Issuer{
			{Name: "corp", Groups: true, Roles: true},
			{Name: "spiffe"},
		},
		TrustedHops: true,
		Servers: []policy.Server{
			{Name: "github", Environments: []string{"prod"}, CanonicalURI: canonical, Tools: []policy.Tool{
				{Name: "get_issue", ReadOnly: true},
				{Name: "delete_repo", Destructive: true},
				{Name: "create_issue", InputSchema: []byte(`{"type": "object", "properties": {"title": {"type": "string"}, "amount": {"type": "string"}}}`)},
			}},
			{Name: "payments", Environments: []string{"prod"}, CanonicalURI: canonical, Tools: []policy.Tool{
				{Name: "refund", InputSchema: []byte(refundSchema)},
				{Name: "charge", InputSchema: []byte(`{"type": "object", "properties": {"amount": {"type": "integer"}, "card_no": {"type": "string"}}}`)},
			}},
			{Name: "files", CanonicalURI: canonical, HasDirectory: isDirectory, Tools: []policy.Tool{
				{Name: "read_file", ReadOnly: true, InputSchema: []byte(`{"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}`)},
			}},
			{Name: "tracker", CanonicalURI: canonical, Tools: []policy.Tool{
				{Name: "search", ReadOnly: true},
				{Name: "comment"},
				{Name: "purge", Destructive: true},
			}},
		},
	}
}

// canonical is a small stand-in for the rules of URIs, which are tested where
// they are written.
func canonical(uri string) (string, error) {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return "", errors.New("no scheme")
	}
	if strings.Contains(rest, "/../") {
		return "", errors.New("dot segment")
	}
	return strings.ToLower(scheme) + ":" + strings.ReplaceAll(strings.ReplaceAll(rest, "%c3", "%C3"), "!!", "%21"), nil
}

// isDirectory is a stand-in too.
func isDirectory(uri string) bool { return !strings.ContainsAny(uri, "?#@{") }

func file(name string, text ...string) policy.File {
	return policy.File{Name: name, Text: []byte(strings.Join(text, "\n"))}
}

// load makes a Set of policies in the shared world.
func load(t testing.TB, text ...string) *policy.Set {
	t.Helper()
	return mustLoad(t, world(file("test.cedar", text...)))
}

func mustLoad(t testing.TB, c policy.Config) *policy.Set {
	t.Helper()
	set, problems := policy.Load(c)
	if set == nil {
		t.Fatalf("Load() found problems:\n%s", show(problems))
	}
	return set
}

// show prints problems as an operator sees them.
func show(problems []policy.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		kind := "error"
		if p.Advice {
			kind = "advice"
		}
		fmt.Fprintf(&b, "%s:%d:%d: %s: %s (%s)\n", p.File, p.Line, p.Column, kind, p.Message, p.Hint)
	}
	return b.String()
}

// examples are the policies of cedar/examples.
func examples(t testing.TB) []policy.File {
	t.Helper()
	names, err := filepath.Glob("../../cedar/examples/*.cedar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no example policies: %v", err)
	}
	var files []policy.File
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, policy.File{Name: filepath.Base(name), Text: text})
	}
	return files
}

// A question builds a Request that the schema knows.
type question struct {
	request policy.Request
	config  policy.Config
}

func uid(typ, id string) cedar.EntityUID {
	return cedar.NewEntityUID(cedar.EntityType("MCP::"+typ), cedar.String(id))
}

// ask begins a question of a user of issuer corp, on a Monday at 9.
func ask(user string, groups ...string) *question {
	q := &question{config: world()}
	q.request.Entities = cedar.EntityMap{}
	q.request.Context = cedar.RecordMap{"rpcMethod": cedar.String("")}
	q.request.Principal = q.person("User", "corp", user, groups)
	return q.at(9).scopes()
}

// askAgent begins a question of a workload.
func askAgent(issuer, sub string) *question {
	q := ask("nobody")
	q.request.Principal = q.person("Agent", issuer, sub, nil)
	return q
}

// askAnonymous begins a question of nobody.
func askAnonymous() *question {
	q := ask("nobody")
	q.request.Principal = q.entity(uid("Anonymous", "anonymous"), nil)
	delete(q.request.Context, "token")
	return q
}

func (q *question) entity(id cedar.EntityUID, attributes cedar.RecordMap, parents ...cedar.EntityUID) cedar.EntityUID {
	q.request.Entities[id] = types.Entity{UID: id, Parents: cedar.NewEntityUIDSet(parents...), Attributes: cedar.NewRecord(attributes)}
	return id
}

func (q *question) person(typ, issuer, sub string, groups []string) cedar.EntityUID {
	parents := []cedar.EntityUID{q.entity(uid("Issuer", issuer), nil)}
	for _, g := range groups {
		parents = append(parents, q.entity(uid("Group", issuer+"/"+g), nil, parents[0]))
	}
	return q.entity(uid(typ, issuer+"/"+sub), cedar.RecordMap{"issuer": parents[0], "sub": cedar.String(sub)}, parents...)
}

func (q *question) at(hour int) *question {
	now := time.Date(2026, 11, 23, hour, 0, 0, 0, time.UTC)
	q.request.Context["time"] = cedar.NewRecord(cedar.RecordMap{
		"now": cedar.NewDatetime(now), "zone": cedar.String("UTC"),
		"hour": cedar.Long(hour), "minute": cedar.Long(0), "weekday": cedar.Long(1),
	})
	return q
}

func (q *question) scopes(scopes ...string) *question {
	q.request.Context["token"] = cedar.NewRecord(cedar.RecordMap{
		"issuer": uid("Issuer", "corp"), "audience": cedar.NewSet(), "amr": cedar.NewSet(), "scopes": stringSet(scopes),
	})
	return q
}

func stringSet(list []string) cedar.Set {
	values := make([]cedar.Value, len(list))
	for i, s := range list {
		values[i] = cedar.String(s)
	}
	return cedar.NewSet(values...)
}

func (q *question) actor(sub string) *question {
	q.request.Context["actor"] = q.person("Agent", "corp", sub, nil)
	return q
}

func (q *question) from(address string) *question {
	ip := netip.PrefixFrom(netip.MustParseAddr(address), netip.MustParseAddr(address).BitLen())
	q.request.Context["sourceIp"] = cedar.IPAddr(ip)
	return q
}

func (q *question) server(name string) cedar.EntityUID {
	q.request.Server = name
	var envs []cedar.EntityUID
	for _, s := range q.config.Servers {
		if s.Name != name {
			continue
		}
		for _, e := range s.Environments {
			envs = append(envs, q.entity(uid("Env", e), nil))
		}
	}
	return q.entity(uid("Server", name), nil, envs...)
}

// does asks for an action on the server itself.
func (q *question) does(action, server string) policy.Request {
	q.request.Action, q.request.Resource = action, q.server(server)
	return q.request
}

// calls asks for tools/call.
func (q *question) calls(server, tool, arguments string) policy.Request {
	of := q.server(server)
	attributes := policy.Tool{Destructive: true, OpenWorld: true}
	for _, s := range q.config.Servers {
		for _, t := range s.Tools {
			if s.Name == server && t.Name == tool {
				attributes = t
			}
		}
	}
	r := &q.request
	r.Action, r.Tool = "tools/call", tool
	r.Resource = q.entity(uid("Tool", server+"/"+tool), cedar.RecordMap{
		"name": cedar.String(tool), "server": of,
		"readOnly": cedar.Boolean(attributes.ReadOnly), "destructive": cedar.Boolean(attributes.Destructive),
		"idempotent": cedar.Boolean(attributes.Idempotent), "openWorld": cedar.Boolean(attributes.OpenWorld),
	}, of)
	r.Context["inputResponses"] = cedar.Boolean(false)
	if arguments != "" {
		value, err := strictjson.Parse([]byte(arguments), strictjson.Limits{})
		if err != nil {
			panic(err) // a test wrote it
		}
		r.Arguments = value
	}
	return *r
}

// reads asks for an action on a resource with its directories.
func (q *question) reads(action, server, uri string) policy.Request {
	of := q.server(server)
	parents := []cedar.EntityUID{of}
	scheme, rest, _ := strings.Cut(uri, "://")
	for i := range rest + "/" {
		if (rest + "/")[i] == '/' {
			parents = append(parents, q.entity(uid("ResourceDir", server+"/"+scheme+"://"+(rest + "/")[:i+1]), nil, of))
		}
	}
	q.request.Action = action
	q.request.Resource = q.entity(uid("Resource", server+"/"+uri), cedar.RecordMap{
		"uri": cedar.String(uri), "scheme": cedar.String(scheme), "path": cedar.String(rest), "server": of,
	}, parents...)
	return q.request
}
