package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
	"github.com/cedargate/cedargate/pkg/token"
)

// gateKey is the public key of testdata/identity/opaque/gate.pem.
func gateKey(t *testing.T) []byte {
	t.Helper()
	file, err := os.ReadFile("../../../testdata/identity/opaque/gate.pem")
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.ParseClientKey(file)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(authztest.PublicJWK(key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	return jwk
}

// asService posts a form as the client svc of oidc-provider.
func asService(t *testing.T, at string, form url.Values) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(soon(t), http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("content-type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("svc", "svc-secret")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&answer) // a revocation has no body
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %d, %v, want 200", at, resp.StatusCode, answer)
	}
	return answer
}

// search calls the tool that is for the service, without a client that would
// get another token.
func (o office) search(t *testing.T, raw string) answer {
	t.Helper()
	const message = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{"query":"c"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"e2e","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`
	r, err := http.NewRequestWithContext(soon(t), http.MethodPost, o.envoy.URL("/mcp"), strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"content-type": "application/json", "accept": "application/json, text/event-stream",
		"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "search",
	} {
		r.Header.Set(name, value)
	}
	return do(t, bearer{raw, t.Name()}, r)
}

// A real OAuth server is asked what its opaque tokens are worth, by a client
// with a secret and by one with a key: people and services call as with JWTs,
// and a token that is revoked is good until its answer is too old.
func TestOpaqueTokens(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string][]string{
		"secret": {"cache: 60s", "cache: 2s"},
		"key":    {"cache: 60s", "cache: 2s", "client_id: gate", "client_id: gate-key", "client_secret_file: gate.secret", "private_key_file: gate.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var op *stack.OIDCProvider
			o := openOffice(t, "opaque", func(resource string) string {
				op = newOIDCProvider(t, stack.OIDCProviderConfig{Resource: resource, Opaque: true, GateKey: gateKey(t)})
				return op.URL()
			}, edit...)
			v := o.mustVisit(t, eras[1], stack.Browser{}, dynamic())
			if err := use(soon(t), v.session, "write_file"); err != nil {
				t.Errorf("write_file: %v, want nil", err)
			}
			says(t, o.record(t, t.Name(), "write_file"), map[string]string{
				"principal": "User/op/alice", "reason": "permitted", "policies": "[write]", "scopes": "[mcp:read mcp:tools]",
			})
			if raw := v.used()[0]; strings.Contains(raw, ".") {
				t.Errorf("the token is no opaque one: it has %d parts", strings.Count(raw, ".")+1)
			}
			o.checkUpstream(t, "User/op/alice", v.used())
			o.revoke(t, op)
		})
	}
}

// revoke uses a token of the service until it is refused.
func (o office) revoke(t *testing.T, op *stack.OIDCProvider) {
	t.Helper()
	raw := fmt.Sprint(asService(t, op.URL()+"/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"mcp:read"}})["access_token"])
	began := time.Now()
	if got := o.search(t, raw); got.status != http.StatusOK {
		t.Fatalf("search: %d, %s, want 200", got.status, got.body)
	}
	says(t, o.record(t, t.Name(), "search"), map[string]string{"principal": "Agent/op/svc", "reason": "permitted", "policies": "[service-searches]"})
	asService(t, op.URL()+"/token/revocation", url.Values{"token": {raw}})
	if got := o.search(t, raw); got.status != http.StatusOK && time.Since(began) < 2*time.Second {
		t.Errorf("search with a token that was revoked a moment ago: %d, %s, want 200: the answer is not two seconds old", got.status, got.body)
	}
	var last answer
	eventually(t, "the refusal of a token that was revoked", func() bool {
		last = o.search(t, raw)
		return last.status != http.StatusOK
	})
	if last.status != http.StatusUnauthorized || !strings.Contains(last.body, `"reason":"inactive_token"`) || !strings.Contains(last.header.Get("www-authenticate"), "invalid_token") {
		t.Errorf("search with a token that was revoked: %d, %v, %s, want 401 and inactive_token", last.status, last.header, last.body)
	}
}

// An OAuth server that does not let Cedargate ask is nobody's reason to log in
// again; a new secret is taken like any edit.
func TestOpaqueTokensWithOldSecret(t *testing.T) {
	t.Parallel()
	var op *stack.OIDCProvider
	o := openOffice(t, "opaque", func(resource string) string {
		op = newOIDCProvider(t, stack.OIDCProviderConfig{Resource: resource, Opaque: true})
		return op.URL()
	})
	raw := fmt.Sprint(asService(t, op.URL()+"/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"mcp:read"}})["access_token"])
	secret := func(text string) {
		says(t, afterReload(t, o.cedargate, func() { replace(t, o.cedargate, "gate.secret", text) }), map[string]string{"reason": "reloaded"})
	}
	secret("of last year")
	got := o.search(t, raw)
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "issuer_unavailable") || got.header.Get("retry-after") == "" {
		t.Errorf("search: %d, %v, %s, want 503, issuer_unavailable and Retry-After", got.status, got.header, got.body)
	}
	waitLog(t, o.cedargate, "status 401: the issuer does not let this client ask")
	secret("gate & secret")
	if got := o.search(t, raw); got.status != http.StatusOK {
		t.Errorf("search with the new secret: %d, %s, want 200", got.status, got.body)
	}
	log := strings.Join(o.cedargate.Log(), "\n")
	for _, hidden := range []string{raw, "of last year", "gate & secret"} {
		if strings.Contains(log, hidden) {
			t.Errorf("the log holds %q", hidden)
		}
	}
}
