//go:build more

package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// A realm of Keycloak, in which alice has all that policies ask about, and bob
// nothing. Their passwords are their names.
const (
	corp  = "corp"
	alice = "a11ce000-0000-4000-8000-000000000001"
	bob   = "b0b00000-0000-4000-8000-000000000002"
)

type (
	object = map[string]any
	list   = []any
)

func newKeycloak(t *testing.T) *stack.Keycloak {
	t.Helper()
	k, err := stack.StartKeycloak(t.Context())
	return keep(t, k, err)
}

func person(id, name string) object {
	return object{
		"id": id, "username": name, "enabled": true, "firstName": name, "lastName": "Example",
		"email": name + "@example.com", "emailVerified": true, "credentials": list{object{"type": "password", "value": name}},
	}
}

// createRealm makes what docs/identity.md tells an operator to create, for a
// resource, and a client "other" without the client scope.
func createRealm(t *testing.T, k *stack.Keycloak, resource string) {
	t.Helper()
	create := func(path string, representation object) {
		t.Helper()
		if err := k.Create(soon(t), path, representation); err != nil {
			t.Fatal(err)
		}
	}
	a := person(alice, "alice")
	a["groups"], a["realmRoles"], a["clientRoles"] = list{"/eng/platform"}, list{"writer"}, object{"mcp-notes": list{"searcher"}}
	create("/realms", object{
		"id": corp, "realm": corp, "enabled": true,
		"groups":  list{object{"name": "eng", "subGroups": list{object{"name": "platform"}}}},
		"roles":   object{"realm": list{object{"name": "writer"}}, "client": object{"mcp-notes": list{object{"name": "searcher"}}}},
		"clients": list{object{"clientId": "mcp-notes"}},
		"users":   list{a, person(bob, "bob")},
	})
	mapper := func(name, kind string, config object) object {
		config["access.token.claim"], config["id.token.claim"] = "true", "true"
		return object{"name": name, "protocol": "openid-connect", "protocolMapper": kind, "config": config}
	}
	create("/realms/corp/client-scopes", object{"name": "notes", "protocol": "openid-connect", "protocolMappers": list{
		// In ID tokens too, so that nothing but their type speaks against them.
		mapper("audience", "oidc-audience-mapper", object{"included.custom.audience": resource}),
		mapper("groups", "oidc-group-membership-mapper", object{"claim.name": "groups", "full.path": "true"}),
	}})
	scopes := list{"basic", "roles", "profile", "email"}
	create("/realms/corp/clients", object{
		"clientId": "cli", "publicClient": true, "directAccessGrantsEnabled": true, "defaultClientScopes": append(scopes, "notes"),
	})
	create("/realms/corp/clients", object{
		"clientId": "job", "secret": "job-secret", "serviceAccountsEnabled": true, "defaultClientScopes": append(scopes, "notes"),
	})
	create("/realms/corp/clients", object{
		"clientId": "other", "publicClient": true, "directAccessGrantsEnabled": true, "defaultClientScopes": scopes,
	})
}

