package token_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// A provider is a file of testdata/token/providers: claims in the shape that a
// provider documents, and what they come to with its preset.
type provider struct {
	Source, Why, Preset string
	// Config is what an operator writes beside the preset.
	Config struct {
		Issuer            string
		ScopesClaims      *[]string `json:"scopes_claims"`
		ClientClaims      *[]string `json:"client_claims"`
		GroupsClaims      *[]string `json:"groups_claims"`
		RolesClaims       *[]string `json:"roles_claims"`
		RequireOneOf      *[]string `json:"require_one_of"`
		ClientsWithoutSub bool      `json:"clients_without_sub"`
		AbsentGroups      string    `json:"absent_groups"`
	}
	Audiences []string
	Claims    json.RawMessage
	Want      provided
}

// A provided is an Error's reason, or the claims that differ between providers.
type provided struct {
	Refused                              string
	Kind, Subject, Client, Email, ACR    string
	Audience, Scopes, Groups, Roles, AMR []string
	AbsentGroups                         []string `json:"absent_groups"`
	AbsentRoles                          []string `json:"absent_roles"`
	Unreadable                           []string
}

var kinds = map[token.Kind]string{token.User: "user", token.Agent: "agent"}

func providedBy(c token.Claims, err error) provided {
	var refused *token.Error
	if errors.As(err, &refused) {
		return provided{Refused: refused.Reason}
	}
	return provided{
		Kind: kinds[c.Kind], Subject: c.Subject, Client: c.Client, Email: c.Email, ACR: c.ACR,
		Audience: c.Audience, Scopes: c.Scopes, Groups: c.Groups, Roles: c.Roles, AMR: c.AMR,
		AbsentGroups: c.AbsentGroups, AbsentRoles: c.AbsentRoles, Unreadable: c.Unreadable,
	}
}

// configured is the preset of p with what its operator writes.
func (p provider) configured(t *testing.T) token.Issuer {
	t.Helper()
	issuer, ok := token.Preset(p.Preset)
	if !ok {
		t.Fatalf("Preset(%q) is unknown", p.Preset)
	}
	c := p.Config
	for into, written := range map[*[]string]*[]string{
		&issuer.ScopesClaims: c.ScopesClaims, &issuer.ClientClaims: c.ClientClaims, &issuer.GroupsClaims: c.GroupsClaims,
		&issuer.RolesClaims: c.RolesClaims, &issuer.RequireOneOf: c.RequireOneOf,
	} {
		if written != nil {
			*into = *written
		}
	}
	issuer.ClientsWithoutSub, issuer.AbsentIsNone = c.ClientsWithoutSub, c.AbsentGroups == "none"
	return issuer
}

func TestProviders(t *testing.T) {
	names, err := filepath.Glob("../../testdata/token/providers/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no providers: %v", err)
	}
	w := newWorld(t, nil)
	covered := map[string]bool{}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".json"), func(t *testing.T) {
			p := readProvider(t, name)
			covered[p.Preset] = true
			issuer := p.configured(t)
			issuer.Name, issuer.Issuer, issuer.Keys = "corp", p.Config.Issuer, w.issuer(t, "corp", w.corp).Keys
			verifier, err := token.New(token.Config{Now: now, Issuers: []token.Issuer{issuer}})
			if err != nil {
				t.Fatalf("New: %v", err)
			}
			raw := w.corp.Mint(nil, authztest.WithPayload(string(p.Claims)), authztest.WithHeader("typ", "JWT"))
			got := providedBy(verifier.Verify(t.Context(), token.Credential{Raw: raw}, token.Accept{Issuers: []string{"corp"}, Audiences: p.Audiences}))
			if diff := cmp.Diff(p.Want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s\nVerify (-want +got):\n%s", p.Why, diff)
			}
		})
	}
	for _, name := range token.Presets() {
		if !covered[name] {
			t.Errorf("no file shows the preset %s", name)
		}
	}
}

func readProvider(t *testing.T, name string) provider {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var p provider
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !strings.HasPrefix(p.Source, "https://") || p.Why == "" {
		t.Errorf("%s: source %q, why %q", name, p.Source, p.Why)
	}
	if p.Config.Issuer == "" {
		var claimed struct{ Iss string }
		if err := json.Unmarshal(p.Claims, &claimed); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p.Config.Issuer = claimed.Iss
	}
	return p
}

func TestPreset(t *testing.T) {
	if got, ok := token.Preset("ping"); ok || len(got.ScopesClaims) > 0 {
		t.Errorf("Preset(ping) = %+v, %v, want none", got, ok)
	}
	entra, _ := token.Preset("entra")
	azure, ok := token.Preset("azure-ad")
	if diff := cmp.Diff(entra, azure, cmpopts.IgnoreUnexported(entra)); diff != "" || !ok {
		t.Errorf("Preset(azure-ad), %v, differs from entra (-want +got):\n%s", ok, diff)
	}
	empty, _ := token.Preset("")
	generic, ok := token.Preset("generic")
	if diff := cmp.Diff(generic, empty, cmpopts.IgnoreUnexported(generic)); diff != "" || !ok {
		t.Errorf("Preset of nothing, %v, differs from generic (-want +got):\n%s", ok, diff)
	}
	if !slices.Contains(token.Presets(), "generic") {
		t.Errorf("Presets() = %q", token.Presets())
	}
}

