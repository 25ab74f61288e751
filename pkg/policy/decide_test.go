package policy_test

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/policy"
)

// overflow errs when it is evaluated, and passes validation: arithmetic is the
// one thing that Cedar's types do not bound.
const overflow = `9223372036854775807 + context.time.hour > 0`

// Invariant 9: a forbid that errs denies, a permit that errs does not count.
func TestInvariant9Errors(t *testing.T) {
	const (
		permit       = `@id("permit") permit (principal, action, resource);`
		forbid       = `@id("forbid") @deny_message("no") forbid (principal, action, resource);`
		brokenPermit = `@id("broken-permit") permit (principal, action, resource) when { ` + overflow + ` };`
		brokenForbid = `@id("broken-forbid") @deny_message("broken") forbid (principal, action, resource) when { ` + overflow + ` };`
		sleeping     = `@id("sleeping") @deny_message("asleep") forbid (principal, action, resource) when { context.time.hour == 25 };`
	)
	tests := []struct {
		story    string
		policies []string
		want     policy.Decision
	}{
		{"nothing", nil, policy.Decision{Reason: "no_permit"}},
		{"a permit", []string{permit, sleeping}, policy.Decision{Allowed: true, Reason: "permitted", Policies: []string{"permit"}}},
		{"a forbid beats it", []string{permit, forbid}, policy.Decision{Reason: "denied_by_policy", Policies: []string{"forbid"}, Message: "no"}},
		{"so does one that errs", []string{permit, brokenForbid}, policy.Decision{Reason: "policy_error", Errors: []string{"broken-forbid"}, Message: "broken"}},
		{"a permit that errs beside another", []string{permit, brokenPermit}, policy.Decision{Allowed: true, Reason: "permitted", Policies: []string{"permit"}, Errors: []string{"broken-permit"}}},
		{"a permit that errs alone", []string{brokenPermit}, policy.Decision{Reason: "no_permit", Errors: []string{"broken-permit"}}},
		{"a forbid matches, another errs", []string{permit, forbid, brokenForbid, brokenPermit}, policy.Decision{
			Reason: "denied_by_policy", Policies: []string{"forbid"}, Errors: []string{"broken-forbid", "broken-permit"}, Message: "broken",
		}},
		{"a forbid errs, no permit", []string{brokenForbid}, policy.Decision{Reason: "policy_error", Errors: []string{"broken-forbid"}, Message: "broken"}},
	}
	for _, test := range tests {
		t.Run(test.story, func(t *testing.T) {
			set := load(t, test.policies...)
			got := set.Decide(ask("alice").calls("github", "get_issue", ""))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Decide() differs (-want +got):\n%s", diff)
			}
		})
	}
}

// The order of ids decides, not that of the text.
func TestDenyMessage(t *testing.T) {
	set := load(t,
		`@id("c") @deny_message("third") forbid (principal, action, resource);`,
		`@id("a") forbid (principal in MCP::Group::"corp/quiet", action, resource);`,
		`@id("b") @deny_message("second") forbid (principal, action, resource);`)
	if got := set.Decide(ask("alice").does("ping", "github")); got.Message != "second" {
		t.Errorf("Decide() = %+v, want the message of b", got)
	}
	if got := set.Decide(ask("alice", "quiet").does("ping", "github")); got.Message != "" {
		t.Errorf("Decide() = %+v, want no message: a is the first, and has none", got)
	}
}

func TestBuiltinLifecycle(t *testing.T) {
	lifecycle := []string{"initialize", "server/discover", "ping", "logging/setLevel", "notifications", "responses", "stream/get", "session/delete"}
	others := []string{"tools/list", "stream/resume", "tasks/get", "unknown", "subscriptions/listen"}
	set := load(t)
	for _, action := range lifecycle {
		want := policy.Decision{Allowed: true, Reason: "permitted", Policies: []string{"cedargate:lifecycle"}}
		for _, q := range []*question{ask("alice"), askAgent("spiffe", "job")} {
			request := q.does(action, "github")
			if diff := cmp.Diff(want, set.Decide(request)); diff != "" {
				t.Errorf("%s %s: Decide() differs (-want +got):\n%s", request.Principal, action, diff)
			}
		}
		if got := set.Decide(askAnonymous().does(action, "github")); got.Allowed {
			t.Errorf("anonymous %s: Decide() = %+v, want a denial", action, got)
		}
	}
	for _, action := range others {
		if got := set.Decide(ask("alice").does(action, "github")); got.Reason != "no_permit" {
			t.Errorf("%s: Decide() = %+v, want no_permit", action, got)
		}
	}
	forbidden := load(t, `forbid (principal, action == MCP::Action::"ping", resource);`)
	if got := forbidden.Decide(ask("alice").does("ping", "github")); got.Reason != "denied_by_policy" {
		t.Errorf("ping under a forbid: Decide() = %+v, want denied_by_policy", got)
	}
	c := world()
	c.OmitBuiltin = true
	if got := mustLoad(t, c).Decide(ask("alice").does("ping", "github")); got.Reason != "no_permit" {
		t.Errorf("ping without the built-in policy: Decide() = %+v, want no_permit", got)
	}
}

