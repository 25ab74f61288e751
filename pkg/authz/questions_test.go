package authz

import (
	"context"
	"testing"

	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
)

// Questions are what Check asks the policies of e about r, which has to reach
// them.
func Questions(t *testing.T, e *Engine, r Request) []policy.Request {
	t.Helper()
	ctx, _, cancel := within(context.Background())
	defer cancel()
	c := e.begin(ctx, r)
	c.site = c.routes.find(r).site
	call, fault := mcp.Parse(r.HTTP, c.rules())
	who, err := c.authenticate()
	if fault != nil || err != nil {
		t.Fatalf("request does not reach the policies: %v, %v", fault, err)
	}
	q := newQuestion(c.site, who, call, sourceOf(r, c.TrustedHops), c.Now())
	var all []policy.Request
	for _, what := range call.Questions {
		all = append(all, q.asks(what, call)...)
	}
	return all
}
