package config

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/jwks"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

// Parts is what the world outside gives to an Assembly. Records is required.
type Parts struct {
	Files   []policy.File
	Records interface {
		Record(ctx context.Context, r audit.Record) error
	}
	Now func() time.Time // nil means time.Now
	Log *slog.Logger     // nil discards
}

// An Assembly is everything that serves: immutable, made whole or not at all.
type Assembly struct {
	Config   *Config
	Policies *policy.Set
	Engine   *authz.Engine
	// Keys has one source for each issuer, in the order of Config.Issuers. Each
	// fetches nothing until its Run is called.
	Keys []*jwks.Source
}

// Assemble makes the parts of c and puts them together. The problems are those
// of the policies, sorted by position; the Assembly is nil if and only if one
// of them is not Advice.
func (c *Config) Assemble(p Parts) (*Assembly, []Problem) {
	set, found := policy.Load(policy.Config{
		Files:       p.Files,
		Servers:     c.PolicyServers(),
		Issuers:     c.PolicyIssuers(),
		OmitBuiltin: c.OmitBuiltin,
		TrustedHops: c.TrustedHops > 0,
	})
	problems := make([]Problem, len(found))
	for i, f := range found {
		problems[i] = Problem{File: f.File, Line: f.Line, Column: f.Column, Message: f.Message, Hint: f.Hint, Advice: f.Advice}
	}
	if set == nil {
		return nil, problems
	}
	a, err := c.assemble(p, set)
	if err != nil {
		// Parse has checked what could fail here; should it fail all the same,
		// nothing is served.
		return nil, append(problems, Problem{File: "configuration", Message: err.Error()})
	}
	return a, problems
}

func (c *Config) assemble(p Parts, set *policy.Set) (*Assembly, error) {
	a := &Assembly{Config: c, Policies: set}
	verifier := token.Config{Now: p.Now}
	for _, i := range c.Issuers {
		keys, err := jwks.New(jwks.Config{Issuer: i.Identifier, JWKSURI: i.JWKSURI, Log: p.Log})
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", i.Name, err)
		}
		a.Keys = append(a.Keys, keys)
		verifier.Issuers = append(verifier.Issuers, token.Issuer{
			Name:              i.Name,
			Issuer:            i.Identifier,
			Algorithms:        i.Algorithms,
			GroupsClaims:      i.GroupsClaims,
			RolesClaims:       i.RolesClaims,
			AllowIDTokenShape: i.AllowIDTokenShape,
			RequireOneOf:      i.RequireOneOf,
			Keys:              keys,
		})
	}
	tokens, err := token.New(verifier)
	if err != nil {
		return nil, err
	}
	a.Engine, err = authz.New(authz.Config{
		Servers:     c.EngineServers(),
		Tokens:      tokens,
		Policies:    set,
		Records:     p.Records,
		TokenBytes:  c.TokenBytes,
		TrustedHops: c.TrustedHops,
		Now:         p.Now,
		Log:         p.Log,
	})
	return a, err
}
