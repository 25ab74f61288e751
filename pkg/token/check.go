package token

import (
	"context"
	"crypto"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// limits of header and payload; their size is bounded by that of the token.
var limits = strictjson.Limits{Depth: 32, Elements: 10_000, Number: 256}

// A reading is a token, read once. Its claims are not to be believed before the
// signature is verified.
type reading struct {
	header, payload strictjson.Value
	signed          string // the text that was signed
	signature       []byte

	iss    string  // the issuer that the token claims; "" if it claims none
	issuer *Issuer // the one it is, when it is one of the server's
	alg    string
	kid    string
	claims Claims
	sent   *Credential // what it came with; nil: it did not come with a request

	actorIssuer *Issuer // nil: there is no actor
	withoutSub  bool    // the subject is client_id
}

// read takes a token in the JWS compact serialization apart, RFC 7515 §7.1.
func read(raw string) (*reading, *Error) {
	if len(raw) > MaxLimit {
		return nil, malformed(TokenLimit, "longer than any limit")
	}
	parts := strings.SplitN(raw, ".", 4)
	if len(parts) != 3 {
		return nil, refuse(MalformedToken, "", "not three parts")
	}
	r := &reading{signed: raw[:len(parts[0])+1+len(parts[1])]}
	for i, into := range []*strictjson.Value{&r.header, &r.payload} {
		decoded, err := decode(parts[i])
		if err != nil {
			return nil, err
		}
		value, cause := strictjson.Parse(decoded, limits)
		if cause != nil {
			return nil, refuse(MalformedToken, "", "part %d: %w", i+1, cause)
		}
		if value.Kind() != strictjson.Object {
			return nil, refuse(MalformedToken, "", "part %d is not an object", i+1)
		}
		*into = value
	}
	r.iss = r.payload.Get("iss").Text()
	var err *Error
	r.signature, err = decode(parts[2])
	return r, err
}

func decode(part string) ([]byte, *Error) {
	// The decoder, strict as it is about padding bits, skips line breaks.
	if strings.ContainsAny(part, "\r\n") {
		return nil, refuse(MalformedToken, "", "a line break")
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, refuse(MalformedToken, "", "not base64url")
	}
	return decoded, nil
}

// check refuses r for everything that needs no key, in the order of contract
// §5, and notes what it read in r.claims.
func (v *Verifier) check(r *reading, accept Accept) *Error {
	for _, c := range checks {
		if err := c.run(v, r, accept); err != nil {
			return err
		}
	}
	return nil
}

// checkExtensions refuses a token that says it must not be understood without
// an extension, RFC 7515 §4.1.11.
func (v *Verifier) checkExtensions(r *reading, _ Accept) *Error {
	if r.header.Get("crit").Kind() != strictjson.Absent {
		return refuse(MalformedToken, "crit", "header has crit: no extension is understood")
	}
	return nil
}

// checkType refuses what is not an access token: RFC 9068 §4, RFC 8725 §3.11.
func (v *Verifier) checkType(r *reading, _ Accept) *Error {
	issuer := v.issuers[r.iss] // the one it claims, nil if it is unknown
	typ, err := text(r.header, "typ")
	if err != nil {
		return err
	}
	if r.header.Get("typ").Kind() == strictjson.Absent {
		typ = "JWT"
	}
	switch strings.ToLower(typ) {
	case "at+jwt", "application/at+jwt":
	case "jwt":
		if err := r.checkShape(issuer != nil && issuer.AllowIDTokenShape); err != nil {
			return err
		}
	default:
		return refuse(TokenType, typ, "typ %.40q, want at+jwt or JWT", typ)
	}
	if issuer != nil && !r.hasOneOf(issuer.RequireOneOf) {
		return refuse(TokenType, "", "none of the claims %q", issuer.RequireOneOf)
	}
	return nil
}

// checkShape refuses tokens that do not say that they are access tokens and
// look like another one.
func (r *reading) checkShape(allowIDToken bool) *Error {
	use := r.payload.Get("token_use")
	access := use.Text() == "access"
	if use.Kind() != strictjson.Absent && !access {
		return refuse(TokenType, use.Text(), "token_use is not access")
	}
	typ, err := text(r.payload, "typ")
	if err != nil {
		return err
	}
	switch strings.ToLower(typ) {
	case "id", "refresh", "offline", "logout":
		return refuse(TokenType, typ, "the payload has typ %q", typ)
	}
	if allowIDToken {
		return nil
	}
	for _, name := range []string{"at_hash", "c_hash"} {
		if r.payload.Get(name).Kind() != strictjson.Absent {
			return refuse(TokenType, name, "%s stands in ID tokens", name)
		}
	}
	if r.payload.Get("nonce").Kind() != strictjson.Absent && !access && typ != "Bearer" {
		return refuse(TokenType, "nonce", "nonce stands in ID tokens")
	}
	return nil
}

func (r *reading) hasOneOf(names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool {
		kind := r.payload.Get(name).Kind()
		return kind != strictjson.Absent && kind != strictjson.Null
	})
}

