package config_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/authztest"
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

// A proof that was used stays used over an edit of the configuration, and so
// does a nonce: each Assembly hands on what it has seen.
func TestProofsOutliveAReload(t *testing.T) {
	c := parse(t, testdata+"/good/workloads.yaml")
	issuer, err := authztest.NewIssuer(authztest.IssuerConfig{Audience: "https://mcp.example.com/github/mcp"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { issuer.Close() })
	c.Issuers[0].Identifier = issuer.URL()
	jwk := authztest.PublicJWK(issuer.PublicKey(""))
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, jwk["crv"], jwk["x"], jwk["y"]))
	jkt := base64.RawURLEncoding.EncodeToString(sum[:])
	raw := issuer.Mint(map[string]any{"cnf": map[string]any{"jkt": jkt}})
	hash := sha256.Sum256([]byte(raw))
	accept := c.Servers[1].Accept()
	with := func(nonce string) token.Credential {
		proof := issuer.Mint(map[string]any{
			"htm": "POST", "htu": "https://mcp.example.com/github/mcp", "ath": base64.RawURLEncoding.EncodeToString(hash[:]), "nonce": nonce,
		}, authztest.WithHeader("typ", "dpop+jwt"), authztest.WithHeader("jwk", jwk))
		return token.Credential{Raw: raw, DPoP: true, Proofs: []string{proof}, Method: "POST", URL: "https://mcp.example.com/github/mcp"}
	}
	verify := func(a *config.Assembly, c token.Credential) *token.Error {
		_, err := a.Engine.Tokens.Verify(t.Context(), c, accept)
		refused, _ := errors.AsType[*token.Error](err)
		return refused
	}
	before, _ := c.Assemble(config.Parts{Records: discard{}})
	refused := verify(before, with(""))
	if refused == nil || refused.Reason != token.UseDPoPNonce {
		t.Fatalf("Verify without a nonce = %v, want %s", refused, token.UseDPoPNonce)
	}
	used := with(refused.Nonce)
	if err := verify(before, used); err != nil {
		t.Fatalf("Verify = %v, want none", err)
	}
	after, _ := c.Assemble(config.Parts{Records: discard{}, Before: before})
	if err := verify(after, used); err == nil || err.Reason != token.InvalidDPoPProof {
		t.Errorf("Verify again after a reload = %v, want %s", err, token.InvalidDPoPProof)
	}
	if err := verify(after, with(refused.Nonce)); err != nil {
		t.Errorf("Verify of a new proof after a reload = %v, want none", err)
	}
}
