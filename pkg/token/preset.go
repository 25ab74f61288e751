package token

import (
	"slices"
	"strings"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// Presets are the names that Preset knows, in the order of the documentation.
func Presets() []string { return []string{"okta", "entra", "auth0", "keycloak", "cognito", "generic"} }

// Preset returns where a provider puts what its access tokens say: an Issuer
// with the fields from GroupsClaims on that depend on the provider, and nothing
// else. "azure-ad" is "entra", "" is "generic". It tells whether there is a
// preset of that name. docs/identity.md says what each is made for.
func Preset(name string) (defaults Issuer, ok bool) {
	switch name {
	case "okta":
		return Issuer{
			ScopesClaims: []string{"scp"}, ClientClaims: []string{"cid"},
			GroupsClaims: []string{"groups"},
			RequireOneOf: []string{"scp", "cid"}, // neither stands in ID tokens
		}, true
	case "entra", "azure-ad":
		return Issuer{
			ScopesClaims: []string{"scp"}, ClientClaims: []string{"azp", "appid"}, // v2.0, v1.0
			GroupsClaims: []string{"groups"}, RolesClaims: []string{"roles"},
			RequireOneOf: []string{"scp", "idtyp"}, // roles stands in ID tokens too
		}, true
	case "auth0":
		return Issuer{
			// permissions is what the person may at most; scope, what this token may.
			ScopesClaims: []string{"scope", "permissions"}, ClientClaims: []string{"azp", "client_id"},
			RequireOneOf: []string{"scope", "permissions", "gty"},
		}, true
	case "keycloak":
		return Issuer{
			ScopesClaims: []string{"scope"}, ClientClaims: []string{"azp"},
			GroupsClaims: []string{"groups"}, RolesClaims: []string{"realm_access.roles"},
			RequireOneOf:    []string{"typ"}, // Bearer; ID, Refresh and the like are refused by name
			ServiceAccounts: true,
		}, true
	case "cognito":
		return Issuer{
			ScopesClaims: []string{"scope"}, ClientClaims: []string{"client_id"},
			GroupsClaims:  []string{"cognito:groups"},
			RequireOneOf:  []string{"token_use"}, // access; id is refused by name
			AudienceClaim: "client_id",
		}, true
	case "generic", "":
		return Issuer{ScopesClaims: genericScopes(), ClientClaims: genericClients()}, true
	}
	return Issuer{}, false
}

func genericScopes() []string { return []string{"scope", "scp"} }

// genericClients has the name of RFC 9068 §2.2 first, then those that
// providers had before it.
func genericClients() []string { return []string{"client_id", "azp", "cid", "appid"} }

// isAgent tells whether a client got the token for itself, contract §4.
func (r *reading) isAgent() bool {
	sub, client := r.claims.Subject, r.claims.Client
	is := func(name, value string) bool { return r.payload.Get(name).Text() == value }
	return r.withoutSub ||
		client != "" && (sub == client || sub == client+"@clients") || // RFC 9068 §5, Okta, Cognito; Auth0
		is("gty", "client-credentials") || // Auth0
		is("idtyp", "app") || // Entra
		is("oid", sub) && r.payload.Get("scp").Kind() == strictjson.Absent || // Entra without idtyp
		r.issuer.ServiceAccounts && r.isServiceAccount()
}

// isServiceAccount tells whether Keycloak made the token for the service
// account of a client. The name alone is not believed, since people may choose
// theirs: client_id (clientId before Keycloak 21) is a note of that session.
func (r *reading) isServiceAccount() bool {
	client := r.claims.Client
	if client == "" || r.payload.Get("preferred_username").Text() != "service-account-"+strings.ToLower(client) {
		return false
	}
	return r.payload.Get("client_id").Text() == client || r.payload.Get("clientId").Text() == client
}

// subject reads sub. In a token without one, client_id is the subject
// where the issuer is configured so, unless something speaks of a person.
func (r *reading) subject() (err *Error) {
	c := &r.claims
	if r.payload.Get("sub").Kind() != strictjson.Absent || !r.issuer.ClientsWithoutSub {
		c.Subject, err = required(r.payload, "sub")
		return err
	}
	for _, name := range []string{"sid", "session_state", "auth_time", "username", "preferred_username"} {
		if r.payload.Get(name).Kind() != strictjson.Absent {
			return refuse(MissingClaim, "sub", "sub is absent, and %s says that a person logged in", name)
		}
	}
	if c.Subject = r.payload.Get("client_id").Text(); c.Subject == "" {
		return refuse(MissingClaim, "sub", "sub is absent, and client_id is no string to stand for it")
	}
	r.withoutSub = true
	return nil
}

// audience returns aud. In a token without one, the claim that the issuer is
// configured with stands for it; such a token has to say that it is for access.
func (r *reading) audience() ([]string, *Error) {
	aud := r.payload.Get("aud")
	name := r.issuer.AudienceClaim
	if aud.Kind() != strictjson.Absent || name == "" {
		list, ok := stringList(aud)
		if !ok {
			return nil, wrongKind("aud")
		}
		return list, nil
	}
	value, err := text(r.payload, name)
	switch {
	case err != nil:
		return nil, err
	case value == "":
		return nil, missing("aud")
	case r.payload.Get("token_use").Text() != "access":
		return nil, refuse(TokenType, "token_use", "a token without aud, and token_use is not access")
	}
	return []string{value}, nil
}

// absent returns names, if the token has none of these claims and that does
// not mean that they are empty, or says of one that it is elsewhere: in the
// distributed claims of OpenID Connect Core §5.6.2, as Entra writes above 200
// groups, or with hasgroups, as Entra writes where a token must be short.
func (r *reading) absent(names []string, groups bool) []string {
	var elsewhere []string
	stated := false
	for _, name := range names {
		if v, _ := r.find(name); v.Kind() != strictjson.Absent {
			stated = true
		}
		if r.isElsewhere(name) {
			elsewhere = append(elsewhere, name)
		}
	}
	switch {
	case len(elsewhere) > 0:
		return elsewhere
	case len(names) == 0 || stated && !(groups && r.hasGroups()):
		return nil
	case r.issuer.AbsentIsNone && !(groups && r.hasGroups()):
		return nil
	}
	return slices.Clone(names)
}

func (r *reading) isElsewhere(name string) bool {
	first, _, _ := strings.Cut(name, ".")
	for _, m := range r.payload.Get("_claim_names").Members() {
		if m.Name == name || m.Name == first {
			return true
		}
	}
	return false
}

// hasGroups tells whether hasgroups says that there are groups that the token
// does not state.
func (r *reading) hasGroups() bool {
	v := r.payload.Get("hasgroups")
	return v.True() || v.Kind() == strictjson.String && !strings.EqualFold(v.Text(), "false")
}