// checkAlgorithm refuses what no issuer can have in its list, RFC 8725 §3.1.
func (v *Verifier) checkAlgorithm(r *reading, _ Accept) *Error {
	alg, err := text(r.header, "alg")
	if err != nil {
		return err
	}
	if upper := strings.ToUpper(alg); upper == "NONE" || strings.HasPrefix(upper, "HS") {
		return refuse(Algorithm, alg, "alg %.40q is no public-key signature", alg)
	}
	r.alg = alg
	return nil
}

// checkIssuer finds the issuer by equality.
func (v *Verifier) checkIssuer(r *reading, accept Accept) *Error {
	iss, err := required(r.payload, "iss")
	issuer := v.issuers[iss]
	switch {
	case err != nil:
		return err
	case issuer == nil:
		return refuse(UnknownIssuer, iss, "no issuer %.200q is configured", iss)
	case !slices.Contains(accept.Issuers, issuer.Name):
		return refuse(IssuerNotForServer, iss, "issuer %q is not one of %q", issuer.Name, accept.Issuers)
	}
	r.issuer = issuer
	r.claims.Issuer = issuer.Name
	return nil
}

// checkIssuersAlgorithm refuses what this issuer does not sign with.
func (v *Verifier) checkIssuersAlgorithm(r *reading, _ Accept) *Error {
	if !slices.Contains(r.issuer.Algorithms, r.alg) {
		return refuse(Algorithm, r.alg, "alg %.40q is not one of issuer %q", r.alg, r.issuer.Name)
	}
	return nil
}

// checkExpiry checks exp, RFC 7519 §4.1.4.
func (v *Verifier) checkExpiry(r *reading, _ Accept) (err *Error) {
	c := &r.claims
	if c.ExpiresAt, err = moment(r.payload, "exp"); err != nil {
		return err
	}
	if c.ExpiresAt.IsZero() {
		return missing("exp")
	}
	if !v.now().Before(c.ExpiresAt.Add(v.leeway)) {
		return refuse(Expired, stamp(c.ExpiresAt), "expired at %s", stamp(c.ExpiresAt))
	}
	return nil
}

// checkBeginning checks nbf, RFC 7519 §4.1.5. iat only has to be a number:
// clocks differ, and exp bounds the rest.
func (v *Verifier) checkBeginning(r *reading, _ Accept) (err *Error) {
	c := &r.claims
	if c.NotBefore, err = moment(r.payload, "nbf"); err != nil {
		return err
	}
	if v.now().Before(c.NotBefore.Add(-v.leeway)) {
		return refuse(NotYetValid, stamp(c.NotBefore), "valid from %s", stamp(c.NotBefore))
	}
	c.IssuedAt, err = moment(r.payload, "iat")
	return err
}

// checkAudience compares by equality: a resource identifier is no prefix.
func (v *Verifier) checkAudience(r *reading, accept Accept) *Error {
	aud, err := r.audience()
	switch {
	case err != nil:
		return err
	case len(aud) == 0 || len(aud) == 1 && aud[0] == "":
		return missing("aud")
	}
	for _, a := range aud {
		if a != "" && slices.Contains(accept.Audiences, a) {
			r.claims.Audience = aud
			return nil
		}
	}
	return refuse(AudienceMismatch, strings.Join(aud, " "), "aud is none of %q", accept.Audiences)
}

