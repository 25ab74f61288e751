package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

// maxArgPath bounds the steps of a path of arguments: the validator's work on
// an unguarded path doubles with each step.
const maxArgPath = 12

// A read is one path of arguments that a rule reads, with its type.
type read struct {
	argType
	path []string
	text string // as policies write it
	// required says that the one tool of the rule requires the argument;
	// optional that validation could not take it for granted.
	required, optional bool
}

// validate checks r against the schema in which context.args has the type of
// what r reads.
func (l *loader) validate(r *rule) {
	if !l.checkDoubling(r) {
		return
	}
	if r.usage.sourceIP && !l.config.TrustedHops {
		l.advise(r, "context.sourceIp is the address of Envoy's peer, since trusted_hops is not set",
			"behind a load balancer that is the balancer: set trusted_hops")
	}
	if r.scope.canCallTools() {
		before := len(l.problems)
		l.resolveReads(r)
		if len(l.problems) > before {
			return // the validator would only repeat it in other words
		}
	}
	l.checkTypes(r)
	checker := validate.New(withArguments(l.schema, argsType(r.reads)), validate.WithStrict())
	if err := checker.Policy("", joined(r.ast)); err != nil {
		for _, message := range validationMessages(leaves(err)) {
			l.problem(r, message, validationHint(message))
		}
	}
}

// checkTypes refuses a test for a type that the schema does not have. It is
// always false, and the validator of cedar-go 1.9.0 lets it pass.
func (l *loader) checkTypes(r *rule) {
	for _, c := range r.ast.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			switch v := n.(type) {
			case ast.NodeTypeIs:
				l.checkType(r, v.EntityType)
			case ast.NodeTypeIsIn:
				l.checkType(r, v.EntityType)
			}
			return true
		})
	}
}

func (l *loader) checkType(r *rule, t cedar.EntityType) {
	_, entity := l.schema.Entities[t]
	_, enum := l.schema.Enums[t]
	if entity || enum || t == typeAction {
		return
	}
	message := fmt.Sprintf("unrecognized entity type `%s`", t)
	l.problem(r, message, validationHint(message))
}

// joined returns p with all its conditions in one: cedar-go types each one
// alone, so a has in the first would not guard the second.
func joined(p *ast.Policy) *ast.Policy {
	if len(p.Conditions) == 0 {
		return p
	}
	var all ast.IsNode
	for i, c := range p.Conditions {
		next := c.Body
		if c.Condition == ast.ConditionUnless {
			next = ast.Not(ast.NewNode(next)).AsIsNode()
		}
		if i == 0 {
			all = next
			continue
		}
		all = ast.NodeTypeAnd{BinaryNode: ast.BinaryNode{Left: all, Right: next}}
	}
	whole := *p
	whole.Conditions = []ast.ConditionType{{Condition: ast.ConditionWhen, Body: all}}
	return &whole
}

// argsType is the record type of reads.
func argsType(reads []read) resolved.RecordType {
	args := resolved.RecordType{}
	for _, r := range reads {
		record := args
		for _, name := range r.path[:len(r.path)-1] {
			record = record[cedar.String(name)].Type.(resolved.RecordType)
		}
		last := cedar.String(r.path[len(r.path)-1])
		record[last] = resolved.Attribute{Type: cedarType(r.argType), Optional: r.optional}
	}
	return args
}

func cedarType(t argType) resolved.IsType {
	switch t.kind {
	case kindString:
		return resolved.StringType{}
	case kindLong:
		return resolved.LongType{}
	case kindDecimal:
		return resolved.ExtensionType("decimal")
	case kindBool:
		return resolved.BoolType{}
	case kindSet:
		return resolved.SetType{Element: cedarType(argType{kind: t.elem})}
	}
	return resolved.RecordType{}
}

// forAction is what the validator adds for each action that a policy covers.
var forAction = regexp.MustCompile(` (?:in context )?for MCP::Action::"([^"]*)"`)

// nothingApplies is what the validator says of a scope in which no action,
// principal and resource fit together.
const nothingApplies = "unable to find an applicable action given the policy scope constraints"

// validationMessages sorts and merges what the validator says, which comes in
// random order and once for each action.
func validationMessages(errs []error) []string {
	actions := map[string][]string{}
	for _, err := range errs {
		message := err.Error()
		action := ""
		if m := forAction.FindStringSubmatch(message); m != nil {
			action, message = m[1], strings.Replace(message, m[0], " in context", 1)
		}
		actions[message] = append(actions[message], action)
	}
	if len(actions) > 1 {
		delete(actions, nothingApplies) // what else was found is the cause
	}
	messages := slices.Sorted(maps.Keys(actions))
	for i, message := range messages {
		names := slices.Compact(slices.Sorted(slices.Values(actions[message])))
		switch {
		case names[0] == "":
		case len(names) == 1:
			messages[i] += fmt.Sprintf(" (%s)", names[0])
		default:
			messages[i] += fmt.Sprintf(" (%s and %d more actions)", names[0], len(names)-1)
		}
	}
	return messages
}

// validationHint says what to write instead, for the usual mistakes.
func validationHint(message string) string {
	for _, h := range [...]struct{ part, hint string }{
		{"unable to guarantee safety of access to optional attribute",
			"guard it: `context.args has x && …` or `if context.args has x then … else …`; `!(context.args has x) || …` does not validate"},
		{"unable to guarantee safety of access to tag", `guard it: principal.hasTag("x") && principal.getTag("x")…`},
		{"unrecognized entity type", `types are written with their namespace: MCP::Group::"corp/engineering"`},
		{"unrecognized action", `actions are the JSON-RPC methods: MCP::Action::"tools/call"; GET is "stream/get", DELETE "session/delete"`},
		{nothingApplies,
			`for a group of actions write: action in MCP::Action::"list"; tools/call is on a Tool, prompts/get on a Prompt, resources/read on a Resource, everything else on the Server`},
		{"attribute `args` in context", `only tools/call has arguments: write action == MCP::Action::"tools/call", or context has args && …`},
		{"but saw decimal", `an argument of JSON Schema type "number" is a decimal: context.args.x.lessThan(decimal("10.0"))`},
	} {
		if strings.Contains(message, h.part) {
			return h.hint
		}
	}
	return ""
}
