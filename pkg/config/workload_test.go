package config_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

func TestWorkloads(t *testing.T) {
	c := parse(t, testdata+"/good/workloads.yaml")
	want := []token.Workload{
		{Name: "batch", TrustDomain: "example.org"},
		{Name: "mesh", TrustDomain: "mesh_1.example.org", Forwarded: true},
	}
	if diff := cmp.Diff(want, c.Workloads); diff != "" {
		t.Errorf("Workloads (-want +got):\n%s", diff)
	}
	var got []token.Accept
	for _, s := range c.EngineServers() {
		a := s.Accept()
		got = append(got, token.Accept{Issuers: a.Issuers, Workloads: a.Workloads, RequireDPoP: a.RequireDPoP, DPoPNonce: a.DPoPNonce})
	}
	accepts := []token.Accept{
		{Workloads: []string{"batch"}},
		{Issuers: []string{"corp"}, Workloads: []string{"mesh"}, RequireDPoP: true, DPoPNonce: true},
		{Issuers: []string{"corp"}},
	}
	if diff := cmp.Diff(accepts, got); diff != "" {
		t.Errorf("what servers accept (-want +got):\n%s", diff)
	}
}

// Policies may name workloads, and no groups of them.
func TestAssembleWithWorkloads(t *testing.T) {
	c := parse(t, testdata+"/good/workloads.yaml")
	assemble := func(policies string) (*config.Assembly, []config.Problem) {
		return c.Assemble(config.Parts{Files: []policy.File{{Name: "main.cedar", Text: []byte(policies)}}, Records: discard{}})
	}
	a, problems := assemble(`forbid (principal == MCP::Agent::"batch/ns/batch/sa/nightly", action, resource);`)
	if a == nil {
		t.Fatalf("Assemble found\n%s", report(problems))
	}
	if a, problems := assemble(`forbid (principal in MCP::Group::"batch/ns", action, resource);`); a != nil || len(problems) == 0 {
		t.Errorf("Assemble with a group of a workload = %v, %v, want a problem", a, problems)
	}
	i := slices.IndexFunc(a.Engine.Servers, func(s authz.Server) bool { return s.Name == "reports" })
	verifier, err := c.Verifier(config.Parts{})
	if err != nil {
		t.Fatal(err)
	}
	peer := token.Peer{Principal: "spiffe://example.org/ns/batch/sa/nightly"}
	who, err := verifier.Verify(t.Context(), token.Credential{Peer: peer}, a.Engine.Servers[i].Accept())
	if err != nil || who.Kind != token.Agent || who.Issuer != "batch" || who.Subject != "ns/batch/sa/nightly" {
		t.Errorf("Verify of a workload = %+v, %v, want it", who, err)
	}
}
