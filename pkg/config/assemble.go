package config

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
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
	// Before is what has served until now: an issuer whose keys come from the
	// same place keeps its source, and with it the keys. Nil means nothing.
	Before *Assembly
	Now    func() time.Time // nil means time.Now
	Log    *slog.Logger     // nil discards
}

// An Assembly is everything that serves: immutable, made whole or not at all.
type Assembly struct {
	Config   *Config
	Policies *policy.Set
	Engine   *authz.Engine
	// Keys has one source for each issuer, in the order of Config.Issuers. Each
	// fetches nothing until its Run is called.
	Keys []*jwks.Source

	origins []jwks.Config // of Keys
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

// origin says where the keys of i come from. Sources of the same origin can
// stand for each other, so it holds nothing else.
func (i Issuer) origin() jwks.Config {
	return jwks.Config{Issuer: i.Identifier, JWKSURI: i.JWKSURI}
}

// addKeys adds the source of the keys of i, which is that of before where it
// comes from the same place.
func (a *Assembly) addKeys(i Issuer, p Parts) (*jwks.Source, error) {
	origin := i.origin()
	keys := p.Before.keysFrom(origin)
	if keys == nil {
		made := origin
		made.Log = p.Log
		var err error
		if keys, err = jwks.New(made); err != nil {
			return nil, err
		}
	}
	a.Keys, a.origins = append(a.Keys, keys), append(a.origins, origin)
	return keys, nil
}

// keysFrom finds the source of an origin, nil if there is none.
func (a *Assembly) keysFrom(origin jwks.Config) *jwks.Source {
	if a == nil {
		return nil
	}
	for n, other := range a.origins {
		if reflect.DeepEqual(origin, other) {
			return a.Keys[n]
		}
	}
	return nil
}

// Verifier makes what verifies credentials, without policies. Of p it takes
// Now and Log. Keys are fetched when a credential asks for them.
func (c *Config) Verifier(p Parts) (*token.Verifier, error) {
	return (&Assembly{Config: c}).verifier(p)
}

func (a *Assembly) verifier(p Parts) (*token.Verifier, error) {
	c := a.Config
	verifier := token.Config{Now: p.Now, APIKeys: c.APIKeys}
	for _, i := range c.Issuers {
		keys, err := a.addKeys(i, p)
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", i.Name, err)
		}
		verifier.Issuers = append(verifier.Issuers, token.Issuer{
			Name:              i.Name,
			Issuer:            i.Identifier,
			Algorithms:        i.Algorithms,
			GroupsClaims:      i.GroupsClaims,
			RolesClaims:       i.RolesClaims,
			AllowIDTokenShape: i.AllowIDTokenShape,
			RequireOneOf:      i.RequireOneOf,
			AbsentIsNone:      i.AbsentIsNone,
			ScopesClaims:      i.ScopesClaims,
			ClientClaims:      i.ClientClaims,
			AudienceClaim:     i.AudienceClaim,
			ClientsWithoutSub: i.ClientsWithoutSub,
			ServiceAccounts:   i.ServiceAccounts,
			Keys:              keys,
		})
	}
	return token.New(verifier)
}

func (c *Config) assemble(p Parts, set *policy.Set) (*Assembly, error) {
	a := &Assembly{Config: c, Policies: set}
	tokens, err := a.verifier(p)
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