// Invariant 1: the zero value of every decision type denies.
func TestInvariant1ZeroDenies(t *testing.T) {
	if (policy.Decision{}).Allowed {
		t.Error("the zero Decision allows")
	}
	var zero policy.Set
	if got := zero.Decide(ask("alice").does("ping", "github")); got.Allowed || got.Reason == "" {
		t.Errorf("zero Set: Decide() = %+v, want a denial with a reason", got)
	}
	if zero.Hash() != "" || len(zero.Policies()) != 0 || zero.Validate(policy.Request{}) == nil {
		t.Error("the zero Set knows something")
	}
}

// What is no question is not permitted, even if everything is.
func TestMalformedRequestsAreDenied(t *testing.T) {
	set := load(t, `permit (principal, action, resource);`)
	tests := map[string]func(*policy.Request){
		"nothing":               func(r *policy.Request) { *r = policy.Request{} },
		"an unknown action":     func(r *policy.Request) { r.Action = "tools/run" },
		"a group of actions":    func(r *policy.Request) { r.Action = "use" },
		"a principal's type":    func(r *policy.Request) { r.Principal = uid("Group", "corp/x") },
		"a resource's type":     func(r *policy.Request) { r.Resource = uid("Server", "github") },
		"another tool":          func(r *policy.Request) { r.Tool = "delete_repo" },
		"another server":        func(r *policy.Request) { r.Server = "files" },
		"no principal's entity": func(r *policy.Request) { r.Principal = uid("User", "corp/bob") },
		"no entities":           func(r *policy.Request) { r.Entities = nil },
	}
	for name, breakIt := range tests {
		r := ask("alice").calls("github", "get_issue", "")
		if got := set.Decide(r); !got.Allowed {
			t.Fatalf("Decide() = %+v before it is broken", got)
		}
		breakIt(&r)
		if got := set.Decide(r); got.Allowed || got.Reason != "policy_error" {
			t.Errorf("%s: Decide() = %+v, want policy_error", name, got)
		}
		if set.Validate(r) == nil {
			t.Errorf("%s: Validate() = nil", name)
		}
	}
}

func TestValidate(t *testing.T) {
	set := load(t)
	tests := map[string]func(*question){
		"an attribute of a wrong type": func(q *question) { q.request.Context["rpcMethod"] = cedar.Long(1) },
		"an attribute too many":        func(q *question) { q.request.Context["extra"] = cedar.Long(1) },
		"no time":                      func(q *question) { delete(q.request.Context, "time") },
		"a parent that is not there":   func(q *question) { delete(q.request.Entities, uid("Issuer", "corp")) },
		"an entity filed wrongly":      func(q *question) { q.request.Entities[uid("Env", "x")] = q.request.Entities[q.request.Resource] },
		"an entity without attributes": func(q *question) { q.entity(q.request.Principal, nil) },
		"a second anonymous caller":    func(q *question) { q.entity(uid("Anonymous", "somebody"), nil) },
		"a parent of a wrong type":     func(q *question) { q.entity(uid("Env", "e"), nil, uid("Issuer", "corp")) },
	}
	for name, breakIt := range tests {
		q := ask("alice", "engineering")
		q.calls("github", "get_issue", "")
		if err := set.Validate(q.request); err != nil {
			t.Fatalf("Validate() = %v before it is broken", err)
		}
		breakIt(q)
		if set.Validate(q.request) == nil {
			t.Errorf("%s: Validate() = nil", name)
		}
	}
}

