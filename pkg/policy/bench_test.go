package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/policy"
)

// BenchmarkDecide asks about a call with 20 arguments, of which one policy
// reads two, among policies for other tools.
func BenchmarkDecide(b *testing.B) {
	arguments := `{"amount": 300, "currency": "EUR", "ticket": "T-1"`
	for i := range 17 {
		arguments += fmt.Sprintf(`, "extra_%d": "some value"`, i)
	}
	arguments += "}"
	for _, count := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("policies=%d", count), func(b *testing.B) {
			var text strings.Builder
			text.WriteString(onRefund("permit", `context.args.amount <= 500 && context.args.currency == "EUR"`))
			for i := 1; i < count; i++ {
				fmt.Fprintf(&text, "\npermit (principal in MCP::Group::\"corp/g%d\", action == MCP::Action::\"tools/call\", resource == MCP::Tool::\"github/get_issue\") when { resource.readOnly };", i)
			}
			set := load(b, text.String())
			request := ask("alice", "support", "everyone", "berlin").calls("payments", "refund", arguments)
			b.ReportAllocs()
			for b.Loop() {
				if !set.Decide(request).Allowed {
					b.Fatal("denied")
				}
			}
		})
	}
}

// BenchmarkLoad loads a thousand policies, as a reload does.
func BenchmarkLoad(b *testing.B) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "permit (principal in MCP::Group::\"corp/g%d\", action == MCP::Action::\"tools/call\", resource == MCP::Tool::\"github/get_issue\") when { resource.readOnly };\n", i)
	}
	c := world(file("many.cedar", text.String()))
	b.ReportAllocs()
	for b.Loop() {
		if set, problems := policy.Load(c); set == nil {
			b.Fatal(show(problems))
		}
	}
}
