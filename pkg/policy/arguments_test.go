package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/policy"
)

// onRefund is a policy that is pinned to payments/refund; its tool requires
// amount, currency and ticket, of which ticket may be null.
func onRefund(effect, condition string) string {
	return effect + ` (principal, action == MCP::Action::"tools/call", resource == MCP::Tool::"payments/refund") when { ` + condition + ` };`
}

// onPayments is one that is not pinned.
func onPayments(effect, condition string) string {
	return effect + ` (principal, action == MCP::Action::"tools/call", resource in MCP::Server::"payments") when { ` + condition + ` };`
}

// What becomes of the condition of a permit: what is true is permitted, what
// is false is not, and what cannot be told is refused before Cedar is asked.
const (
	yes, no             = "permitted", "no_permit"
	typ, missing, clash = "argument_type", "argument_missing", "argument_case"
)

var argumentTests = []struct{ condition, arguments, want string }{
	// integer → Long: what is integral, however it is written
	{`context.args.amount == 5`, `{"amount": 5}`, yes},
	{`context.args.amount == 5`, `{"amount": 5.0}`, yes},
	{`context.args.amount == 500`, `{"amount": 5e2}`, yes},
	{`context.args.amount == 5`, `{"amount": 500E-2}`, yes},
	{`context.args.amount == 5`, `{"amount": 0.05e+2}`, yes},
	{`context.args.amount == 0`, `{"amount": -0}`, yes},
	{`context.args.amount == 0`, `{"amount": 0e999999999999999999999}`, yes},
	{`context.args.amount == 0`, `{"amount": 0.000}`, yes},
	{`context.args.amount == 9223372036854775807`, `{"amount": 9223372036854775807}`, yes},
	{`context.args.amount == -9223372036854775808`, `{"amount": -9223372036854775808}`, yes},
	{`context.args.amount == 1`, `{"amount": 9223372036854775808}`, typ},
	{`context.args.amount == 1`, `{"amount": 1e19}`, typ},
	{`context.args.amount == 1`, `{"amount": 1e999999999}`, typ},
	{`context.args.amount == 1`, `{"amount": 1e-999999999999999999999999}`, typ},
	{`context.args.amount == 1`, `{"amount": 1.5}`, typ},
	{`context.args.amount == 1`, `{"amount": "1"}`, typ},
	{`context.args.amount == 1`, `{"amount": [1]}`, typ},
	{`context.args.amount == 1`, `{"amount": null}`, typ},
	{`context.args.amount == 1`, `{"amount": {"__extn": {"fn": "decimal", "arg": "1.0"}}}`, typ},
	// number → decimal
	{`context.args has rate && context.args.rate == decimal("1.5")`, `{"rate": 1.5}`, yes},
	{`context.args has rate && context.args.rate == decimal("1.5")`, `{"rate": 15000e-4}`, yes},
	{`context.args has rate && context.args.rate == decimal("5.0")`, `{"rate": 5}`, yes},
	{`context.args has rate && context.args.rate == decimal("-0.0001")`, `{"rate": -1e-4}`, yes},
	{`context.args has rate && context.args.rate == decimal("922337203685477.5807")`, `{"rate": 922337203685477.5807}`, yes},
	{`context.args has rate && context.args.rate == decimal("-922337203685477.5808")`, `{"rate": -922337203685477.5808}`, yes},
	{`context.args has rate && context.args.rate == decimal("1.0")`, `{"rate": 922337203685477.5808}`, typ},
	{`context.args has rate && context.args.rate == decimal("1.0")`, `{"rate": 0.00001}`, typ},
	{`context.args has rate && context.args.rate == decimal("1.0")`, `{"rate": 1.00000}`, yes},
	{`context.args has rate && context.args.rate == decimal("1.0")`, `{"rate": 1e300}`, typ},
	// the rest
	{`context.args.currency == "EUR"`, `{"currency": "\u0045UR"}`, yes},
	{`context.args.currency == "EUR"`, `{"currency": {"__entity": {"type": "MCP::User", "id": "corp/alice"}}}`, typ},
	{`context.args has urgent && context.args.urgent`, `{"urgent": true}`, yes},
	{`context.args has urgent && context.args.urgent`, `{"urgent": 1}`, typ},
	{`context.args has tags && context.args.tags.contains("x")`, `{"tags": ["y", "x", "y"]}`, yes},
	{`context.args has tags && context.args.tags.isEmpty()`, `{"tags": []}`, yes},
	{`context.args has tags && context.args.tags.contains("x")`, `{"tags": ["x", 1]}`, typ},
	{`context.args has tags && context.args.tags.contains("x")`, `{"tags": ["x", null]}`, typ},
	{`context.args has tags && context.args.tags.contains("x")`, `{"tags": "x"}`, typ},
	{`context.args has lines && context.args.lines.contains(1)`, `{"lines": ` + ones(256) + `}`, yes},
	{`context.args has lines && context.args.lines.contains(1)`, `{"lines": ` + ones(257) + `}`, typ},
	{`context.args has lines && context.args.lines.contains(1)`, `{"lines": [[0, 1], [1, 0]]}`, typ},
	// objects, step by step
	{`context.args has opts && context.args.opts.force`, `{"opts": {"force": true}}`, yes},
	{`context.args has opts && context.args.opts.force`, `{}`, no},
	{`context.args has opts && context.args.opts.force`, `{"opts": {}}`, missing},
	{`context.args has opts && context.args.opts.force`, `{"opts": []}`, typ},
	{`context.args has opts && context.args.opts.force`, `{"opts": null}`, typ},
	{`context.args has opts && context.args.opts.force`, `{"opts": {"force": "yes"}}`, typ},
	{`context.args has opts && context.args.opts has "dry-run" && context.args.opts["dry-run"]`, `{"opts": {"dry-run": true}}`, yes},
	{`context.args has opts && context.args.opts has "dry-run"`, `{"opts": {"dryRun": true}}`, clash},
	{`context.args has opts.level && context.args.opts.level == 2`, `{"opts": {"level": 2}}`, yes},
	// null and absence
	{`context.args has note && context.args.note == "x"`, `{"note": "x"}`, yes},
	{`!(context.args has note)`, `{"note": null}`, yes},
	{`!(context.args has note)`, `{}`, yes},
	{`!(context.args has ticket)`, `{"ticket": null}`, yes},
	{`!(context.args has ticket)`, `{}`, missing},
	{`context.args.amount == 1`, `{"currency": "EUR"}`, missing},
	{`context.args.amount == 1`, ``, missing},
	// what Cedar has no type for is there or not
	{`context.args has either`, `{"either": 5}`, yes},
	{`context.args has either`, `{"either": null}`, yes},
	{`context.args has either`, `{}`, no},
	{`context.args has maybe`, `{"maybe": [{"a": 1}]}`, yes},
	{`context.args has maybe`, `{"maybe": null}`, no},
	// names that a server may take for the one that is read
	{`context.args.amount == 1`, `{"amount": 1, "Amount": 9}`, clash},
	{`context.args.amount == 1`, `{"amount": 1, "a_mount": 9}`, clash},
	{`context.args.amount == 1`, `{"AMOUNT-": 9}`, clash},
	{`context.args has tags`, `{"tag\u017f": []}`, clash},
	{`context.args.amount == 1`, `{"amount": 1, "amounts": 9, "x": {"Amount": 9}}`, yes},
}