func TestAbsentClaims(t *testing.T) {
	tests := []struct {
		name          string
		claims        claims
		none          bool
		groups, roles []string
		unreadable    []string
	}{
		{"neither", nil, false, []string{"groups", "realm.groups"}, []string{"roles"}, nil},
		{"neither, which means none", nil, true, nil, nil, nil},
		{"one of them", claims{"realm": claims{"groups": []string{}}}, false, nil, []string{"roles"}, nil},
		{"null says none", claims{"groups": nil, "roles": nil}, false, nil, nil, nil},
		{"an object without them", claims{"realm": claims{}, "roles": "x"}, false, []string{"groups", "realm.groups"}, nil, nil},
		{"elsewhere", claims{"groups": "x", "roles": "x", "_claim_names": claims{"groups": "src1"}}, true, []string{"groups"}, nil, nil},
		{"a part of the path elsewhere", claims{"groups": "x", "roles": "x", "_claim_names": claims{"realm": "src1"}}, true, []string{"realm.groups"}, nil, nil},
		{"roles elsewhere", claims{"groups": "x", "_claim_names": claims{"roles": "src1"}}, true, nil, []string{"roles"}, nil},
		{"something else elsewhere", claims{"groups": "x", "roles": "x", "_claim_names": claims{"address": "src1"}}, false, nil, nil, nil},
		{"hasgroups", claims{"roles": "x", "hasgroups": true}, true, []string{"groups", "realm.groups"}, nil, nil},
		{"hasgroups as text", claims{"groups": "x", "roles": "x", "hasgroups": "true"}, true, []string{"groups", "realm.groups"}, nil, nil},
		{"hasgroups is false", claims{"roles": "x", "hasgroups": false}, true, nil, nil, nil},
		{"names that are none", claims{"groups": "x", "roles": "x", "_claim_names": []string{"groups"}}, false, nil, nil, []string{"_claim_names"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, func(corp *token.Issuer) {
				corp.GroupsClaims, corp.RolesClaims = []string{"groups", "realm.groups"}, []string{"roles"}
				corp.AbsentIsNone = test.none
			})
			got := w.accepted(t, w.corp.Mint(test.claims))
			if diff := cmp.Diff([3][]string{test.groups, test.roles, test.unreadable}, [3][]string{got.AbsentGroups, got.AbsentRoles, got.Unreadable}); diff != "" {
				t.Errorf("Verify(%v): absent groups, roles and unreadable (-want +got):\n%s", test.claims, diff)
			}
		})
	}
}

// An actor's groups are not stated, unless its own issuer says that this means
// none.
func TestAbsentClaimsOfActors(t *testing.T) {
	w := newWorld(t, func(corp *token.Issuer) { corp.GroupsClaims, corp.RolesClaims = []string{"groups"}, []string{"roles"} })
	for iss, want := range map[string]token.Actor{
		w.corp.URL():    {Issuer: "corp", Subject: "bot", AbsentGroups: []string{"groups"}, AbsentRoles: []string{"roles"}},
		w.partner.URL(): {Issuer: "partner", Subject: "bot"},
	} {
		got := w.accepted(t, w.corp.Mint(claims{"groups": []string{"dev"}, "act": claims{"sub": "bot", "iss": iss}}))
		if diff := cmp.Diff(&want, got.Actor, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("Verify(act of %s).Actor (-want +got):\n%s", iss, diff)
		}
	}
}

// A token without sub or aud is refused for what else it lacks, too.
func TestSubstitutes(t *testing.T) {
	absent := authztest.Absent
	tests := []struct {
		name, reason, presented string
		claims                  claims
	}{
		{"client_id is the subject and the audience", "", "", claims{"sub": absent, "aud": absent, "client_id": resource, "token_use": "access"}},
		{"sub is no string", token.MalformedToken, "sub", claims{"sub": nil}},
		{"sub is empty", token.MissingClaim, "sub", claims{"sub": ""}},
		{"no client_id", token.MissingClaim, "sub", claims{"sub": absent, "client_id": absent, "azp": "cli"}},
		{"client_id is no string", token.MissingClaim, "sub", claims{"sub": absent, "client_id": 7}},
		{"sid", token.MissingClaim, "sub", claims{"sub": absent, "sid": "1"}},
		{"session_state", token.MissingClaim, "sub", claims{"sub": absent, "session_state": "1"}},
		{"auth_time", token.MissingClaim, "sub", claims{"sub": absent, "auth_time": 0}},
		{"username", token.MissingClaim, "sub", claims{"sub": absent, "username": nil}},
		{"preferred_username", token.MissingClaim, "sub", claims{"sub": absent, "preferred_username": "alice"}},
		{"no aud and no token_use", token.TokenType, "token_use", claims{"aud": absent, "client_id": resource}},
		{"no aud and no client_id", token.MissingClaim, "aud", claims{"aud": absent, "client_id": absent, "token_use": "access"}},
		{"no aud and a strange client_id", token.MalformedToken, "client_id", claims{"aud": absent, "client_id": 7, "token_use": "access"}},
		{"aud that is null", token.MalformedToken, "aud", claims{"aud": nil, "client_id": resource, "token_use": "access"}},
		{"aud that is empty", token.MissingClaim, "aud", claims{"aud": []string{}, "client_id": resource, "token_use": "access"}},
		{"aud of others", token.AudienceMismatch, "x", claims{"aud": "x", "client_id": resource, "token_use": "access"}},
	}
	w := newWorld(t, func(corp *token.Issuer) { corp.ClientsWithoutSub, corp.AudienceClaim = true, "client_id" })
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw := w.corp.Mint(test.claims)
			if test.reason == "" {
				if got := w.accepted(t, raw); got.Kind != token.Agent || got.Subject != resource || !slices.Equal(got.Audience, []string{resource}) {
					t.Errorf("Verify(%v) = %+v", test.claims, got)
				}
				return
			}
			if _, err := w.verify(t, raw); err == nil || err.Reason != test.reason || err.Presented != test.presented {
				t.Errorf("Verify(%v) = %v, want %s, presented %s", test.claims, err, test.reason, test.presented)
			}
		})
	}
}