// checkSubject reads sub, RFC 9068 §2.2.
func (v *Verifier) checkSubject(r *reading, _ Accept) *Error {
	return r.subject()
}

// checkActor reads the outermost act, RFC 8693 §4.1.
func (v *Verifier) checkActor(r *reading, accept Accept) *Error {
	act := r.payload.Get("act")
	switch act.Kind() {
	case strictjson.Absent:
		return nil
	case strictjson.Object:
	default:
		return wrongKind("act")
	}
	subject, err := required(act, "sub")
	if err != nil {
		err.Presented = "act." + err.Presented
		return err
	}
	r.actorIssuer = r.issuer
	if act.Get("iss").Kind() != strictjson.Absent {
		iss, err := text(act, "iss")
		if err != nil {
			err.Presented = "act." + err.Presented
			return err
		}
		issuer := v.issuers[iss]
		if issuer == nil || !slices.Contains(accept.Issuers, issuer.Name) {
			return refuse(UnknownIssuer, iss, "act.iss %.200q is not one of %q", iss, accept.Issuers)
		}
		r.actorIssuer = issuer
	}
	r.claims.Actor = &Actor{Issuer: r.actorIssuer.Name, Subject: subject}
	return nil
}

// text returns a member that is a string, or absent.
func text(of strictjson.Value, name string) (string, *Error) {
	member := of.Get(name)
	if kind := member.Kind(); kind != strictjson.String && kind != strictjson.Absent {
		return "", wrongKind(name)
	}
	return member.Text(), nil
}

// required returns a member that is a string and not empty.
func required(of strictjson.Value, name string) (string, *Error) {
	value, err := text(of, name)
	if err == nil && value == "" {
		err = missing(name)
	}
	return value, err
}

func missing(name string) *Error {
	return refuse(MissingClaim, name, "%s is absent or empty", name)
}

func wrongKind(name string) *Error {
	return refuse(MalformedToken, name, "%s is of another JSON type than it must be", name)
}

// moment returns a member that is a NumericDate; the zero time if it is absent.
func moment(of strictjson.Value, name string) (time.Time, *Error) {
	at, ok := instant(of.Get(name))
	if !ok {
		return at, wrongKind(name)
	}
	return at, nil
}

// instant returns the time that a NumericDate names, RFC 7519 §2; the zero time
// if v is absent. Times before 1970 and after 9999 are moved there, so that
// arithmetic with them is right.
func instant(v strictjson.Value) (time.Time, bool) {
	const lastSecond = 253402300799 // 9999-12-31T23:59:59Z
	switch v.Kind() {
	case strictjson.Absent:
		return time.Time{}, true
	case strictjson.Number:
	default:
		return time.Time{}, false
	}
	seconds, err := strconv.ParseFloat(string(v.Raw()), 64)
	if err != nil { // not finite
		return time.Time{}, false
	}
	whole, part := math.Modf(min(max(seconds, 0), lastSecond))
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), true
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

// checkKeyID reads kid, RFC 7515 §4.1.4. That it is required, unless there is
// one key alone, is for Keys to say.
func (v *Verifier) checkKeyID(r *reading, _ Accept) (err *Error) {
	r.kid, err = text(r.header, "kid")
	return err
}

// findKey asks the issuer's keys for the one that the token names.
func (r *reading) findKey(ctx context.Context) (crypto.PublicKey, *Error) {
	key, cause := r.issuer.Keys.Key(ctx, r.kid, r.alg)
	if cause != nil {
		return nil, noKey(r.kid, cause)
	}
	return key, nil
}

// checkSignature is the last check: what r says after it is to be believed.
func (r *reading) checkSignature(key crypto.PublicKey) *Error {
	if cause := verifySignature(r, key); cause != nil {
		return refuse(BadSignature, r.kid, "%s: %w", r.alg, cause)
	}
	return nil
}
