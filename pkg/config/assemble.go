package config

import (
	"context"
	"errors"
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
	// ReadFile reads a file that the configuration names, relative to it: one of
	// Config.Files. It may be nil if there is none.
	ReadFile func(name string) ([]byte, error)
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
	// proofs are those that were used here and before: an edit of the
	// configuration does not make one good again.
	proofs *token.Proofs
}

// Assemble makes the parts of c and puts them together. The problems are those
// of the policies, sorted by position, then one of a file; the Assembly is nil if and only if one
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
	if at, ok := errors.AsType[placed](err); ok {
		return nil, append(problems, at.Problem)
	}
	if err != nil {
		// Parse has checked what else could fail here; should it fail all the same,
		// nothing is served.
		return nil, append(problems, Problem{File: "configuration", Message: err.Error()})
	}
	return a, problems
}

// origin says where the keys of issuer n come from, and how long they are used.
// Sources of the same origin can stand for each other, so it holds nothing else.
func (c *Config) origin(n int, p Parts) (jwks.Config, error) {
	i := c.Issuers[n]
	ca, err := c.authorities(n, p)
	return jwks.Config{
		Issuer: i.Identifier, JWKSURI: i.JWKSURI, InsecureHTTP: i.InsecureHTTP, CA: ca, MaxStale: i.MaxStale,
	}, err
}

// addKeys adds the source of the keys of issuer n, which is that of before where
// it comes from the same place.
func (a *Assembly) addKeys(n int, p Parts) (*jwks.Source, error) {
	origin, err := a.Config.origin(n, p)
	if err != nil {
		return nil, err
	}
	keys, same := p.Before.keysFrom(origin)
	if !same {
		made := origin
		made.Log, made.Before = p.Log, keys
		if keys, err = jwks.New(made); err != nil && len(origin.CA) > 0 {
			return nil, a.Config.badCA(n, err)
		} else if err != nil {
			return nil, err
		}
	}
	a.Keys, a.origins = append(a.Keys, keys), append(a.origins, origin)
	return keys, nil
}

// keysFrom finds the source of an origin, nil if there is none. It is the same
// if its keys are used as long; else another source may begin with them.
func (a *Assembly) keysFrom(origin jwks.Config) (keys *jwks.Source, same bool) {
	if a == nil {
		return nil, false
	}
	for n, other := range a.origins {
		same := origin.MaxStale == other.MaxStale
		other.MaxStale = origin.MaxStale
		if reflect.DeepEqual(origin, other) {
			return a.Keys[n], same
		}
	}
	return nil, false
}

// Verifier makes what verifies credentials, without policies. Of p it takes
// Now, Log and ReadFile. Keys are fetched when a credential asks for them.
func (c *Config) Verifier(p Parts) (*token.Verifier, error) {
	return (&Assembly{Config: c}).verifier(p)
}

func (a *Assembly) verifier(p Parts) (*token.Verifier, error) {
	c := a.Config
	if a.proofs = token.NewProofs(); p.Before != nil {
		a.proofs = p.Before.proofs
	}
	verifier := token.Config{Now: p.Now, APIKeys: c.APIKeys, Workloads: c.Workloads, Proofs: a.proofs}
	for n, i := range c.Issuers {
		keys, err := a.addKeys(n, p)
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", i.Name, err)
		}
		asked, err := c.introspection(n, a.origins[n].CA, p)
		if err != nil {
			return nil, err
		}
		verifier.Issuers = append(verifier.Issuers, token.Issuer{
			Name:              i.Name,
			Issuer:            i.Identifier,
			Algorithms:        i.Algorithms,
			GroupsClaims:      i.GroupsClaims,
			GroupParents:      i.GroupParents,
			RoleParents:       i.RoleParents,
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
			Introspection:     asked,
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
