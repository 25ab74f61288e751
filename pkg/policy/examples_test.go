package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/policy"
)

func TestExamplesDecide(t *testing.T) {
	set := mustLoad(t, world(examples(t)...))
	const eur = `{"amount": 300, "currency": "EUR", "ticket": "T-1"}`
	tests := []struct {
		story   string
		request policy.Request
		want    string // reason, then the policies
	}{
		{"an engineer reads at nine", ask("alice", "engineering").scopes("github:read").calls("github", "get_issue", `{}`), "permitted engineers-read-github"},
		{"and at two in the night", ask("alice", "engineering").at(2).scopes("github:read").calls("github", "get_issue", `{}`), "permitted engineers-read-github"},
		{"but not without the scope", ask("alice", "engineering").calls("github", "get_issue", `{}`), "no_permit"},
		{"nor does she delete", ask("alice", "engineering").scopes("github:read").calls("github", "delete_repo", `{}`), "no_permit"},
		{"support refunds at nine", ask("carol", "support").calls("payments", "refund", eur), "permitted support-small-refunds"},
		{"and not at two", ask("carol", "support").at(2).calls("payments", "refund", eur), "denied_by_policy production-office-hours"},
		{"not too much", ask("carol", "support").calls("payments", "refund", strings.Replace(eur, "300", "900", 1)), "no_permit"},
		{"nothing negative", ask("carol", "support").calls("payments", "refund", strings.Replace(eur, "300", "-1", 1)), "denied_by_policy no-negative-refunds"},
		{"not in text", ask("carol", "support").calls("payments", "refund", strings.Replace(eur, "300", `"300"`, 1)), "argument_type"},
		{"others do not", ask("dave", "sales").calls("payments", "refund", eur), "no_permit"},
		{"everyone reads the handbook", ask("dave", "everyone").reads("resources/read", "files", "file:///srv/handbook/travel.md"), "permitted handbook-readers"},
		{"but no drafts of it", ask("dave", "everyone").reads("resources/read", "files", "file:///srv/handbook-drafts/travel.md"), "no_permit"},
		{"and no salaries", ask("dave", "everyone").reads("resources/read", "files", "file:///srv/handbook/salaries.ods"), "denied_by_policy salaries-closed"},
		{"staff sees what there is", ask("dave").does("tools/list", "github"), "permitted staff-list"},
		{"an approved agent comments for her", ask("alice", "engineering").actor("triage-bot").calls("tracker", "comment", `{}`), "permitted approved-agents-for-engineers"},
		{"another one does not", ask("alice", "engineering").actor("stray").calls("tracker", "comment", `{}`), "no_permit"},
		{"none destroys", ask("alice", "engineering").actor("triage-bot").calls("tracker", "purge", `{}`), "denied_by_policy agents-never-destroy"},
		{"the nightly job from its network", askAgent("spiffe", "ns/batch/sa/nightly").from("10.20.3.4").calls("tracker", "search", `{}`), "permitted nightly-report"},
		{"and from another", askAgent("spiffe", "ns/batch/sa/nightly").from("10.21.3.4").calls("tracker", "search", `{}`), "no_permit"},
	}
	for _, test := range tests {
		t.Run(test.story, func(t *testing.T) {
			if err := set.Validate(test.request); err != nil {
				t.Fatalf("Validate() = %v", err)
			}
			got := set.Decide(test.request)
			if diff := cmp.Diff(test.want, summary(got)); diff != "" {
				t.Errorf("Decide() differs (-want +got):\n%s", diff)
			}
			if got.Allowed != strings.HasPrefix(test.want, "permitted") {
				t.Errorf("Decide().Allowed = %v with reason %q", got.Allowed, got.Reason)
			}
		})
	}
}

// summary is the reason of d and the policies that decided.
func summary(d policy.Decision) string {
	return strings.Join(append([]string{d.Reason}, d.Policies...), " ")
}
