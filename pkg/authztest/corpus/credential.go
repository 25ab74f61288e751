package corpus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/mcp"
)

// A credential makes the values of the Authorization header.
type credential func(m minting) []string

// Credentials are the names of the credentials that a case can carry, sorted.
func Credentials() []string { return slices.Sorted(maps.Keys(credentials)) }

// credentials are the good one, and one for each kind of fault.
var credentials = map[string]credential{
	"token":         func(m minting) []string { return m.bearer() },
	"none":          func(minting) []string { return nil },
	"empty":         func(minting) []string { return []string{""} },
	"blank":         func(minting) []string { return []string{"Bearer  "} },
	"basic":         func(minting) []string { return []string{"Basic YWxpY2U6c2VjcmV0"} },
	"comma":         func(m minting) []string { return []string{m.bearer()[0] + ",Bearer b"} },
	"two":           func(m minting) []string { return append(m.bearer(), m.bearer()...) },
	"spaced":        func(m minting) []string { return []string{m.bearer()[0] + " x"} },
	"opaque":        func(minting) []string { return []string{"Bearer 7f3c0ffee"} },
	"opaque_active": func(m minting) []string { return []string{"Bearer " + m.issuer.MintOpaque(m.claims)} },
	"opaque_revoked": func(m minting) []string {
		raw := m.issuer.MintOpaque(m.claims)
		m.issuer.Revoke(raw)
		return []string{"Bearer " + raw}
	},
	"too_long": func(minting) []string {
		return []string{"Bearer " + strings.Repeat("a", 16385)}
	},

	"expired":        func(m minting) []string { return m.with("exp", m.at.Add(-31*time.Second).Unix()).bearer() },
	"within_leeway":  func(m minting) []string { return m.with("exp", m.at.Add(-29*time.Second).Unix()).bearer() },
	"not_yet_valid":  func(m minting) []string { return m.with("nbf", m.at.Add(31*time.Second).Unix()).bearer() },
	"no_exp":         func(m minting) []string { return m.with("exp", authztest.Absent).bearer() },
	"exp_string":     func(m minting) []string { return m.with("exp", "soon").bearer() },
	"wrong_audience": func(m minting) []string { return m.with("aud", "https://other.example.com/mcp").bearer() },
	"many_audiences": func(m minting) []string {
		return m.with("aud", []string{"https://other.example.com/mcp", m.claims["aud"].(string)}).bearer()
	},
	"no_audience":     func(m minting) []string { return m.with("aud", authztest.Absent).bearer() },
	"no_subject":      func(m minting) []string { return m.with("sub", authztest.Absent).bearer() },
	"id_token":        func(m minting) []string { return m.with("nonce", "n").bearer(authztest.WithHeader("typ", "JWT")) },
	"plain_jwt":       func(m minting) []string { return m.bearer(authztest.WithHeader("typ", "JWT")) },
	"other_algorithm": func(m minting) []string { return m.bearer(authztest.WithAlgorithm("EdDSA")) },
	"id_jag":          func(m minting) []string { return m.bearer(authztest.WithHeader("typ", "oauth-id-jag+jwt")) },
	"bound":           func(m minting) []string { return m.with("cnf", map[string]any{"jkt": "x"}).bearer() },
	"dpop": func(m minting) []string {
		return []string{"DPoP " + strings.TrimPrefix(m.boundTo(m.w.issuers[holder]).bearer()[0], "Bearer ")}
	},
	"unbound_dpop": func(m minting) []string { return []string{"DPoP " + strings.TrimPrefix(m.bearer()[0], "Bearer ")} },
	"duplicate_claim": func(m minting) []string {
		return m.bearer(authztest.WithPayload(`{"iss":"` + m.issuer.URL() + `","sub":"alice","sub":"admin"}`))
	},

	"alg_none": func(m minting) []string { return m.bearer(authztest.Unsigned()) },
	"hs256":    func(m minting) []string { return m.bearer(authztest.Confused()) },
	"forged":   func(m minting) []string { return m.bearer(authztest.Forged()) },
	"tampered": func(m minting) []string { return m.bearer(authztest.Tampered()) },
	"crit":     func(m minting) []string { return m.bearer(authztest.WithHeader("crit", []string{"exp"})) },
	"jku": func(m minting) []string {
		return m.bearer(authztest.WithHeader("jku", "https://evil.example/keys"), authztest.Forged())
	},
	"no_kid":         func(m minting) []string { return m.bearer(authztest.WithKeyID("")) },
	"unknown_kid":    func(m minting) []string { return m.bearer(authztest.WithKeyID("nobody-has-it")) },
	"unknown_issuer": func(m minting) []string { return m.with("iss", "https://evil.example/").bearer() },
	"other_issuers_key": func(m minting) []string {
		return m.from("partner").with("iss", m.issuer.URL()).bearer(authztest.WithKeyID(m.issuer.KeyID("")))
	},

	"key_unknown_yet": func(m minting) []string {
		for i := range 8 { // more than the burst of the cool-down
			m.spend(m.bearer(authztest.WithKeyID(fmt.Sprintf("random-%d", i)))[0])
		}
		return m.bearer(authztest.WithKeyID("random"))
	},
}

// A minting is a credential in the making.
type minting struct {
	w      *World
	issuer *authztest.Issuer
	at     time.Time
	claims map[string]any
	server authz.Server
}

func (w *World) authorization(c Case, server authz.Server) ([]string, error) {
	make, ok := credentials[c.Credential]
	issuer := w.issuers[c.Issuer]
	if !ok || issuer == nil {
		return nil, fmt.Errorf("no credential %q of issuer %q", c.Credential, c.Issuer)
	}
	m := minting{w: w, issuer: issuer, at: c.At, server: server, claims: map[string]any{"aud": server.Audiences[0]}}
	for name, value := range c.Token {
		if value == nil {
			value = authztest.Absent
		}
		m.claims[name] = value
	}
	if len(c.Authorization) == 0 {
		return make(m), nil
	}
	token := strings.TrimPrefix(m.bearer()[0], "Bearer ")
	var lines []string
	for _, line := range c.Authorization {
		lines = append(lines, strings.ReplaceAll(line, "${token}", token))
	}
	return lines, nil
}

func (m minting) bearer(options ...authztest.MintOption) []string {
	return []string{"Bearer " + m.issuer.Mint(m.claims, options...)}
}

// with is m with another claim.
func (m minting) with(name string, value any) minting {
	m.claims = maps.Clone(m.claims)
	m.claims[name] = value
	return m
}

// from is m with another issuer.
func (m minting) from(issuer string) minting {
	m.issuer = m.w.issuers[issuer]
	return m
}

// spend asks the engine with a credential beforehand.
func (m minting) spend(authorization string) {
	r := authz.Request{Host: m.server.Hosts[0], Path: m.server.Paths[0]}
	r.HTTP.Method = "GET"
	r.HTTP.Header = append(r.HTTP.Header, field("authorization", authorization))
	m.w.Engine.Check(context.Background(), r)
}

func field(name, value string) mcp.Field { return mcp.Field{Name: name, Value: value} }
