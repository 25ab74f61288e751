package config_test

import (
	"fmt"

	"github.com/cedargate/cedargate/pkg/config"
)

func ExampleParse() {
	c, problems := config.Parse("cedargate.yaml", []byte(`
issuers:
  - { name: corp, issuer: https://login.example.com/, jwksUri: https://login.example.com/keys }
servers:
  - { name: github, resource: https://mcp.example.com/github/mcp, issuers: [corp] }
policies: { path: policies, path: other }
`))
	fmt.Println("made:", c != nil)
	for _, p := range problems {
		fmt.Println(p)
		if p.Hint != "" {
			fmt.Println("  hint:", p.Hint)
		}
	}
	// Output:
	// made: false
	// cedargate.yaml:3:55: issuers[0].jwksUri: unknown field
	//   hint: write jwks_uri
	// cedargate.yaml:6:29: policies.path: is written twice, first in line 6
}
