package token

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// MaxIntrospectionCache bounds how long an answer of an issuer may be used.
const MaxIntrospectionCache = time.Hour

// Introspection says how an issuer is asked about tokens that are not JWTs: RFC
// 7662. Its answers are read as the payload of a JWT is, with the names of RFC
// 7662 §2.2 for scopes and client beside those of the Issuer.
type Introspection struct {
	Endpoint string // https, or http to a loopback host
	ClientID string // of Cedargate, as a client of the issuer
	// One of the two: the secret for client_secret_basic (RFC 6749 §2.3.1), or
	// the key for private_key_jwt (RFC 7523 §2.2), which ParseClientKey reads.
	Secret string
	Key    crypto.Signer
	// CA has the authorities of the endpoint in PEM form; empty: the system's.
	CA []byte
	// Cache is how long an answer is used at most, never longer than exp; 0
	// means that every request asks, but for those at the same moment. At most
	// MaxIntrospectionCache.
	Cache time.Duration
	// Transport reaches the endpoint; nil means http.DefaultTransport. It has no
	// use for CA unless it is an *http.Transport.
	Transport http.RoundTripper
}

// asksIssuers tells whether raw is for introspection at a server: it is no JWT,
// and these are the issuers to ask, in the order of the server.
func (v *Verifier) asksIssuers(raw string, accept Accept) []*introspector {
	if len(v.introspectors) == 0 || strings.Count(raw, ".") == 2 || len(raw) > MaxLimit {
		return nil
	}
	var ask []*introspector
	for _, name := range accept.Issuers {
		if i := v.introspectors[name]; i != nil {
			ask = append(ask, i)
		}
	}
	return ask
}

// verifyOpaque returns the claims of raw as the first of the issuers states them
// that says that it is active. One that is known to say so goes first; others
// are asked in order, each only if those before it do not know the token.
func (v *Verifier) verifyOpaque(ctx context.Context, raw string, ask []*introspector, accept Accept) (Claims, error) {
	i, answer, err := v.firstActive(ctx, raw, ask)
	if err != nil {
		return Claims{}, err
	}
	r := i.reading(answer)
	for _, c := range answerChecks {
		if err := c.run(v, r, accept); err != nil {
			return Claims{}, err
		}
	}
	r.believe(raw)
	return r.claims, nil
}

// firstActive finds the issuer for which raw is active. Only if all of them
// answered, and none knows it, the token is at fault.
func (v *Verifier) firstActive(ctx context.Context, raw string, ask []*introspector) (*introspector, *answer, *Error) {
	id, now := idOf(raw), v.now()
	for _, i := range ask {
		if a, ok := i.active.GetIfPresent(id); ok && a.fresh(now) {
			return i, a, nil
		}
	}
	var failed *Error
	for _, i := range ask {
		a := i.ask(ctx, id, raw)
		switch {
		case a.active:
			return i, a, nil
		case a.err != nil && failed == nil:
			failed = a.err
		}
	}
	if failed != nil {
		return nil, nil, failed
	}
	return nil, nil, refuse(InactiveToken, "", "not active at %d issuers", len(ask))
}

// answerChecks are made of what an issuer says about a token that it calls
// active, in this order; the first that fails is the answer.
var answerChecks = []check{
	{name: "token_type", run: (*Verifier).checkAnswerType, found: func(r *reading) string { return or(r.payload.Get("token_type").Text(), "absent") }},
	{name: "cnf", run: (*Verifier).checkBinding, found: bindingFound},
	{name: "iss", run: (*Verifier).checkAnswerIssuer, found: func(r *reading) string { return "issuer " + r.issuer.Name }},
	{name: "exp", run: (*Verifier).checkAnswerExpiry, found: func(r *reading) string { return stampOr(r.claims.ExpiresAt, "absent") }},
	{name: "nbf", run: (*Verifier).checkBeginning, found: func(r *reading) string { return stampOr(r.claims.NotBefore, "absent") }},
	{name: "aud", run: (*Verifier).checkAudience, found: func(r *reading) string { return strings.Join(r.claims.Audience, " ") }},
	{name: "sub", run: (*Verifier).checkSubject, found: func(r *reading) string { return r.claims.Subject }},
	{name: "act", run: (*Verifier).checkActor, found: actorFound},
}