func TestSourceUnknown(t *testing.T) {
	set := load(t,
		`permit (principal, action, resource);`,
		`forbid (principal, action, resource in MCP::Server::"files") when { context has sourceIp && context.sourceIp.isLoopback() };`)
	for server, want := range map[string]string{"files": "source_unknown", "github": "permitted"} {
		for _, action := range []string{"tools/list", "ping"} {
			r := ask("alice").does(action, server)
			r.SourceUnknown = true
			if got := set.Decide(r); got.Reason != want {
				t.Errorf("%s on %s: Decide() = %+v, want %s", action, server, got, want)
			}
		}
	}
}

// A template stands for every resource below its prefix.
func TestTemplatePrefix(t *testing.T) {
	set := load(t,
		`permit (principal, action, resource);`,
		`@id("a") @deny_message("closed") forbid (principal in MCP::Group::"corp/guests", action, resource in MCP::ResourceDir::"files/file:///srv/private/");`,
		`@id("b") forbid (principal, action == MCP::Action::"resources/read", resource == MCP::Resource::"files/file:///srv/public/x");`,
		`@id("c") forbid (principal, action, resource) when { resource in MCP::ResourceDir::"files/file:///etc/" };`,
		`@id("d") forbid (principal in MCP::Group::"corp/banned", action, resource) unless { resource == MCP::Resource::"files/file:///opt/x" };`)
	tests := []struct {
		group, prefix string
		want          policy.Decision
	}{
		{"guests", "files/file:///srv/", policy.Decision{Reason: "denied_by_policy", Policies: []string{"a"}, Message: "closed"}},
		{"guests", "files/file:///srv/pri", policy.Decision{Reason: "denied_by_policy", Policies: []string{"a"}, Message: "closed"}},
		{"guests", "files/file:///srv/public/", policy.Decision{Allowed: true, Reason: "permitted", Policies: []string{"test.cedar:1"}}},
		{"staff", "files/file:///srv/", policy.Decision{Allowed: true, Reason: "permitted", Policies: []string{"test.cedar:1"}}},
		{"staff", "files/file:///", policy.Decision{Reason: "denied_by_policy", Policies: []string{"c"}}},
		{"guests", "files/file:///", policy.Decision{Reason: "denied_by_policy", Policies: []string{"a", "c"}, Message: "closed"}},
		{"banned", "files/file:///opt/", policy.Decision{Reason: "denied_by_policy", Policies: []string{"d"}}},
		{"guests", "", policy.Decision{Allowed: true, Reason: "permitted", Policies: []string{"test.cedar:1"}}},
	}
	for _, test := range tests {
		r := ask("alice", test.group).reads("completion/complete", "files", "file:///srv/{name}")
		r.TemplatePrefix = test.prefix
		if diff := cmp.Diff(test.want, set.Decide(r)); diff != "" {
			t.Errorf("%s below %q: Decide() differs (-want +got):\n%s", test.group, test.prefix, diff)
		}
	}
}

// A directory needs no entity of its own.
func TestDirectoriesMayBeLeftOut(t *testing.T) {
	set := load(t, `permit (principal, action, resource);`, `@id("dir") forbid (principal, action, resource in MCP::ResourceDir::"files/file:///srv/");`)
	r := ask("alice").reads("resources/read", "files", "file:///srv/a")
	maps.DeleteFunc(r.Entities, func(id cedar.EntityUID, _ cedar.Entity) bool { return id.Type == "MCP::ResourceDir" })
	if err := set.Validate(r); err != nil {
		t.Errorf("Validate() = %v", err)
	}
	if got := set.Decide(r); summary(got) != "denied_by_policy dir" {
		t.Errorf("Decide() = %+v, want denied by dir", got)
	}
}

