package token_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

func TestClaims(t *testing.T) {
	w := newWorld(t, func(corp *token.Issuer) {
		corp.GroupsClaims = []string{"groups", "realm_access.groups"}
		corp.RolesClaims = []string{"roles"}
	})
	got := w.accepted(t, w.corp.Mint(claims{
		"aud": []string{"https://other.example.com", resource}, "jti": "id-1", "client_id": "cli",
		"exp": in(time.Minute), "iat": in(-time.Minute), "nbf": in(-time.Second), "auth_time": in(-time.Hour),
		"scope": "read  write ", "groups": []string{"eng"}, "realm_access": claims{"groups": []string{"/eng/platform"}},
		"roles": "admin", "email": "alice@example.com", "email_verified": true, "acr": "high", "amr": []string{"pwd", "otp"},
		"act": claims{"sub": "bot", "act": claims{"sub": "inner"}},
	}))
	want := token.Claims{
		Kind: token.User, Issuer: "corp", Subject: "alice", Client: "cli",
		Audience: []string{"https://other.example.com", resource}, Scopes: []string{"read", "write"},
		Groups: []string{"eng", "/eng/platform", "/eng"}, Roles: []string{"admin"}, Email: "alice@example.com", ID: "id-1",
		IssuedAt: start.Add(-time.Minute), ExpiresAt: start.Add(time.Minute), NotBefore: start.Add(-time.Second),
		AuthTime: start.Add(-time.Hour), ACR: "high", AMR: []string{"pwd", "otp"},
		Actor: &token.Actor{
			Issuer: "corp", Subject: "bot",
			AbsentGroups: []string{"groups", "realm_access.groups"}, AbsentRoles: []string{"roles"},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(token.Claims{}, "Tags")); diff != "" {
		t.Errorf("Verify (-want +got):\n%s", diff)
	}
}

func TestKindAndClient(t *testing.T) {
	absent := authztest.Absent
	tests := []struct {
		name   string
		claims claims
		kind   token.Kind
		client string
	}{
		{"a person", nil, token.User, "cli"},
		{"a person without client", claims{"client_id": absent}, token.User, ""},
		{"client_id first", claims{"azp": "b", "cid": "c", "appid": "d"}, token.User, "cli"},
		{"azp next", claims{"client_id": "", "azp": "b", "cid": "c"}, token.User, "b"},
		{"cid next", claims{"client_id": 7, "azp": []string{"b"}, "cid": "c", "appid": "d"}, token.User, "c"},
		{"appid last", claims{"client_id": absent, "appid": "d"}, token.User, "d"},
		{"RFC 9068: sub is the client", claims{"sub": "cli"}, token.Agent, "cli"},
		{"Okta: sub is the client", claims{"client_id": absent, "cid": "0oa", "sub": "0oa"}, token.Agent, "0oa"},
		{"Auth0: sub", claims{"client_id": absent, "azp": "abc", "sub": "abc@clients"}, token.Agent, "abc"},
		{"Auth0: sub of another client", claims{"client_id": absent, "azp": "abc", "sub": "xyz@clients"}, token.User, "abc"},
		{"Auth0: a person called @clients", claims{"client_id": absent, "sub": "@clients"}, token.User, ""},
		{"Auth0: gty", claims{"gty": "client-credentials"}, token.Agent, "cli"},
		{"Auth0: another gty", claims{"gty": "password"}, token.User, "cli"},
		{"Entra: idtyp", claims{"idtyp": "app"}, token.Agent, "cli"},
		{"Entra: idtyp user", claims{"idtyp": "user"}, token.User, "cli"},
		{"Entra: oid without scp", claims{"oid": "alice"}, token.Agent, "cli"},
		{"Entra: oid with scp", claims{"oid": "alice", "scp": "read"}, token.User, "cli"},
		{"Entra: another oid", claims{"oid": "x"}, token.User, "cli"},
	}
	w := newWorld(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.accepted(t, w.corp.Mint(test.claims))
			if got.Kind != test.kind || got.Client != test.client {
				t.Errorf("Verify(%v) = kind %d, client %q, want %d, %q", test.claims, got.Kind, got.Client, test.kind, test.client)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	tests := []struct {
		name       string
		claims     claims
		want       []string
		unreadable []string
	}{
		{"none", nil, nil, nil},
		{"string", claims{"scope": "a b"}, []string{"a", "b"}, nil},
		{"empty string", claims{"scope": ""}, nil, nil},
		{"only blanks part scopes", claims{"scope": "a\tb\u00a0c d"}, []string{"a\tb\u00a0c", "d"}, nil},
		{"array", claims{"scope": []string{"a", "b"}}, []string{"a", "b"}, nil},
		{"empty array", claims{"scope": []string{}}, nil, nil},
		{"scp", claims{"scp": []string{"a"}}, []string{"a"}, nil},
		{"scope before scp", claims{"scope": "a", "scp": "b"}, []string{"a"}, nil},
		{"empty scope before scp", claims{"scope": "", "scp": "b"}, nil, nil},
		{"number", claims{"scope": 1}, nil, []string{"scope"}},
		{"null", claims{"scope": nil, "scp": "a"}, nil, []string{"scope"}},
		{"array with a number", claims{"scp": []any{"a", 1}}, nil, []string{"scp"}},
		{"object", claims{"scp": claims{"a": true}}, nil, []string{"scp"}},
	}
	w := newWorld(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.accepted(t, w.corp.Mint(test.claims))
			if diff := cmp.Diff(test.want, got.Scopes, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Verify(%v).Scopes (-want +got):\n%s", test.claims, diff)
			}
			if diff := cmp.Diff(test.unreadable, got.Unreadable); diff != "" {
				t.Errorf("Verify(%v).Unreadable (-want +got):\n%s", test.claims, diff)
			}
		})
	}
}

func TestGroupsAndRoles(t *testing.T) {
	long := strings.Repeat("/x", 33)
	tests := []struct {
		name       string
		claims     claims
		groups     []string
		unreadable []string
	}{
		{"none", nil, nil, nil},
		{"string", claims{"groups": "a b"}, []string{"a b"}, nil},
		{"array", claims{"groups": []string{"a", "b", "a"}}, []string{"a", "b"}, nil},
		{"null", claims{"groups": nil}, nil, nil},
		{"object", claims{"groups": claims{"a": true}}, []string{"a"}, nil},
		{"object of objects", claims{"groups": claims{"a": claims{}}}, []string{"a"}, nil},
		{"object with false", claims{"groups": claims{"a": true, "b": false}}, nil, []string{"groups"}},
		{"object with null", claims{"groups": claims{"b": nil}}, nil, []string{"groups"}},
		{"number", claims{"groups": 1}, nil, []string{"groups"}},
		{"array with a number", claims{"groups": []any{"a", 1}}, nil, []string{"groups"}},
		{"array with null", claims{"groups": []any{"a", nil}}, nil, []string{"groups"}},
		{"parents", claims{"groups": []string{"/a/b/c", "/a/d"}}, []string{"/a/b/c", "/a/b", "/a", "/a/d"}, nil},
		{"no parents without a slash in front", claims{"groups": "a/b"}, []string{"a/b"}, nil},
		{"the root", claims{"groups": "/"}, []string{"/"}, nil},
		{"deeper than 32", claims{"groups": long}, []string{long}, []string{"groups"}},
		{"path", claims{"realm": claims{"access": claims{"g": "a"}}}, []string{"a"}, nil},
		{"path ends early", claims{"realm": claims{}}, nil, nil},
		{"path through null", claims{"realm": nil}, nil, nil},
		{"path blocked", claims{"realm": claims{"access": "x"}}, nil, []string{"realm.access.g"}},
		{"path blocked by an array", claims{"realm": []any{claims{"access": 1}}}, nil, []string{"realm.access.g"}},
		{"literal name first", claims{"realm.access.g": "b", "realm": claims{"access": claims{"g": "a"}}}, []string{"b"}, nil},
		{"literal null first", claims{"realm.access.g": nil, "realm": claims{"access": claims{"g": "a"}}}, nil, nil},
		{"a URL as name", claims{"https://example.com/groups": []string{"a"}}, []string{"a"}, nil},
		{"all claims together", claims{"groups": "a", "realm": claims{"access": claims{"g": "b"}}, "https://example.com/groups": "a"}, []string{"a", "b"}, nil},
		{"roles are no groups", claims{"roles": "/r/s"}, nil, nil},
	}
	w := newWorld(t, func(corp *token.Issuer) {
		corp.GroupsClaims = []string{"groups", "realm.access.g", "https://example.com/groups"}
		corp.RolesClaims = []string{"roles"}
	})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.accepted(t, w.corp.Mint(test.claims))
			if diff := cmp.Diff(test.groups, got.Groups); diff != "" {
				t.Errorf("Verify(%v).Groups (-want +got):\n%s", test.claims, diff)
			}
			if diff := cmp.Diff(test.unreadable, got.Unreadable); diff != "" {
				t.Errorf("Verify(%v).Unreadable (-want +got):\n%s", test.claims, diff)
			}
			if test.name == "roles are no groups" {
				if diff := cmp.Diff([]string{"/r/s"}, got.Roles); diff != "" {
					t.Errorf("Verify(%v).Roles (-want +got):\n%s", test.claims, diff)
				}
			}
		})
	}
}