// ones is an array of n ones.
func ones(n int) string { return "[1" + strings.Repeat(",1", n-1) + "]" }

func TestArguments(t *testing.T) {
	for _, test := range argumentTests {
		set := load(t, onRefund("permit", test.condition))
		request := ask("alice").calls("payments", "refund", test.arguments)
		if got := set.Decide(request); got.Reason != test.want {
			t.Errorf("%s with %.80s: Decide() = %+v, want %s", test.condition, test.arguments, got, test.want)
		}
	}
}

// A policy that does not pin a tool reads what is there, and requires nothing.
func TestUnpinnedArguments(t *testing.T) {
	set := load(t, onPayments("permit", `context.args has amount && context.args.amount < 5`))
	tests := []struct{ tool, arguments, want string }{
		{"charge", `{"amount": 1}`, "permitted"},
		{"refund", `{"amount": 1}`, "permitted"},
		{"refund", `{}`, "no_permit"},
		{"refund", `{"amount": "1"}`, "argument_type"},
		{"refund", `{"amount": null}`, "argument_type"},
		{"void", `{"amount": 1}`, "permitted"}, // not in the catalogue
		{"void", `{"amount": "1"}`, "argument_type"},
		{"void", `{"Amount": 1}`, "argument_case"},
	}
	optional := load(t, onPayments("permit", `!(context.args has currency)`))
	if got := optional.Decide(ask("alice").calls("payments", "refund", `{}`)); !got.Allowed {
		t.Errorf("without a required argument: Decide() = %+v, want permitted", got)
	}
	for _, test := range tests {
		if got := set.Decide(ask("alice").calls("payments", test.tool, test.arguments)); got.Reason != test.want {
			t.Errorf("%s %s: Decide() = %+v, want %s", test.tool, test.arguments, got, test.want)
		}
	}
}

