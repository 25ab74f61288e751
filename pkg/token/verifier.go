package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	defaultLeeway = 30 * time.Second
	maxLeeway     = 5 * time.Minute
)

// Config is what a Verifier is made from.
type Config struct {
	Issuers []Issuer // no two have one name or one identifier
	APIKeys []APIKey // no two have one name or one hash
	// Workloads are those that need no token; no two have one name or one trust
	// domain. Of Issuers, APIKeys and Workloads there is one at least.
	Workloads []Workload
	// Proofs are those that the Verifier before this one has seen; nil: none.
	Proofs *Proofs
	// Leeway is added to exp and taken from nbf; 0 means 30 s, at most 5 minutes.
	Leeway time.Duration
	Now    func() time.Time // nil means time.Now
	// CacheBytes bounds the memory of verified claims that are kept, about; 0
	// means 32 MiB.
	CacheBytes int
}

// An Issuer is one authorization server whose tokens are accepted.
type Issuer struct {
	Name   string // prefix of its Cedar ids: lower-case letters, digits, "-"
	Issuer string // compared byte for byte with "iss"
	// Algorithms are the accepted values of "alg". Empty means RS, PS and ES
	// 256 to 512, EdDSA and Ed25519, which are also all that can be listed.
	Algorithms []string
	// GroupsClaims and RolesClaims name the claims with groups and roles: each
	// literally, or as a path cut at dots.
	GroupsClaims, RolesClaims []string
	// GroupParents and RoleParents have, for a group or role, those it is in:
	// the operator's own hierarchy. It is not changed.
	GroupParents, RoleParents map[string][]string
	// AbsentIsNone says that a token without any of them is of a caller without
	// groups or roles; else Claims.AbsentGroups and AbsentRoles are set.
	AbsentIsNone bool
	// ScopesClaims and ClientClaims name the claims with scopes, of which the
	// first that is there counts, and with the client id, of which the first
	// that is a string and not empty counts; each literally, or as a path cut
	// at dots. Empty means those of Preset("generic").
	ScopesClaims, ClientClaims []string
	// AudienceClaim names the claim that stands for an aud that is absent, in
	// tokens that say token_use: access; "" means that aud is required.
	AudienceClaim string
	// ClientsWithoutSub takes client_id for a sub that is absent.
	ClientsWithoutSub bool
	// ServiceAccounts takes what Keycloak writes for the service account of a
	// client for a token that the client got for itself.
	ServiceAccounts bool
	// AllowIDTokenShape accepts tokens with at_hash, c_hash or nonce, for an
	// issuer that has nothing else.
	AllowIDTokenShape bool
	// RequireOneOf names claims one of which every token has; empty means none
	// is required.
	RequireOneOf []string
	Keys         Keys // of this issuer alone
	// Introspection asks the issuer about tokens that are not JWTs; nil: they
	// are refused.
	Introspection *Introspection

	epoch func() uint64 // of Keys; nil: it does not tell
}

// A Verifier verifies access tokens, and remembers for a while which it has
// verified. What it is made of never changes; it is safe for concurrent use.
type Verifier struct {
	issuers map[string]*Issuer // by identifier
	keys    map[KeyHash]APIKey
	leeway  time.Duration
	now     func() time.Time
	cache   *cache

	introspectors map[string]*introspector // by name of the issuer
	workloads     map[string]Workload      // by trust domain
	domains       []Workload               // those of DNS domains
	proofs        *Proofs
	// proving is for signatures of proofs: who makes one has a good token, and
	// does not wait behind those who have none.
	proving slots
}

// methods are the algorithms that are verified. There is no symmetric one and
// no "none": what is not here can be neither configured nor accepted.
var methods = map[string]jwt.SigningMethod{
	"RS256": jwt.SigningMethodRS256, "RS384": jwt.SigningMethodRS384, "RS512": jwt.SigningMethodRS512,
	"PS256": saltOfHash(jwt.SigningMethodPS256), "PS384": saltOfHash(jwt.SigningMethodPS384), "PS512": saltOfHash(jwt.SigningMethodPS512),
	"ES256": jwt.SigningMethodES256, "ES384": jwt.SigningMethodES384, "ES512": jwt.SigningMethodES512,
	"EdDSA": jwt.SigningMethodEdDSA, "Ed25519": jwt.SigningMethodEdDSA, // RFC 9864 §2.2
}

