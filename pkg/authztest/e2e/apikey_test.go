package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
	"github.com/cedargate/cedargate/pkg/token"
)

// keyRules are what envoy/envoy.yaml says to add for a header for API keys.
const keyRules = stack.ExtAuthzPath + "/decoder_header_mutation_rules/allow_expression/regex"

// A workshop is a server for jobs with API keys alone.
type workshop struct {
	cedargate *stack.Cedargate
	server    *stack.Recorder
	key       string
}

func newWorkshop(t *testing.T) workshop {
	t.Helper()
	key := token.NewAPIKey()
	config := fmt.Appendf(nil, `
api_keys:
  - { name: ci-bot, hash: %q, groups: [ci] }
servers:
  - { name: demo, resource: %s, api_keys: [ci-bot], api_key_header: x-api-key }
policies: { path: policies }
`, token.HashOf(key), demoResource)
	return workshop{
		cedargate: newCedargate(t, stack.CedargateConfig{Config: config, Files: policies(
			`permit (principal in MCP::Group::"key/ci", action == MCP::Action::"tools/call", resource == MCP::Tool::"demo/query");`,
		)}),
		server: newRecorder(t),
		key:    key,
	}
}

// ask sends a call with a header.
func (w workshop) ask(t *testing.T, e *stack.Envoy, agent, name, value string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(soon(t), http.MethodPost, e.URL("/mcp"), strings.NewReader(queryCall))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("content-type", "application/json")
	if name != "" {
		req.Header.Set(name, value)
	}
	return do(t, bearer{"", agent}, req)
}

// A key, in either place, is an agent to the policies and to the server, which
// never gets the key. No record and no log line holds it.
func TestAPIKeys(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t)
	envoy := newEnvoy(t, stack.EnvoyConfig{
		Authz: w.cedargate.Addr(), Upstream: w.server.Addr(),
		Set: map[string]any{keyRules: "^(x[-_]cedargate[-_].*|authorization|x-api-key)$"},
	})
	for name, value := range map[string]string{"x-api-key": w.key, "authorization": "Bearer " + w.key} {
		w.server.Reset()
		if got := w.ask(t, envoy, "by "+name, name, value); got.status != http.StatusOK {
			t.Errorf("call with a key in %s = %d %s, want 200", name, got.status, got.body)
		}
		served := w.server.Requests()
		if len(served) != 1 || served[0].Header.Get(name) != "" || served[0].Header.Get("x-cedargate-principal") != "Agent/key/ci-bot" {
			t.Errorf("with a key in %s the server got %v, want one call of ci-bot without it", name, served)
		}
		if records := byAgent(w.cedargate.Records(), "by "+name); len(records) != 1 || records[0]["principal"] != "Agent/key/ci-bot" {
			t.Errorf("records of the call with a key in %s are %v, want one of ci-bot", name, records)
		}
	}
	w.server.Reset()
	got := w.ask(t, envoy, "nobody", "", "")
	if got.status != http.StatusUnauthorized || got.header.Get("www-authenticate") != "Bearer" || len(w.server.Requests()) > 0 {
		t.Errorf("call without a key = %d, challenge %q, want 401 and Bearer", got.status, got.header.Get("www-authenticate"))
	}
	if _, err := envoy.WaitAccess(soon(t), func(l map[string]any) bool { return l["status"] == float64(401) }); err != nil {
		t.Fatal(err)
	}
	for what, v := range map[string]any{"records": w.cedargate.Records(), "access log": envoy.AccessLog(), "logs": append(w.cedargate.Log(), envoy.Log())} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), w.key) {
			t.Errorf("the %s hold the key: %s", what, text)
		}
	}
}

// An operator who forgets the header in Envoy's allow-list gets errors, not a
// server that collects keys.
func TestAPIKeyHeaderThatEnvoyMayNotRemove(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t)
	envoy := newEnvoy(t, stack.EnvoyConfig{Authz: w.cedargate.Addr(), Upstream: w.server.Addr()})
	if got := w.ask(t, envoy, "job", "x-api-key", w.key); got.status != http.StatusInternalServerError {
		t.Errorf("call with a header that Envoy may not remove = %d, want 500", got.status)
	}
	if n := len(w.server.Requests()); n != 0 {
		t.Errorf("the server got %d requests, want none", n)
	}
	// As a bearer token the key needs nothing of Envoy.
	if got := w.ask(t, envoy, "job", "authorization", "Bearer "+w.key); got.status != http.StatusOK {
		t.Errorf("call with the key as a bearer token = %d, want 200", got.status)
	}
}