// Where the schema of a tool is silent, two policies may have been validated
// with two types of one argument. No value suits both, not even 5.
func TestTwoTypesAtOnce(t *testing.T) {
	c := world(file("two.cedar",
		`@id("a") permit (principal, action, resource in MCP::Server::"one") when { context has args && context.args has x && context.args.x < 9 };`,
		`@id("b") forbid (principal, action, resource in MCP::Env::"e") when { context has args && context.args has x && context.args.x.lessThan(decimal("9.0")) };`,
		`@id("c") permit (principal, action, resource in MCP::Server::"one") when { context has args && context.args has y };`))
	c.Servers = []policy.Server{
		{Name: "one", Tools: []policy.Tool{{Name: "t", InputSchema: []byte(`{"properties": {"x": {"type": "integer"}, "y": {}}}`)}}},
		{Name: "two", Environments: []string{"e"}, Tools: []policy.Tool{{Name: "t", InputSchema: []byte(`{"properties": {"x": {"type": "number"}}}`)}}},
	}
	set := mustLoad(t, c)
	q := ask("alice")
	q.config = c
	request := q.calls("one", "new", `{"x": 5, "y": 1}`)
	// The server is in the environment for the request, but was not at load.
	env := q.entity(uid("Env", "e"), nil)
	q.entity(uid("Server", "one"), nil, env)
	want := policy.Decision{Reason: "argument_type", Argument: "x", ExpectedType: "decimal", Readers: []string{"a", "b"}}
	if diff := cmp.Diff(want, set.Decide(request)); diff != "" {
		t.Errorf("Decide() differs (-want +got):\n%s", diff)
	}
}

func TestRefusedArgumentIsNamed(t *testing.T) {
	set := load(t,
		`@id("b")`, onRefund("permit", `context.args.amount == 1 && context.args has opts && context.args.opts has "dry-run"`),
		`@id("a")`, onPayments("forbid", `context.args has amount && context.args.amount > 5`),
		`@id("c")`, onRefund("forbid", `context.args has tags && context.args.tags.contains("x")`))
	tests := []struct {
		arguments string
		want      policy.Decision
	}{
		{`{"amount": "1", "tags": 1}`, policy.Decision{Reason: "argument_type", Argument: "amount", ExpectedType: "Long", Readers: []string{"a", "b"}}},
		{`{"tags": 1}`, policy.Decision{Reason: "argument_missing", Argument: "amount", ExpectedType: "Long", Readers: []string{"a", "b"}}},
		{`{"amount": 1, "tags": 1}`, policy.Decision{Reason: "argument_type", Argument: "tags", ExpectedType: "Set<String>", Readers: []string{"c"}}},
		{`{"amount": 1, "opts": {"dry_run": 1}}`, policy.Decision{Reason: "argument_case", Argument: `opts["dry-run"]`, ExpectedType: "Bool", Readers: []string{"b"}}},
	}
	for _, test := range tests {
		got := set.Decide(ask("alice").calls("payments", "refund", test.arguments))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: Decide() differs (-want +got):\n%s", test.arguments, diff)
		}
	}
}