// saltOfHash is m for salts of the size of the hash alone, RFC 7518 §3.5:
// golang-jwt verifies any, which its own tokens had once.
func saltOfHash(m *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: m.Options}
}

var issuerName = regexp.MustCompile(`^[a-z0-9-]+$`)

// New makes a Verifier. It refuses a configuration that is unsafe or says one
// thing twice.
func New(c Config) (*Verifier, error) {
	v := &Verifier{issuers: make(map[string]*Issuer), leeway: c.Leeway, now: c.Now, proofs: c.Proofs, proving: newSlots()}
	switch {
	case len(c.Issuers) == 0 && len(c.APIKeys) == 0 && len(c.Workloads) == 0:
		return nil, errors.New("neither issuers nor API keys nor workloads")
	case c.Leeway < 0 || c.Leeway > maxLeeway:
		return nil, fmt.Errorf("leeway %v is not between 0 and %v", c.Leeway, maxLeeway)
	case c.Leeway == 0:
		v.leeway = defaultLeeway
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.proofs == nil {
		v.proofs = NewProofs()
	}
	if c.CacheBytes < 0 {
		return nil, fmt.Errorf("cache of %d bytes", c.CacheBytes)
	}
	var err error
	if v.cache, err = newCache(c.CacheBytes); err != nil {
		return nil, err
	}
	if err := v.addKeys(c.APIKeys); err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	for _, issuer := range c.Issuers {
		i, err := issuer.checked()
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", issuer.Name, err)
		}
		if i.Name == KeyIssuer && len(c.APIKeys) > 0 {
			return nil, fmt.Errorf("issuer %q: that is the name of API keys", i.Name)
		}
		if names[i.Name] {
			return nil, fmt.Errorf("issuer %q: a second one of that name", i.Name)
		}
		if other := v.issuers[i.Issuer]; other != nil {
			return nil, fmt.Errorf("issuer %q: %q is already the issuer %q", i.Name, i.Issuer, other.Name)
		}
		names[i.Name], v.issuers[i.Issuer] = true, i
		if err := v.addIntrospector(i); err != nil {
			return nil, fmt.Errorf("issuer %q: %w", i.Name, err)
		}
	}
	if err := v.addWorkloads(c.Workloads, names); err != nil {
		return nil, err
	}
	return v, nil
}

// checked returns a copy with its defaults filled in.
func (i Issuer) checked() (*Issuer, error) {
	switch {
	case !issuerName.MatchString(i.Name):
		return nil, errors.New("the name does not match [a-z0-9-]+")
	case i.Issuer == "":
		return nil, errors.New("no issuer identifier")
	case i.Keys == nil:
		return nil, errors.New("no keys")
	}
	for _, name := range slices.Concat(i.GroupsClaims, i.RolesClaims, i.RequireOneOf, i.ScopesClaims, i.ClientClaims) {
		if name == "" {
			return nil, errors.New("a claim without a name")
		}
	}
	if keys, ok := i.Keys.(interface{ Epoch() uint64 }); ok {
		i.epoch = keys.Epoch
	}
	i.GroupsClaims = slices.Clone(i.GroupsClaims)
	i.RolesClaims = slices.Clone(i.RolesClaims)
	i.RequireOneOf = slices.Clone(i.RequireOneOf)
	i.ScopesClaims = slices.Clone(i.ScopesClaims)
	i.ClientClaims = slices.Clone(i.ClientClaims)
	if len(i.ScopesClaims) == 0 {
		i.ScopesClaims = genericScopes()
	}
	if len(i.ClientClaims) == 0 {
		i.ClientClaims = genericClients()
	}
	i.Algorithms = slices.Clone(i.Algorithms)
	for n, alg := range i.Algorithms {
		if methods[alg] == nil {
			return nil, fmt.Errorf("algorithm %q is unknown or unsafe", alg)
		}
		if slices.Contains(i.Algorithms[:n], alg) {
			return nil, fmt.Errorf("algorithm %q is listed twice", alg)
		}
	}
	if len(i.Algorithms) == 0 {
		for alg := range methods {
			i.Algorithms = append(i.Algorithms, alg)
		}
	}
	return &i, nil
}

