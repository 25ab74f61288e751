package policy_test

import (
	"fmt"

	"github.com/cedar-policy/cedar-go"

	"github.com/cedargate/cedargate/pkg/policy"
)

func Example() {
	set, problems := policy.Load(policy.Config{
		Servers: []policy.Server{{Name: "github"}},
		Issuers: []policy.Issuer{{Name: "corp", Groups: true}},
		Files: []policy.File{{Name: "lists.cedar", Text: []byte(`
			@id("staff-list")
			permit (
			  principal in MCP::Issuer::"corp",
			  action in MCP::Action::"list",
			  resource in MCP::Server::"github"
			);`)}},
	})
	if set == nil {
		fmt.Println(problems)
		return
	}
	corp := cedar.NewEntityUID("MCP::Issuer", "corp")
	alice := cedar.NewEntityUID("MCP::User", "corp/alice")
	github := cedar.NewEntityUID("MCP::Server", "github")
	for _, action := range []string{"tools/list", "tasks/list"} {
		d := set.Decide(policy.Request{
			Principal: alice, Action: action, Resource: github, Server: "github",
			Entities: cedar.EntityMap{
				corp:   {UID: corp},
				alice:  {UID: alice, Parents: cedar.NewEntityUIDSet(corp)},
				github: {UID: github},
			},
		})
		fmt.Println(action, d.Allowed, d.Reason, d.Policies)
	}
	// Output:
	// tools/list true permitted [staff-list]
	// tasks/list false no_permit []
}
