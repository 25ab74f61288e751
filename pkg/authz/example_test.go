package authz_test

import (
	"context"
	"fmt"
	"time"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

// everyone believes every token. NEVER do this outside of an example.
type everyone struct{}

func (everyone) Verify(_ context.Context, c token.Credential, _ token.Accept) (token.Claims, error) {
	return token.Claims{Kind: token.User, Issuer: "corp", Subject: c.Raw}, nil
}

// printed is a record that people read.
type printed struct{}

func (printed) Record(_ context.Context, r audit.Record) error {
	fmt.Println(r.Principal, r.Method, r.Tool, r.Decision, r.Reason)
	return nil
}

func ExampleEngine_Check() {
	set, _ := policy.Load(policy.Config{
		Servers: []policy.Server{{Name: "github"}},
		Issuers: []policy.Issuer{{Name: "corp"}},
		Files: []policy.File{{Name: "main.cedar", Text: []byte(`
			permit (principal == MCP::User::"corp/alice", action == MCP::Action::"tools/call", resource);
		`)}},
	})
	engine, err := authz.New(authz.Config{
		Servers: []authz.Server{{
			Name: "github", Resource: "https://mcp.example.com/mcp",
			Hosts: []string{"mcp.example.com"}, Paths: []string{"/mcp"}, Issuers: []string{"corp"}, Location: time.UTC,
		}},
		Tokens: everyone{}, Policies: set, Records: printed{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file"}}`
	for _, name := range []string{"alice", "bob"} {
		result := engine.Check(context.Background(), authz.Request{
			Host: "mcp.example.com", Path: "/mcp",
			HTTP: mcp.HTTP{Method: "POST", Body: []byte(body), Size: int64(len(body)), Header: []mcp.Field{
				{Name: "authorization", Value: "Bearer " + name}, {Name: "content-type", Value: "application/json"},
			}},
		})
		fmt.Println(result.Allowed, result.Status)
	}
	// Output:
	// User/corp/alice tools/call read_file allow permitted
	// true 200
	// User/corp/bob tools/call read_file deny no_permit
	// false 403
}
