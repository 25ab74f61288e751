package policy_test

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cedargate/cedargate/pkg/policy"
)

// scopes and conditions that random policies are made of.
var (
	principals = []string{
		`principal`, `principal == MCP::User::"corp/alice"`, `principal in MCP::Group::"corp/staff"`, `principal in MCP::Group::"corp/engineering"`,
		`principal is MCP::User`, `principal is MCP::Agent`, `principal is MCP::User in MCP::Group::"corp/staff"`, `principal in MCP::Issuer::"corp"`,
	}
	actions = []string{
		`action`, `action == MCP::Action::"tools/call"`, `action in MCP::Action::"use"`, `action in MCP::Action::"mcp"`,
		`action in [MCP::Action::"lifecycle", MCP::Action::"tools/call"]`, `action == MCP::Action::"tools/list"`, `action in [MCP::Action::"list", MCP::Action::"ping"]`,
	}
	resources = []string{
		`resource`, `resource in MCP::Server::"github"`, `resource in MCP::Server::"files"`, `resource in MCP::Env::"prod"`,
		`resource is MCP::Server in MCP::Env::"prod"`, `resource is MCP::Server`,
	}
	conditions = []string{
		``, `when { context.time.hour < 12 }`, `unless { context.time.hour < 12 }`, `when { ` + overflow + ` }`,
		`when { context has token && context.token.scopes.contains("x") } unless { principal in MCP::Group::"corp/staff" }`,
		`when { action in MCP::Action::"use" }`, `when { resource in MCP::Env::"prod" } when { context.time.hour >= 9 }`,
	}
)

func drawPolicies(t *rapid.T) []string {
	one := rapid.Custom(func(t *rapid.T) string {
		pick := func(name string, list []string) string { return rapid.SampledFrom(list).Draw(t, name) }
		return fmt.Sprintf("%s (%s, %s, %s) %s;", pick("effect", []string{"permit", "permit", "permit", "forbid"}),
			pick("principal", principals), pick("action", actions), pick("resource", resources), pick("condition", conditions))
	}).Filter(func(text string) bool { // the parts of some scopes exclude each other
		set, _ := policy.Load(world(file("one.cedar", text)))
		return set != nil
	})
	return rapid.SliceOfN(one, 0, 12).Draw(t, "policies")
}

func drawRequest(t *rapid.T) policy.Request {
	groups := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"staff", "engineering", "sales"}), rapid.ID).Draw(t, "groups")
	q := ask(rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "user"), groups...)
	if rapid.Bool().Draw(t, "nested") { // engineering is in staff, by one more step
		middle := q.entity(uid("Group", "corp/middle"), nil, q.entity(uid("Group", "corp/staff"), nil))
		q.entity(uid("Group", "corp/engineering"), nil, middle)
	}
	if rapid.Bool().Draw(t, "agent") {
		q.request.Principal = q.person("Agent", "corp", "robot", groups)
	}
	q.at(rapid.IntRange(0, 23).Draw(t, "hour"))
	if rapid.Bool().Draw(t, "scope") {
		q.scopes("x")
	}
	server := rapid.SampledFrom([]string{"github", "files", "tracker"}).Draw(t, "server")
	if rapid.Bool().Draw(t, "call") {
		return q.calls(server, "anything", "")
	}
	return q.does(rapid.SampledFrom([]string{"tools/list", "ping", "unknown"}).Draw(t, "action"), server)
}

// TestDecideIsCedar compares Decide with Cedar over all policies, without any
// selection, and with the fail-closed rule applied to what Cedar found.
func TestDecideIsCedar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set, problems := policy.Load(world(file("random.cedar", drawPolicies(t)...)))
		if set == nil {
			t.Fatalf("Load() found problems:\n%s", show(problems))
		}
		request := drawRequest(t)
		if err := set.Validate(request); err != nil {
			t.Fatalf("Validate() = %v", err)
		}
		if diff := cmp.Diff(oracle(t, set, request), set.Decide(request)); diff != "" {
			t.Fatalf("Decide() differs (-cedar +got):\n%s", diff)
		}
	})
}

