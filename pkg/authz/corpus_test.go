package authz_test

import (
	"os"
	"testing"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/authztest/corpus"
)

func theCorpus(tb testing.TB) ([]corpus.Case, *corpus.World) {
	tb.Helper()
	cases, world, err := corpus.Open(os.DirFS("../../testdata"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { world.Close() })
	return cases, world
}

// Every question that the engine asks of the policies is one that the schema
// knows: entities, attributes, tags, ancestors and context. Policies that were
// validated against the schema would otherwise err, or sleep.
func TestQuestionsConformToTheSchema(t *testing.T) {
	cases, world := theCorpus(t)
	asked := map[string]bool{}
	for _, c := range cases {
		asks := c.Expect.Layer == "authorization" && c.Expect.Reason != "claim_unreadable"
		if _, out := c.LeavesOut[corpus.Engine]; out || !asks {
			continue
		}
		sent, err := world.Begin(c)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		for _, q := range authz.Questions(t, world.Engine, sent.Checked()) {
			asked[q.Action] = true
			if err := world.Engine.Policies.Validate(q); err != nil {
				t.Errorf("%s: %s on %s: %v", c.Name, q.Action, q.Resource, err)
			}
		}
	}
	for _, action := range []string{"tools/call", "resources/read", "prompts/get", "stream/get", "unknown"} {
		if !asked[action] {
			t.Errorf("no case asks %s", action)
		}
	}
}

// BenchmarkCheck asks what the corpus allows of tools/call in turn, with
// everything but the proxy: reading, token, policies. Records are not written.
func BenchmarkCheck(b *testing.B) {
	cases, world := theCorpus(b)
	requests, err := world.AllowedCalls(cases)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if result := world.Engine.Check(b.Context(), requests[i%len(requests)]); !result.Allowed {
			b.Fatalf("Check() = %d %s", result.Status, result.Body)
		}
	}
}
