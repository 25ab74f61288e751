package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/cedargate/cedargate/pkg/token"
	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
)

// shape fills in where the tokens of an issuer say what: what is written, else
// what the preset says.
func (r *reader) shape(path string, in *cedargatev1.Issuer, out *Issuer) {
	defaults, known := token.Preset(in.GetPreset())
	if !known {
		r.refuse(path+".preset", fmt.Sprintf("is %q", in.GetPreset()), suggestion(in.GetPreset(), append(token.Presets(), "azure-ad")))
	}
	for _, list := range []struct {
		name            string
		written, preset []string
		into            *[]string
	}{
		{"groups_claims", in.GetGroupsClaims(), defaults.GroupsClaims, &out.GroupsClaims},
		{"roles_claims", in.GetRolesClaims(), defaults.RolesClaims, &out.RolesClaims},
		{"require_one_of", in.GetRequireOneOf(), defaults.RequireOneOf, &out.RequireOneOf},
		{"scopes_claims", in.GetScopesClaims(), defaults.ScopesClaims, &out.ScopesClaims},
		{"client_claims", in.GetClientClaims(), defaults.ClientClaims, &out.ClientClaims},
	} {
		*list.into = list.preset
		if r.has(path + "." + list.name) {
			*list.into = list.written
		}
	}
	r.some(path+".scopes_claims", in.GetScopesClaims())
	r.some(path+".client_claims", in.GetClientClaims())
	out.AudienceClaim = defaults.AudienceClaim
	if r.has(path + ".audience_claim") {
		out.AudienceClaim = in.GetAudienceClaim()
	}
	out.ClientsWithoutSub = in.GetClientsWithoutSub()
	out.AbsentIsNone = r.oneOf(path+".absent_groups", in.GetAbsentGroups(), "refuse", "none") == 1
	out.ServiceAccounts = defaults.ServiceAccounts
	r.providersIssuer(path+".issuer", in)
}

// some checks a list of claims of which the first that is there counts.
func (r *reader) some(path string, names []string) {
	r.notEmpty(path, "names no claim")
	r.each(path, names, anything)
}

// tenant is the id of a tenant of Microsoft Entra, as iss has it.
var tenant = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// providersIssuer advises on identifiers that are not of the form in which the
// provider writes iss: no token would ever fit them.
func (r *reader) providersIssuer(path string, in *cedargatev1.Issuer) {
	u, err := url.Parse(in.GetIssuer())
	if err != nil || u.Host == "" {
		return // reported when it was read
	}
	switch in.GetPreset() {
	case "okta":
		if !strings.HasPrefix(u.Path, "/oauth2/") && !loopback(u.Hostname()) {
			r.advise(path, "is Okta's org authorization server: its access tokens are for Okta's own APIs, and nobody else can verify them",
				"use a custom authorization server, such as https://"+u.Host+"/oauth2/default")
		}
	case "entra", "azure-ad":
		r.entraIssuer(path, u)
	case "auth0":
		if u.Path != "/" {
			r.advise(path, "Auth0 writes iss with a final slash and no path", fmt.Sprintf("write %s://%s/", u.Scheme, u.Host))
		}
	case "keycloak":
		if !strings.Contains(u.Path, "/realms/") || strings.HasSuffix(u.Path, "/") {
			r.advise(path, "Keycloak writes iss as the URL of the realm, without a final slash", "write https://HOST/realms/REALM")
		}
	}
}

func (r *reader) entraIssuer(path string, u *url.URL) {
	name, version, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	microsoft := u.Host == "login.microsoftonline.com" || u.Host == "sts.windows.net"
	switch {
	case name == "common" || name == "organizations" || name == "consumers":
		r.refuse(path, fmt.Sprintf("%q is no tenant: tokens have the id of one in iss", name), "write one issuer for each tenant whose people may come")
	case !microsoft:
	case !tenant.MatchString(name):
		r.advise(path, fmt.Sprintf("%q is no tenant id: tokens have one in iss, never a domain", name), "take the Directory (tenant) ID of the overview page")
	case u.Host == "sts.windows.net" && u.Path != "/"+name+"/":
		r.advise(path, "tokens of version 1.0 have iss with a final slash", fmt.Sprintf("write https://sts.windows.net/%s/", name))
	case u.Host == "login.microsoftonline.com" && version != "v2.0":
		r.advise(path, "tokens of version 2.0 have iss with /v2.0 at its end, those of version 1.0 that of sts.windows.net",
			fmt.Sprintf("write https://login.microsoftonline.com/%s/v2.0", name))
	}
}

// scopeImplies reads which scopes include others.
func (r *reader) scopeImplies(path string, in *structpb.Struct) map[string][]string {
	all := r.lists(path, in, "scope")
	for scope, included := range all {
		if !scopeToken.MatchString(scope) {
			r.refuse(join(path, scope), fmt.Sprintf("%q is not one scope: visible ASCII without \" and \\", scope), "")
		}
		r.scopes(join(path, scope), included)
	}
	return all
}

// lists reads a mapping of names to lists of others. what says what they name.
func (r *reader) lists(path string, in *structpb.Struct, what string) map[string][]string {
	if in == nil {
		return nil
	}
	all := map[string][]string{}
	for name, value := range in.GetFields() {
		list, ok := value.GetKind().(*structpb.Value_ListValue)
		if !ok {
			r.refuse(join(path, name), fmt.Sprintf("is no list of %ss", what), fmt.Sprintf("write %q: [\"another %s\"]", name, what))
			continue
		}
		all[name] = r.others(join(path, name), name, list.ListValue.GetValues(), what)
	}
	return all
}

func (r *reader) others(path, name string, values []*structpb.Value, what string) []string {
	others := make([]string, len(values))
	for i, v := range values {
		text, ok := v.GetKind().(*structpb.Value_StringValue)
		switch {
		case !ok || text.StringValue == "":
			r.refuse(index(path, i), "is no "+what, "")
		case text.StringValue == name:
			r.refuse(index(path, i), fmt.Sprintf("is the %s itself", what), "take it out")
		}
		others[i] = v.GetStringValue()
	}
	return others
}