func TestNestedGroups(t *testing.T) {
	w := newWorld(t, func(corp *token.Issuer) {
		corp.GroupsClaims, corp.RolesClaims = []string{"groups"}, []string{"roles"}
		corp.GroupParents = map[string][]string{"platform": {"infra", "oncall"}, "infra": {"eng"}, "eng": {"infra"}}
		corp.RoleParents = map[string][]string{"admin": {"editor"}}
	})
	tests := []struct {
		name          string
		claims        claims
		groups, roles []string
	}{
		{"over two steps", claims{"groups": []string{"platform"}}, []string{"platform", "infra", "oncall", "eng"}, nil},
		{"a cycle ends", claims{"groups": []string{"eng"}}, []string{"eng", "infra"}, nil},
		{"each once", claims{"groups": []string{"infra", "platform"}}, []string{"infra", "platform", "eng", "oncall"}, nil},
		{"never downwards", claims{"groups": []string{"oncall"}}, []string{"oncall"}, nil},
		{"roles have their own", claims{"groups": []string{"admin"}, "roles": []string{"admin", "platform"}}, []string{"admin"}, []string{"admin", "platform", "editor"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.accepted(t, w.corp.Mint(test.claims))
			if diff := cmp.Diff([][]string{test.groups, test.roles}, [][]string{got.Groups, got.Roles}); diff != "" {
				t.Errorf("Verify(%v) groups and roles (-want +got):\n%s", test.claims, diff)
			}
		})
	}
}

