package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A story is told to a transcript, at one gate.
type story struct {
	*transcript
	world *world
	gate  *gate

	// Those who signed in. Each holds one token for one server.
	alice, bob, carol *client
	// followed is the request whose spans are shown at the end.
	followed *asked
}

// tell tells all of it. A step that cannot go on is a failure, and the next
// one follows.
func (s *story) tell(ctx context.Context) {
	steps := []struct {
		heading string
		tell    func(context.Context) error
	}{
		{"Step 1, connect", s.connect},
		{"Steps 2 and 3, sign in", s.signIn},
		{"Step 4, validate", s.validate},
		{"Step 5, authorize", s.authorize},
		{"The 9 AM and 2 AM pair", s.hours},
		{"Two layers", s.layers},
		{"Both protocol eras", s.eras},
		{"What happened", s.happened},
	}
	for _, step := range steps {
		if ctx.Err() != nil {
			return
		}
		s.heading(step.heading)
		if err := step.tell(ctx); err != nil {
			s.fail("this step", err)
		}
	}
}

// endpoint is the URL of a server at the story's gate.
func (s *story) endpoint(server string) string { return s.gate.envoy.URL("/" + server + "/mcp") }

// callsTool asks for one tool call. The expectation's action and resource are
// filled in, and what runs and comes back where it is permitted.
func (s *story) callsTool(ctx context.Context, c *client, tool string, arguments map[string]any, want expectation) *asked {
	text, err := json.Marshal(arguments)
	if err != nil {
		panic(err) // maps of texts and numbers
	}
	s.say("\n%s calls %s with %s at %s.", c.name, tool, text, c.server())
	want.action, want.resource = "tools/call", "Tool/"+c.server()+"/"+tool
	if want.reason == "permitted" {
		want.answer, want.runs = fmt.Sprintf("%s ran with %s", tool, text), "tools/call "+tool
	}
	return s.ask(ctx, c, string(text), func(ctx context.Context) (string, error) {
		result, err := c.session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
		if err != nil {
			return "", err
		}
		return content(result), nil
	}, want)
}

// content is the text of a tool's result.
func content(result *mcp.CallToolResult) string {
	var texts []string
	for _, c := range result.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			texts = append(texts, t.Text)
		}
	}
	return strings.Join(texts, "\n")
}

// listsTools asks for the tools.
func (s *story) listsTools(ctx context.Context, c *client, want expectation) {
	s.say("\n%s lists the tools of %s.", c.name, c.server())
	want.action, want.resource = "tools/list", "Server/"+c.server()
	if want.reason == "permitted" {
		want.answer, want.runs = "delete_repo, echo, read_file, refund, search, write_file", "tools/list"
	}
	s.ask(ctx, c, "", func(ctx context.Context) (string, error) {
		result, err := c.session.ListTools(ctx, nil)
		if err != nil {
			return "", err
		}
		var names []string
		for _, t := range result.Tools {
			names = append(names, t.Name)
		}
		slices.Sort(names)
		return strings.Join(names, ", "), nil
	}, want)
}

// readsResource asks for one resource.
func (s *story) readsResource(ctx context.Context, c *client, uri string, want expectation) {
	s.say("\n%s reads the resource %s of %s.", c.name, uri, c.server())
	want.action, want.resource = "resources/read", "Resource/"+c.server()+"/"+uri
	if want.reason == "permitted" {
		want.answer, want.runs = "the contents of "+uri, "resources/read "+uri
	}
	s.ask(ctx, c, "", func(ctx context.Context) (string, error) {
		result, err := c.session.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
		if err != nil {
			return "", err
		}
		var texts []string
		for _, c := range result.Contents {
			texts = append(texts, c.Text)
		}
		return strings.Join(texts, "\n"), nil
	}, want)
}