// Only what can match reads: another tool's argument may have any type.
func TestOnlyMatchingPoliciesRead(t *testing.T) {
	set := load(t,
		`permit (principal, action, resource);`,
		onRefund("forbid", `context.args.amount > 500`),
		`forbid (principal in MCP::Group::"corp/interns", action == MCP::Action::"tools/call", resource in MCP::Server::"payments")
		 when { context.args has amount && context.args.amount > 5 };`,
		`forbid (principal is MCP::Agent, action == MCP::Action::"tools/call", resource in MCP::Server::"payments")
		 when { context.args has card_no && context.args.card_no == "1" };`)
	tests := []struct {
		request policy.Request
		want    string
	}{
		{ask("alice").calls("github", "create_issue", `{"amount": "a lot"}`), "permitted"},
		{ask("alice").calls("payments", "charge", `{"amount": "a lot"}`), "permitted"},
		{ask("ian", "interns").calls("payments", "charge", `{"amount": "a lot"}`), "argument_type"},
		{ask("alice").calls("payments", "refund", `{"amount": "a lot"}`), "argument_type"},
		{ask("alice").calls("payments", "charge", `{"card_no": 1}`), "permitted"},
		{askAgent("corp", "robot").calls("payments", "charge", `{"card_no": 1}`), "argument_type"},
	}
	for _, test := range tests {
		if got := set.Decide(test.request); got.Reason != test.want {
			t.Errorf("%s: Decide() = %+v, want %s", test.request.Resource, got, test.want)
		}
	}
}

func TestUndeclaredArguments(t *testing.T) {
	c := world(file("all.cedar", `permit (principal, action, resource);`))
	c.Servers[1].RefuseUndeclared = true
	set := mustLoad(t, c)
	tests := []struct {
		server, tool, arguments, want string
	}{
		{"payments", "charge", `{"amount": 1}`, "permitted"},
		{"payments", "charge", `{}`, "permitted"},
		{"payments", "charge", `{"amount": 1, "x": 1}`, "argument_undeclared x"},
		{"payments", "charge", `{"Amount": 1}`, "argument_undeclared Amount"},
		{"payments", "void", `{"x": 1}`, "argument_undeclared x"},
		{"github", "create_issue", `{"x": 1}`, "permitted"},
	}
	for _, test := range tests {
		d := set.Decide(ask("alice").calls(test.server, test.tool, test.arguments))
		if got := strings.TrimSpace(d.Reason + " " + d.Argument); got != test.want {
			t.Errorf("%s/%s %s: Decide() = %s, want %s", test.server, test.tool, test.arguments, got, test.want)
		}
	}
}

// Two paths are two, however their names are cut.
func TestPathsAreKeptApart(t *testing.T) {
	c := world(file("ab.cedar", onRefund("permit", `context.args.ab == "x" && context.args.a.b == 1 && context.args.a.c == "y"`)))
	c.Servers[1].Tools = []policy.Tool{{Name: "refund", InputSchema: []byte(`{"properties": {"ab": {"type": "string"},
		"a": {"type": "object", "properties": {"b": {"type": "integer"}, "c": {"type": "string"}}, "required": ["b", "c"]}}, "required": ["a", "ab"]}`)}}
	set := mustLoad(t, c)
	if got := set.Decide(ask("alice").calls("payments", "refund", `{"ab": "x", "a": {"b": 1, "c": "y"}}`)); !got.Allowed {
		t.Errorf("Decide() = %+v, want permitted", got)
	}
}

// A schema that contains itself has no end: only its first step has a type.
func TestRecursiveSchemas(t *testing.T) {
	c := world(file("node.cedar", onRefund("permit", `context.args has child.name && context.args.child.name == "x"`)))
	c.Servers[1].Tools = []policy.Tool{{Name: "refund", InputSchema: []byte(`{"properties": {"child": {"$ref": "#/$defs/node"}},
		"$defs": {"node": {"type": "object", "properties": {"name": {"type": "string"}, "child": {"$ref": "#/$defs/node"}}}}}`)}}
	mustLoad(t, c)
	c.Files = []policy.File{file("node.cedar", onRefund("permit", `context.args has child.child.name`))}
	if set, problems := policy.Load(c); set != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "child.child.name") {
		t.Errorf("Load() = %v, %s want a problem with child.child.name", set != nil, show(problems))
	}
}