func TestOptionalClaims(t *testing.T) {
	tests := []struct {
		name       string
		claims     claims
		email      string
		unreadable []string
	}{
		{"verified", claims{"email": "a@b", "email_verified": true}, "a@b", nil},
		{"not verified", claims{"email": "a@b", "email_verified": false}, "", nil},
		{"verified by a word", claims{"email": "a@b", "email_verified": "true"}, "", nil},
		{"nothing said", claims{"email": "a@b"}, "", nil},
		{"verified number", claims{"email": 1, "email_verified": true}, "", []string{"email"}},
		{"null everywhere", claims{"acr": nil, "amr": nil, "auth_time": nil, "email": nil, "email_verified": true}, "", nil},
		{"wrong everywhere", claims{"acr": 1, "amr": claims{}, "auth_time": "now"}, "", []string{"acr", "amr", "auth_time"}},
		{"amr of numbers", claims{"amr": []int{1}}, "", []string{"amr"}},
	}
	w := newWorld(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.accepted(t, w.corp.Mint(test.claims))
			if _, tagged := got.Tags["email"]; got.Email != test.email || tagged != (test.email != "" || test.claims["email"] == 1) {
				t.Errorf("Verify(%v) = email %q, tag %v, want %q", test.claims, got.Email, got.Tags["email"], test.email)
			}
			if diff := cmp.Diff(test.unreadable, got.Unreadable); diff != "" {
				t.Errorf("Verify(%v).Unreadable (-want +got):\n%s", test.claims, diff)
			}
		})
	}
}

