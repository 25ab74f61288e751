package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// attackPolicies let alice query, and read below docs. Whatever an attack is
// after has "drop" in it, and nothing permits that.
const attackPolicies = `
@id("query")
permit (principal == MCP::User::"corp/alice", action == MCP::Action::"tools/call", resource == MCP::Tool::"demo/query");

@id("no-drop")
forbid (principal, action == MCP::Action::"tools/call", resource == MCP::Tool::"demo/query")
unless { context.args.sql like "select *" };

@id("docs")
permit (principal == MCP::User::"corp/alice", action == MCP::Action::"resources/read", resource in MCP::ResourceDir::"demo/file:///srv/docs/");
`

// A field is what an attacker meets: Cedargate, tokens good and bad, and a
// server that believes everything.
type field struct {
	cedargate *stack.Cedargate
	server    *stack.Recorder
	tokens    map[string]string
}

func newField(t *testing.T, more string) field {
	t.Helper()
	return newTracedField(t, more, "")
}

// newTracedField sends spans to collector.
func newTracedField(t *testing.T, more, collector string) field {
	t.Helper()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	return field{
		cedargate: newCedargate(t, stack.CedargateConfig{
			Config: config(issuer, more), Files: policies(attackPolicies), Collector: collector,
		}),
		server: newRecorder(t),
		tokens: tokens(issuer, newIssuer(t, authztest.IssuerConfig{})),
	}
}

// tokens are a good one, and the kinds of bad ones, by name.
func tokens(issuer, stranger *authztest.Issuer) map[string]string {
	return map[string]string{
		"token":    issuer.Mint(nil),
		"other":    issuer.Mint(map[string]any{"aud": openResource}),
		"expired":  issuer.Mint(map[string]any{"exp": time.Now().Add(-24 * time.Hour).Unix()}),
		"forged":   issuer.Mint(nil, authztest.Forged()),
		"unsigned": issuer.Mint(nil, authztest.Unsigned()),
		"confused": issuer.Mint(nil, authztest.Confused()),
		"identity": issuer.Mint(map[string]any{"nonce": "n"}, authztest.WithHeader("typ", "JWT")),
		"stranger": stranger.Mint(nil),
	}
}

// routes lead to demo by name, and to open by its host.
func (f field) routes() []stack.Route {
	return []stack.Route{{Path: "/mcp", Server: "demo"}, {Path: "/open/mcp"}}
}

// Every attack ends in a refusal with its own reason and one record, or in
// exactly what was authorized.
func TestAttacks(t *testing.T) {
	t.Parallel()
	f := newField(t, "")
	envoy := newEnvoy(t, stack.EnvoyConfig{Authz: f.cedargate.Addr(), Upstream: f.server.Addr(), Routes: f.routes()})
	attacks := loadAttacks(t)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			got := send(t, envoy.Addr(), a.bytes(a.name, f.tokens))
			if got.status != a.status {
				t.Fatalf("%s: status %d, want %d: %s", a.why, got.status, a.status, got.body)
			}
			if a.status != http.StatusOK && a.reason != "-" && !strings.HasPrefix(a.head, "HEAD ") {
				checkRefusal(t, got, a.reason)
			}
			f.checkServed(t, a.name, a.reason == "permitted")
		})
	}
	f.checkRecords(t, envoy, attacks)
}

// checkRefusal holds the shape of contract §1.
func checkRefusal(t *testing.T, got answer, reason string) {
	t.Helper()
	var body struct {
		JSONRPC string
		Error   struct {
			Code int
			Data struct{ DecisionID, Reason string }
		}
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Fatalf("body %q is no JSON: %v", got.body, err)
	}
	if body.JSONRPC != "2.0" || body.Error.Code == 0 || body.Error.Data.DecisionID == "" || body.Error.Data.Reason != reason {
		t.Errorf("body is %s, want a JSON-RPC error with reason %s", got.body, reason)
	}
	if got.header.Get("content-type") != "application/json" || got.header.Get("cache-control") != "no-store" {
		t.Errorf("header is %v, want JSON that is not stored", got.header)
	}
}

// checkServed holds what the server got from agent: nothing, or one request
// that is what was authorized.
func (f field) checkServed(t *testing.T, agent string, permitted bool) {
	t.Helper()
	served := 0
	for _, r := range f.server.Requests() {
		if r.Header.Get("user-agent") != agent {
			continue
		}
		served++
		f.checkAuthorized(t, r)
	}
	if want := map[bool]int{true: 1}[permitted]; served != want {
		t.Errorf("the server got %d requests, want %d", served, want)
	}
}