// Verify returns who bears the credential c, if the server that accepts accept
// takes it. The error is an *Error. Verify is safe for concurrent use.
func (v *Verifier) Verify(ctx context.Context, c Credential, accept Accept) (Claims, error) {
	switch {
	case c.Raw == "":
		return v.withoutToken(c, accept)
	case c.DPoP && IsAPIKey(c.Raw):
		return Claims{}, refuse(WrongScheme, "", "an API key is bound to nothing")
	case c.Key || IsAPIKey(c.Raw):
		return v.verifyKey(c.Raw, accept)
	}
	who, err := v.verifyBearer(ctx, c, accept)
	if err != nil {
		return Claims{}, err
	}
	return v.confirm(ctx, c, who, accept)
}

// verifyBearer returns the claims of an access token, whoever bears it.
func (v *Verifier) verifyBearer(ctx context.Context, c Credential, accept Accept) (Claims, error) {
	if ask := v.asksIssuers(c.Raw, accept); len(ask) > 0 {
		return v.verifyOpaque(ctx, c.Raw, ask, accept)
	}
	return v.verifyToken(ctx, c, accept)
}

// verifyToken returns the claims of c.Raw if it is an access token that one of the
// accepted issuers signed for one of the accepted audiences (RFC 9068 §4, RFC
// 8725). What can be refused without a key is refused first, and costs time in
// proportion to its length; then Keys is asked, which may wait for ctx;
// then the signature is verified, which may wait for other verifications, but
// not beyond ctx. Of a token that was verified a moment ago only what time and
// accept decide is checked again.
//
// It checks neither scopes nor groups, which are for policies. The slices and
// maps of the Claims are shared, and are to be read only.
func (v *Verifier) verifyToken(ctx context.Context, c Credential, accept Accept) (Claims, error) {
	raw := c.Raw
	var id tokenID
	if len(raw) <= MaxLimit {
		id = idOf(raw)
		if who, ok := v.recall(id, accept); ok {
			return who, nil
		}
	}
	r, err := read(raw)
	if err != nil {
		return Claims{}, err
	}
	sent := c // a hit has no need of one on the heap
	r.sent = &sent
	if err := v.check(r, accept); err != nil {
		return Claims{}, err
	}
	return v.verifyOnce(ctx, r, id, raw, accept)
}

// verifyHere verifies the signature of r, and completes its claims.
func (v *Verifier) verifyHere(ctx context.Context, r *reading, raw string) (Claims, *Error) {
	key, err := r.findKey(ctx)
	if err != nil {
		return Claims{}, err
	}
	if err := v.cache.begin(ctx); err != nil {
		return Claims{}, err
	}
	defer v.cache.end()
	if err := r.checkSignature(key); err != nil {
		return Claims{}, err
	}
	r.believe(raw)
	r.claims.clip()
	return r.claims, nil
}

// verifySignature lets golang-jwt verify the signature alone: it is handed the
// very bytes that were read, and never parses them a second time.
func verifySignature(r *reading, key crypto.PublicKey) error {
	method := methods[r.alg]
	if m, ok := method.(*jwt.SigningMethodECDSA); ok {
		// golang-jwt does not tie the curve to the algorithm, RFC 7518 §3.4.
		if k, ok := key.(*ecdsa.PublicKey); !ok || k.Curve.Params().BitSize != m.CurveBits {
			return jwt.ErrInvalidKeyType
		}
	}
	return method.Verify(r.signed, r.signature, key)
}

// noKey turns the error of Keys into an Error. Only unknown_key is the token's
// fault: a login would not help with another one.
func noKey(kid string, cause error) *Error {
	e := &Error{Fault: Ours, Reason: IssuerUnavailable, RetryAfter: time.Second, Err: cause}
	var known interface {
		KeyReason() string
		RetryAfter() time.Duration
	}
	if !errors.As(cause, &known) {
		return e
	}
	switch reason := known.KeyReason(); reason {
	case UnknownKey:
		return &Error{Fault: Invalid, Reason: reason, Presented: cut(kid, presentedBytes), Err: cause}
	case KeyUnknownYet:
		e.Reason = reason
	}
	e.RetryAfter = max(e.RetryAfter, known.RetryAfter())
	return e
}