// corpTokens asks the realm for tokens; login are pairs of the form.
func corpTokens(t *testing.T, k *stack.Keycloak, login ...string) stack.KeycloakTokens {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(login); i += 2 {
		form.Set(login[i], login[i+1])
	}
	tokens, err := k.Tokens(soon(t), corp, form)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// personTokens are those of someone who signs in with a client.
func personTokens(t *testing.T, k *stack.Keycloak, client, name string) stack.KeycloakTokens {
	t.Helper()
	return corpTokens(t, k, "grant_type", "password", "client_id", client, "username", name, "password", name, "scope", "openid")
}

func jobToken(t *testing.T, k *stack.Keycloak) string {
	t.Helper()
	return corpTokens(t, k, "grant_type", "client_credentials", "client_id", "job", "client_secret", "job-secret").Access
}

// checkUses calls all three tools with a token, and compares what the records
// say: a tool that is not in permitted, by the policy that permits it, is denied.
func (o office) checkUses(t *testing.T, era, raw, principal string, permitted map[string]string) {
	t.Helper()
	o.upstream.Reset()
	tr := o.newTrail(t.Name())
	tr.next = bearer{raw, t.Name()}
	session, err := o.enter(t, era, tr, nil)
	if err != nil {
		t.Fatalf("Connect(%s) = %v, want nil", era, err)
	}
	for _, tool := range []string{"read_file", "write_file", "search"} {
		policy, want := permitted[tool]
		if err := use(soon(t), session, tool); (err == nil) != want {
			t.Errorf("%s: %v, permitted shall be %t", tool, err, want)
		}
		fields := map[string]string{"principal": principal, "reason": "no_permit"}
		if want {
			fields["reason"], fields["policies"] = "permitted", "["+policy+"]"
		}
		says(t, o.record(t, t.Name(), tool), fields)
	}
	o.checkUpstream(t, principal, []string{raw})
}

// The tokens of a real Keycloak mean what docs/identity.md says of its preset.
func TestKeycloak(t *testing.T) {
	t.Parallel()
	k := newKeycloak(t)
	o := openOffice(t, "keycloak", func(resource string) string {
		createRealm(t, k, resource)
		return k.Issuer(corp)
	}, "http://127.0.0.1:8080/realms/corp", k.Issuer(corp))

	for _, era := range eras {
		t.Run("group and roles/"+era, func(t *testing.T) {
			o.checkUses(t, era, personTokens(t, k, "cli", "alice").Access, "User/corp/"+alice,
				map[string]string{"read_file": "engineers-read", "write_file": "writers-write", "search": "searchers-search"})
		})
		t.Run("neither/"+era, func(t *testing.T) {
			raw := personTokens(t, k, "cli", "bob").Access
			if groups, stated := part(t, raw, 1)["groups"]; stated {
				t.Errorf("the groups of bob are %v, want none stated, for which the example has absent_groups", groups)
			}
			o.checkUses(t, era, raw, "User/corp/"+bob, nil)
		})
		t.Run("service account/"+era, func(t *testing.T) {
			raw := jobToken(t, k)
			o.checkUses(t, era, raw, "Agent/corp/"+subject(t, raw), map[string]string{"search": "job-searches"})
		})
	}
	t.Run("refused", func(t *testing.T) {
		tokens := personTokens(t, k, "cli", "alice")
		for _, tt := range []struct{ name, token, reason string }{
			{"an ID token", tokens.ID, "token_type"},
			{"a refresh token", tokens.Refresh, "token_type"},
			{"a token for something else", personTokens(t, k, "other", "alice").Access, "audience_mismatch"},
		} {
			if got := o.search(t, tt.token); got.status != http.StatusUnauthorized || !strings.Contains(got.body, fmt.Sprintf(`"reason":%q`, tt.reason)) {
				t.Errorf("%s: %d, %s, want 401 and %s", tt.name, got.status, got.body, tt.reason)
			}
		}
	})
	t.Run("new key", func(t *testing.T) {
		before := jobToken(t, k)
		if err := k.Create(soon(t), "/realms/corp/components", object{
			"name": "new", "providerType": "org.keycloak.keys.KeyProvider", "providerId": "rsa-generated", "parentId": corp,
			"config": object{"priority": list{"200"}},
		}); err != nil {
			t.Fatal(err)
		}
		after := jobToken(t, k)
		if part(t, before, 0)["kid"] == part(t, after, 0)["kid"] {
			t.Fatal("Keycloak signs with the old key")
		}
		for name, raw := range map[string]string{"the new key": after, "the old key": before} {
			if got := o.search(t, raw); got.status != http.StatusOK {
				t.Errorf("a token of %s: %d, %s, want 200", name, got.status, got.body)
			}
		}
	})
}

// part reads one of the first two parts of a JWT.
func part(t *testing.T, raw string, i int) object {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts, want 3", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func subject(t *testing.T, raw string) string {
	t.Helper()
	return fmt.Sprint(part(t, raw, 1)["sub"])
}