// What server frameworks write for one and the same argument.
func TestInputSchemas(t *testing.T) {
	deep := `{"$ref": "#/$defs/a0"}, "$defs": {`
	for i := range 40 {
		deep += fmt.Sprintf(`"a%d": {"anyOf": [{"$ref": "#/$defs/a%d"}, {"$ref": "#/$defs/a%d"}, {"$ref": "#/$defs/a%d"}]}, `, i, i+1, i+1, i+1)
	}
	deep += `"a40": {"type": "string"}}`
	const text, optional, any = "String", "String?", "any"
	tests := []struct{ schema, want string }{
		{`{"type": "string"}`, text},
		{`{"type": "string", "format": "uri", "maxLength": 3, "enum": ["a"], "description": "x"}`, text},
		{`{"enum": ["a", "b"]}`, text},
		{`{"type": ["string"]}`, text},
		{`{"type": ["null", "string"]}`, optional},
		{`{"anyOf": [{"type": "string"}, {"type": "null"}]}`, optional},
		{`{"oneOf": [{"type": "null"}, {"enum": ["a"]}]}`, optional},
		{`{"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}, "$defs": {"a": {"type": "string"}}`, optional},
		{`{"allOf": [{"$ref": "#/$defs/a~1b"}], "default": "x"}, "$defs": {"a/b": {"type": "string"}}`, text},
		{`{}`, any},
		{`true`, any},
		{`{"const": "a"}`, any},
		{`{"enum": ["a", 1]}`, any},
		{`{"enum": []}`, any},
		{`{"type": "array"}`, any},
		{`{"type": "object"}`, any},
		{`{"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}}`, any},
		{`{"type": "array", "items": {"type": ["string", "null"]}}`, any},
		{`{"type": "array", "items": {"enum": ["a"]}}`, "Set<String>"},
		{`{"type": "array", "items": {"type": "object"}}`, any},
		{`{"type": ["string", "integer"]}`, any},
		{`{"type": ["string", "integer", "null"]}`, "any?"},
		{`{"anyOf": [{"type": "string"}, {"type": "integer"}]}`, any},
		{`{"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}`, "any?"},
		{`{"anyOf": [{"type": "string"}, {"type": ["integer", "string", "null"]}]}`, "any?"},
		{`{"allOf": [{"type": "string"}, {"minLength": 1}]}`, any},
		{`{"$ref": "#/$defs/a"}, "$defs": {"a": {"$ref": "#/$defs/a"}}`, any},
		{`{"$ref": "#/$defs/gone"}`, any},
		{`{"$ref": "https://example.com/schema.json"}`, any},
		{deep, any},
	}
	for _, test := range tests {
		if got := argumentType(t, test.schema); got != test.want {
			t.Errorf("%.100s has type %s, want %s", test.schema, got, test.want)
		}
	}
}

// argumentType tells by what loads and what is permitted which type x has.
func argumentType(t *testing.T, schema string) string {
	t.Helper()
	x, defs, _ := strings.Cut(schema, `, "$defs"`)
	parts := `"properties": {"x": ` + x + `}`
	if defs != "" {
		parts += `, "$defs"` + defs
	}
	with := func(condition string) (*policy.Set, []policy.Problem, policy.Config) {
		c := world(file("x.cedar", onRefund("permit", "context.args has x && "+condition), onRefund("permit", "!(context.args has x)")))
		c.Servers[1].Tools = []policy.Tool{{Name: "refund", InputSchema: []byte(`{"type": "object", ` + parts + `}`)}}
		set, problems := policy.Load(c)
		return set, problems, c
	}
	name := "String"
	set, problems, _ := with(`context.args.x == "a"`)
	if set == nil {
		if set, _, _ = with(`context.args.x.contains("a")`); set != nil {
			return "Set<String>"
		}
		if set, _, _ = with(`true`); set == nil {
			t.Fatalf("%s: %s", schema, show(problems))
		}
		name = "any"
	}
	switch d := set.Decide(ask("alice").calls("payments", "refund", `{"x": null}`)); {
	case d.Reason == "permitted" && name == "String":
		return name + "?"
	case len(d.Policies) > 0 && strings.HasSuffix(d.Policies[0], ":2"):
		return name + "?"
	}
	return name
}