func TestActor(t *testing.T) {
	w := newWorld(t, nil)
	for act, want := range map[*claims]token.Actor{
		{"sub": "bot"}:                         {Issuer: "corp", Subject: "bot"},
		{"sub": "bot", "iss": w.corp.URL()}:    {Issuer: "corp", Subject: "bot"},
		{"sub": "bot", "iss": w.partner.URL()}: {Issuer: "partner", Subject: "bot"},
	} {
		got := w.accepted(t, w.corp.Mint(claims{"act": *act}))
		if diff := cmp.Diff(&want, got.Actor); diff != "" {
			t.Errorf("Verify(act: %v).Actor (-want +got):\n%s", *act, diff)
		}
	}
	// An issuer of another server is nobody here.
	raw := w.corp.Mint(claims{"act": claims{"sub": "bot", "iss": w.internal.URL()}})
	if got, err := w.verify(t, raw); err == nil || err.Reason != token.UnknownIssuer {
		t.Errorf("Verify with an actor of another server's issuer = %+v, %v, want %s", got, err, token.UnknownIssuer)
	}
}

func TestTokenID(t *testing.T) {
	w := newWorld(t, nil)
	for _, jti := range []any{authztest.Absent, "", 7, nil} {
		one, two := w.corp.Mint(claims{"jti": jti, "n": 1}), w.corp.Mint(claims{"jti": jti, "n": 2})
		a, b, again := w.accepted(t, one).ID, w.accepted(t, two).ID, w.accepted(t, one).ID
		if len(a) != len("sha256:")+16 || !strings.HasPrefix(a, "sha256:") || a == b || a != again {
			t.Errorf("Verify with jti %v: IDs %q, %q, %q, want a hash for each token", jti, a, b, again)
		}
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t, nil)
	raw := w.corp.Mint(nil, authztest.WithPayload(fmt.Sprintf(`{
		"iss": %q, "sub": "alice", "aud": [%q], "exp": 1.8000003e9,
		"department": "finance", "level": 7, "cost": 1.50, "on": true, "off": false, "nothing": null,
		"list": ["a", 1, true, null, ["b"], {"deep": "c"}, {"deep": "d"}], "empty": [], "void": {},
		"realm": {"access": {"roles": ["x", "y"]}, "kind": "main"},
		"a.b": "literal", "a": {"b": "nested", "c": "other"},
		"é": "ü"
	}`, w.corp.URL(), resource)))
	got := w.accepted(t, raw)
	want := map[string][]string{
		"iss": {w.corp.URL()}, "sub": {"alice"}, "aud": {resource}, "exp": {"1.8000003e9"},
		"department": {"finance"}, "level": {"7"}, "cost": {"1.50"}, "on": {"true"}, "off": {"false"},
		"list": {"a", "1", "true", "b"}, "list.deep": {"c", "d"}, "empty": {},
		"realm.access.roles": {"x", "y"}, "realm.kind": {"main"},
		"a.b": {"literal"}, "a.c": {"other"}, "é": {"ü"},
	}
	if diff := cmp.Diff(want, got.Tags); diff != "" {
		t.Errorf("Verify.Tags (-want +got):\n%s", diff)
	}
	if got.Unreadable != nil {
		t.Errorf("Verify.Unreadable = %q, want none", got.Unreadable)
	}
}

// Names nested in long names are not multiplied without end.
func TestTagsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	long := strings.Repeat("n", 509)
	many := claims{}
	for i := range 500 {
		many[fmt.Sprintf("k%03d", i)] = 1
	}
	got := w.accepted(t, w.corp.Mint(claims{"x": claims{long: 1}, "y": claims{long: claims{"z": 1}}, "big": claims{long: many}}))
	if diff := cmp.Diff([]string{"big", "y"}, got.Unreadable, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("Verify.Unreadable (-want +got):\n%s", diff)
	}
	if got.Tags["x."+long] == nil {
		t.Error("Verify.Tags lacks a name of 511 bytes")
	}
	size := 0
	for name := range got.Tags {
		size += len(name)
	}
	if size > 2048 {
		t.Errorf("names of tags take %d bytes", size)
	}
}