func oracle(t *rapid.T, set *policy.Set, r policy.Request) policy.Decision {
	all := cedar.NewPolicySet()
	forbids := map[cedar.PolicyID]bool{}
	for _, info := range set.Policies() {
		list, err := cedar.NewPolicyListFromBytes("", []byte(info.Text))
		if err != nil || len(list) != 1 {
			t.Fatalf("text of %s: %v", info.ID, err)
		}
		all.Add(cedar.PolicyID(info.ID), list[0])
		forbids[cedar.PolicyID(info.ID)] = info.Forbid
	}
	entities := maps.Clone(r.Entities)
	for action, group := range map[string]string{"tools/call": "use", "tools/list": "list", "ping": "lifecycle", "unknown": "mcp"} {
		id := uid("Action", action)
		entities[id] = types.Entity{UID: id, Parents: cedar.NewEntityUIDSet(uid("Action", group), uid("Action", "mcp"))}
	}
	context := maps.Clone(r.Context)
	if r.Action == "tools/call" {
		context["args"] = cedar.Record{}
	}
	allowed, found := cedar.Authorize(all, entities, cedar.Request{
		Principal: r.Principal, Action: uid("Action", r.Action), Resource: r.Resource, Context: cedar.NewRecord(context),
	})
	return failClosed(allowed, found, forbids)
}

func failClosed(allowed cedar.Decision, found cedar.Diagnostic, forbids map[cedar.PolicyID]bool) policy.Decision {
	var want policy.Decision
	forbidErred := false
	for _, reason := range found.Reasons {
		want.Policies = append(want.Policies, string(reason.PolicyID))
	}
	for _, err := range found.Errors {
		want.Errors = append(want.Errors, string(err.PolicyID))
		forbidErred = forbidErred || forbids[err.PolicyID]
	}
	slices.Sort(want.Policies)
	slices.Sort(want.Errors)
	switch {
	case allowed == cedar.Deny && len(found.Reasons) > 0:
		want.Reason = "denied_by_policy"
	case forbidErred:
		want.Reason, want.Policies = "policy_error", nil
	case allowed == cedar.Allow:
		want.Allowed, want.Reason = true, "permitted"
	default:
		want.Reason = "no_permit"
	}
	return want
}

// TestNumbersAreExact compares what Cedar sees of a number with exact
// arithmetic on its text.
func TestNumbersAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("SetString(%q) failed", text)
		}
		long, isLong := rounded(exact, 1)
		scaled, isDecimal := rounded(exact, 10_000)
		checkNumber(t, "amount", text, isLong, fmt.Sprintf("context.args.amount == %d", long))
		checkNumber(t, "rate", text, isDecimal, fmt.Sprintf("context.args has rate && context.args.rate == decimal(%q)", decimalText(scaled)))
	})
}

// rounded returns exact × scale, if that is an integer within int64.
func rounded(exact *big.Rat, scale int64) (int64, bool) {
	product := new(big.Rat).Mul(exact, new(big.Rat).SetInt64(scale))
	if !product.IsInt() || !product.Num().IsInt64() {
		return 0, false
	}
	return product.Num().Int64(), true
}

func decimalText(scaled int64) string {
	return new(big.Rat).SetFrac64(scaled, 10_000).FloatString(4)
}

func checkNumber(t *rapid.T, argument, text string, fits bool, condition string) {
	set, problems := policy.Load(world(file("n.cedar", onRefund("permit", condition))))
	if set == nil {
		t.Fatalf("Load(%s) found problems:\n%s", condition, show(problems))
	}
	want := "argument_type"
	if fits {
		want = "permitted"
	}
	got := set.Decide(ask("alice").calls("payments", "refund", fmt.Sprintf(`{%q: %s}`, argument, text)))
	if got.Reason != want {
		t.Fatalf("%s %s: Decide() = %+v, want %s", argument, text, got, want)
	}
}
