package config

import (
	"fmt"
	"slices"
	"strings"

	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
)

// issuers reads the authorization servers.
func (r *reader) issuers(in []*cedargatev1.Issuer) []Issuer {
	r.notEmpty("issuers", "names no issuer, nobody could be authenticated")
	var names []string
	byIdentifier := map[string]int{}
	issuers := make([]Issuer, len(in))
	for i, s := range in {
		path := index("issuers", i)
		issuers[i] = r.issuer(path, s)
		r.shape(path, s, &issuers[i])
		r.keys(path, s, &issuers[i])
		issuers[i].Introspection = r.introspection(path+".introspection", s.GetIntrospection())
		names = append(names, s.GetName())
		before, twice := byIdentifier[s.GetIssuer()]
		if twice && s.GetIssuer() != "" {
			r.refuse(path+".issuer", fmt.Sprintf("is the issuer of issuers[%d] too", before), "")
			continue
		}
		byIdentifier[s.GetIssuer()] = i
	}
	r.plainNames("issuers", names)
	return issuers
}

// issuer reads one authorization server, but for the shape of its tokens.
func (r *reader) issuer(path string, in *cedargatev1.Issuer) Issuer {
	r.issuerURLs(path, in)
	r.each(path+".algorithms", in.GetAlgorithms(), algorithmProblem)
	r.each(path+".groups_claims", in.GetGroupsClaims(), anything)
	r.each(path+".roles_claims", in.GetRolesClaims(), anything)
	r.each(path+".require_one_of", in.GetRequireOneOf(), anything)
	if i := slices.Index(in.GetRequireOneOf(), "roles"); i >= 0 {
		r.advise(index(path+".require_one_of", i), "roles stands in ID tokens too and tells nothing",
			"take a claim that only access tokens have, such as scp")
	}
	algorithms := in.GetAlgorithms()
	if len(algorithms) == 0 {
		algorithms = asymmetric()
	}
	return Issuer{
		Name:              in.GetName(),
		Identifier:        in.GetIssuer(),
		JWKSURI:           in.GetJwksUri(),
		Algorithms:        algorithms,
		AllowIDTokenShape: in.GetAllowIdTokenShape(),
		GroupParents:      r.lists(path+".group_parents", in.GetGroupParents(), "group"),
		RoleParents:       r.lists(path+".role_parents", in.GetRoleParents(), "role"),
	}
}

// issuerURLs checks the identifier (RFC 8414 §2) and where the keys come from.
func (r *reader) issuerURLs(path string, in *cedargatev1.Issuer) {
	r.required(path + ".issuer")
	if u := r.webURL(path+".issuer", in.GetIssuer()); u != nil {
		r.noQuery(path+".issuer", u)
		switch {
		case !u.plain():
		case in.GetJwksUri() == "" && !in.GetInsecureHttp():
			r.refuse(path+".issuer", "keys would be discovered over plain http", "use https, give jwks_uri, or set insecure_http")
		default:
			r.advise(path+".issuer", "is plain http: clients would log in without encryption", "use https")
		}
	}
	if u := r.webURL(path+".jwks_uri", in.GetJwksUri()); u != nil && u.plain() && !in.GetInsecureHttp() {
		r.refuse(path+".jwks_uri", "keys would be fetched over plain http", "use https, or set insecure_http")
	}
}

// asymmetric lists the algorithms whose keys an issuer can publish.
func asymmetric() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
}

func algorithmProblem(name string) (message, hint string) {
	switch {
	case slices.Contains(asymmetric(), name):
		return "", ""
	case strings.EqualFold(name, "none"):
		return "none means tokens without a signature, they are never accepted", "take it out"
	case strings.HasPrefix(strings.ToUpper(name), "HS"):
		return fmt.Sprintf("%s is symmetric: whoever can verify could also sign", name), "take it out"
	}
	return fmt.Sprintf("unknown algorithm %q", name), suggestion(name, asymmetric())
}