// Decide reads its Request, and no more.
func TestDecideChangesNothing(t *testing.T) {
	set := load(t, onRefund("permit", `context.args.amount == 1`))
	r := ask("alice").calls("payments", "refund", `{"amount": 1}`)
	entities, context := len(r.Entities), len(r.Context)
	set.Decide(r)
	if len(r.Entities) != entities || len(r.Context) != context {
		t.Errorf("Decide() left %d entities and %d members of the context, want %d and %d", len(r.Entities), len(r.Context), entities, context)
	}
	r.Context["args"] = cedar.NewRecord(cedar.RecordMap{"amount": cedar.Long(1)})
	r.Arguments = ask("alice").calls("payments", "refund", `{"amount": 2}`).Arguments
	if got := set.Decide(r); got.Allowed {
		t.Errorf("Decide() = %+v, want args of the context not to count", got)
	}
	list := load(t, `permit (principal, action == MCP::Action::"tools/list", resource) when { context has args };`)
	r = ask("alice").does("tools/list", "github")
	r.Context["args"] = cedar.NewRecord(nil)
	if got := list.Decide(r); got.Allowed {
		t.Errorf("Decide() = %+v, want no args in the context of tools/list", got)
	}
}

// No request brings its own actions: a forbid on a group of them would sleep.
func TestActionsAreThoseOfTheSchema(t *testing.T) {
	set := load(t, `permit (principal, action, resource);`, `forbid (principal, action, resource) when { action in MCP::Action::"use" };`)
	q := ask("alice")
	r := q.calls("github", "get_issue", "")
	q.entity(uid("Action", "tools/call"), nil)
	if got := set.Decide(r); got.Reason != "denied_by_policy" {
		t.Errorf("Decide() = %+v, want denied_by_policy", got)
	}
}

// Hostile arguments cost work in proportion to their size. The naive way costs
// seconds for the first of them: sets of colliding sets.
func TestHostileArguments(t *testing.T) {
	var pairs, ints strings.Builder
	for i := range 20_000 {
		pairs.WriteString(",[" + strconv.Itoa(i) + "," + strconv.Itoa(100_000_000-i) + "]")
		ints.WriteString("," + strconv.Itoa(i<<32))
	}
	members := strings.Builder{}
	for i := range 9_000 {
		members.WriteString(`, "m` + strconv.Itoa(i) + `": 1`)
	}
	set := load(t, onRefund("permit", `context.args has lines && context.args.lines.contains(1)`),
		onRefund("permit", `context.args has rate && context.args.rate.lessThan(decimal("1.0"))`),
		onRefund("permit", `context.args has either`))
	tests := []struct{ name, arguments, want string }{
		{"colliding sets", `{"lines": [` + pairs.String()[1:] + `]}`, "argument_type"},
		{"colliding sets, only tested", `{"either": [` + pairs.String()[1:] + `]}`, "permitted"},
		{"a long array", `{"lines": [` + ints.String()[1:] + `]}`, "argument_type"},
		{"a hundred thousand digits", `{"rate": 1` + strings.Repeat("0", 100_000) + `}`, "argument_type"},
		{"as many behind the point", `{"rate": 0.` + strings.Repeat("0", 100_000) + `1}`, "argument_type"},
		{"that cancel out", `{"rate": 0.` + strings.Repeat("0", 100_000) + `1e100000}`, "permitted"},
		{"a huge exponent", `{"rate": 1e` + strings.Repeat("9", 100_000) + `}`, "argument_type"},
		{"many members", `{"either": 1` + members.String() + `}`, "permitted"},
		{"a long name", `{"either": 1, "` + strings.Repeat("_", 100_000) + `": 1}`, "permitted"},
	}
	for _, test := range tests {
		r := ask("alice").calls("payments", "refund", test.arguments)
		allocs := testing.AllocsPerRun(1, func() {
			if got := set.Decide(r); got.Reason != test.want {
				t.Errorf("%s: Decide() = %+v, want %s", test.name, got, test.want)
			}
		})
		if allocs > 1500 {
			t.Errorf("%s: Decide() allocates %v times, want work that does not grow with the array", test.name, allocs)
		}
	}
}

// A Set is shared by all requests.
func TestDecideConcurrently(t *testing.T) {
	set := load(t, onRefund("permit", `context.args.amount <= 500`), onPayments("forbid", `context.args has opts.force && context.args.opts.force`))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for _, amount := range []string{"1", "501", `"1"`} {
				want := map[string]string{"1": "permitted", "501": "no_permit", `"1"`: "argument_type"}[amount]
				got := set.Decide(ask("alice").calls("payments", "refund", `{"amount": `+amount+`, "opts": {"force": false}}`))
				if got.Reason != want {
					t.Errorf("amount %s: Decide() = %+v, want %s", amount, got, want)
				}
			}
		})
	}
	group.Wait()
}