// checkAuthorized holds what is true of every request that reaches the server,
// however the proxy is set up.
func (f field) checkAuthorized(t *testing.T, r stack.Request) {
	t.Helper()
	path, _, _ := strings.Cut(r.Path, "?")
	if path != "/mcp" && path != "/mcp/" && path != "/open/mcp" {
		t.Errorf("the server got path %q", r.Path)
	}
	if strings.Contains(string(r.Body), "drop") || strings.Contains(r.Header.Get("mcp-name"), "drop") {
		t.Errorf("the server got %s with Mcp-Name %q, which nobody permitted", r.Body, r.Header.Get("mcp-name"))
	}
	ours := 0
	for name, values := range r.Header {
		for _, value := range values {
			if strings.Contains(value, f.tokens["token"]) || strings.Contains(value, f.tokens["other"]) {
				t.Errorf("the server got the token, in %s", name)
			}
		}
		switch plain := strings.ToLower(strings.ReplaceAll(name, "_", "-")); {
		case name == "X-Cedargate-Principal" && len(values) == 1 && values[0] == "User/corp/alice":
			ours++
		case name == "X-Cedargate-Decision-Id" && len(values) == 1 && len(values[0]) == 32:
			ours++
		case strings.HasPrefix(plain, "x-cedargate-"):
			t.Errorf("the server got %s: %q", name, values)
		}
	}
	if ours != 2 {
		t.Errorf("the server got %v, want our two headers", r.Header)
	}
}

// checkRecords holds that each attack left one record with its reason, and
// none where Envoy refused before it asked.
func (f field) checkRecords(t *testing.T, envoy *stack.Envoy, attacks []attack) {
	t.Helper()
	f.settle(t, envoy, "the last one")
	for _, a := range attacks {
		own := byAgent(f.cedargate.Records(), a.name)
		switch {
		case a.reason == "-" && len(own) != 0:
			t.Errorf("%s: records are %v, want none: Envoy refuses it", a.name, own)
		case a.reason != "-" && (len(own) != 1 || own[0]["reason"] != a.reason || own[0]["status"] != float64(a.status)):
			t.Errorf("%s: records are %v, want one with status %d and reason %s", a.name, own, a.status, a.reason)
		}
	}
}

// settle waits until every record so far has been read.
func (f field) settle(t *testing.T, envoy *stack.Envoy, last string) {
	t.Helper()
	post(t, envoy.URL("/mcp"), "", last, "{}")
	if _, err := f.cedargate.WaitRecord(soon(t), func(r map[string]any) bool { return r["user_agent"] == last }); err != nil {
		t.Fatal(err)
	}
}

// Security does not rest on the proxy's care: with its protections taken out of
// the configuration, still nothing runs that was not authorized. Answers may
// differ; what the server gets may not. One setting stays, pack_as_bytes: as a
// string each byte that is not UTF-8 reaches Cedargate as "!".
func TestAttacksOnACarelessProxy(t *testing.T) {
	t.Parallel()
	f := newField(t, "")
	authz, manager := stack.ExtAuthzPath, stack.ManagerPath
	envoy := newEnvoy(t, stack.EnvoyConfig{
		Authz: f.cedargate.Addr(), Upstream: f.server.Addr(), Routes: []stack.Route{{Path: "/mcp"}},
		Set: map[string]any{
			stack.SizeLimitPath:                                                       nil,
			authz + "/failure_mode_allow":                                             true,
			authz + "/with_request_body/allow_partial_message":                        true,
			authz + "/encode_raw_headers":                                             false,
			authz + "/validate_mutations":                                             false,
			authz + "/decoder_header_mutation_rules":                                  nil,
			manager + "/normalize_path":                                               false,
			manager + "/merge_slashes":                                                false,
			manager + "/path_with_escaped_slashes_action":                             "KEEP_UNCHANGED",
			manager + "/common_http_protocol_options/headers_with_underscores_action": "ALLOW",
			manager + "/early_header_mutation_extensions":                             nil,
			manager + "/use_remote_address":                                           false,
			manager + "/route_config/virtual_hosts/0/routes/0/match":                  map[string]any{"prefix": "/"},
		},
	})
	for _, a := range loadAttacks(t) {
		send(t, envoy.Addr(), a.bytes(a.name, f.tokens))
	}
	f.settle(t, envoy, "the last one")
	served := f.server.Requests()
	if len(served) < 10 {
		t.Errorf("the server got %d requests, want all that are harmless", len(served))
	}
	for _, r := range served {
		f.checkAuthorized(t, r)
		own := byAgent(f.cedargate.Records(), r.Header.Get("user-agent"))
		if len(own) != 1 || own[0]["decision_id"] != r.Header.Get("x-cedargate-decision-id") {
			t.Errorf("%s: records are %v, want the one of the request that the server got", r.Header.Get("user-agent"), own)
		}
	}
}