// checkAnswerType refuses what is not an access token: an issuer may answer
// about refresh tokens too (RFC 7662 §2.1). The answer has to say what it is
// about, with token_type, token_use or typ, or with a claim of require_one_of.
func (v *Verifier) checkAnswerType(r *reading, _ Accept) *Error {
	kind, err := text(r.payload, "token_type")
	if err != nil {
		return err
	}
	use, err := text(r.payload, "token_use")
	if err != nil {
		return err
	}
	typ, err := text(r.payload, "typ")
	if err != nil {
		return err
	}
	bound := strings.EqualFold(kind, "DPoP") // checkBinding knows more
	bears := strings.EqualFold(kind, "Bearer") || bound
	access := use == "access" || use == "access_token"
	switch strings.ToLower(typ) {
	case "id", "refresh", "offline", "logout":
		return refuse(TokenType, typ, "the answer has typ %q", typ)
	}
	switch {
	case bound && r.payload.Get("cnf").Get("jkt").Kind() == strictjson.Absent:
		return refuse(BoundToken, "cnf", "token_type is DPoP, and the answer does not say which key it is bound to")
	case use != "" && !access:
		return refuse(TokenType, use, "token_use is %.40q, want access", use)
	case kind != "" && !bears:
		return refuse(TokenType, kind, "token_type is %.40q, want Bearer", kind)
	case bears, access, typ == "Bearer":
		return nil
	case len(r.issuer.RequireOneOf) > 0 && r.hasOneOf(r.issuer.RequireOneOf):
		return nil
	}
	return refuse(TokenType, "token_type", "the answer does not say that it is about an access token")
}

// checkAnswerIssuer refuses an answer about the token of somebody else.
func (v *Verifier) checkAnswerIssuer(r *reading, _ Accept) *Error {
	r.claims.Issuer = r.issuer.Name
	if r.payload.Get("iss").Kind() == strictjson.Absent {
		return nil
	}
	iss, err := text(r.payload, "iss")
	if err == nil && iss != r.issuer.Issuer {
		err = refuse(UnknownIssuer, iss, "iss %.200q in the answer of issuer %q", iss, r.issuer.Name)
	}
	return err
}

// checkAnswerExpiry checks exp, which an answer need not have (RFC 7662 §2.2):
// active says that the token has not expired.
func (v *Verifier) checkAnswerExpiry(r *reading, accept Accept) *Error {
	if r.payload.Get("exp").Kind() == strictjson.Absent {
		return nil
	}
	return v.checkExpiry(r, accept)
}

// addIntrospector makes what asks issuer, if it can be asked.
func (v *Verifier) addIntrospector(issuer *Issuer) error {
	if issuer.Introspection == nil {
		return nil
	}
	i, err := newIntrospector(*issuer, v.now)
	if err != nil {
		return fmt.Errorf("introspection: %w", err)
	}
	if v.introspectors == nil {
		v.introspectors = make(map[string]*introspector)
	}
	v.introspectors[issuer.Name] = i
	return nil
}

// checked tells what is missing.
func (i *Introspection) checked() error {
	switch {
	case i.ClientID == "":
		return errors.New("no client id")
	case (i.Secret == "") == (i.Key == nil):
		return errors.New("want a secret or a key, and not both")
	case i.Cache < 0 || i.Cache > MaxIntrospectionCache:
		return fmt.Errorf("a cache of %v is not between 0 and %v", i.Cache, MaxIntrospectionCache)
	}
	if i.Key != nil {
		if _, err := methodFor(i.Key); err != nil {
			return err
		}
	}
	return checkEndpoint(i.Endpoint)
}

// asAnswered is a copy of issuer that reads answers: the names of RFC 7662 §2.2
// stand beside those of its JWTs.
func (i Issuer) asAnswered() *Issuer {
	beside := func(names []string, standard string) []string {
		if slices.Contains(names, standard) {
			return names
		}
		return append(slices.Clone(names), standard)
	}
	i.ScopesClaims = beside(i.ScopesClaims, "scope")
	i.ClientClaims = beside(i.ClientClaims, "client_id")
	return &i
}

// reading is what an answer says, for the checks that a JWT has too.
func (i *introspector) reading(a *answer) *reading {
	return &reading{payload: a.payload, issuer: i.issuer}
}

// inspectOpaque makes the checks of verifyOpaque for Inspect.
func (v *Verifier) inspectOpaque(ctx context.Context, raw string, ask []*introspector, accept Accept) Inspection {
	var in Inspection
	i, answer, err := v.firstActive(ctx, raw, ask)
	if !in.step("introspection", "active", err) {
		return in
	}
	in.Steps[0].Found = "active at issuer " + i.issuer.Name
	r := i.reading(answer)
	for _, c := range answerChecks {
		err, found := c.run(v, r, accept), ""
		if err == nil {
			found = c.found(r)
		}
		in.step(c.name, found, err)
	}
	if in.Err == nil {
		r.believe(raw)
		in.Claims = r.claims
	}
	return in
}
