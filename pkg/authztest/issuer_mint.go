package authztest

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Absent, as the value of a claim or header, leaves it out.
var Absent = absent{}

type absent struct{}

// A MintOption changes how Mint makes a token.
type MintOption func(*mint)

// A mint is one token in the making.
type mint struct {
	issuer  *Issuer
	alg     string
	header  map[string]any
	payload []byte // nil: the claims
	rawHead []byte // nil: header
	sign    func(m *mint, text string) ([]byte, error)
}

// Mint returns a signed access token (RFC 9068). It holds iss, aud, sub
// ("alice"), client_id ("cli"), iat (now), exp (in five minutes), jti, and
// claims, which go before them. It panics if the claims are not JSON.
func (i *Issuer) Mint(claims map[string]any, options ...MintOption) string {
	m := &mint{issuer: i, alg: i.algs[0], header: map[string]any{"typ": "at+jwt"}, sign: honest}
	for _, option := range options {
		option(m)
	}
	if m.payload == nil {
		m.payload = encode(i.defaults(claims))
	}
	if _, ok := m.header["alg"]; !ok {
		m.header["alg"] = m.alg
	}
	if _, ok := m.header["kid"]; !ok && m.alg != "none" {
		m.header["kid"] = i.key(m.keyAlg()).kid
	}
	if m.rawHead == nil {
		m.rawHead = encode(m.header)
	}
	base64url := base64.RawURLEncoding.EncodeToString
	text := base64url(m.rawHead) + "." + base64url(m.payload)
	signature, err := m.sign(m, text)
	if err != nil {
		panic("authztest: signing: " + err.Error())
	}
	return text + "." + base64url(signature)
}

// keyAlg is the algorithm of the key to name and to sign with.
func (m *mint) keyAlg() string {
	if !knownAlgorithm(m.alg) {
		return ""
	}
	return m.alg
}

func (i *Issuer) defaults(claims map[string]any) map[string]any {
	i.mu.Lock()
	i.minted++
	id := i.minted
	i.mu.Unlock()
	now := i.now()
	all := map[string]any{
		"iss": i.url, "aud": i.audience, "sub": "alice", "client_id": "cli",
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": fmt.Sprintf("token-%d", id),
	}
	maps.Copy(all, claims)
	return all
}

// encode leaves out what is Absent.
func encode(members map[string]any) []byte {
	members = maps.Clone(members)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == any(Absent) })
	text, err := json.Marshal(members)
	if err != nil {
		panic("authztest: " + err.Error())
	}
	return text
}

func honest(m *mint, text string) ([]byte, error) {
	return method(m.alg).Sign(text, m.issuer.key(m.alg).signer())
}

// WithAlgorithm signs with the issuer's key for alg.
func WithAlgorithm(alg string) MintOption { return func(m *mint) { m.alg = alg } }

// WithHeader sets a member of the header, such as "typ", "kid", "crit" or
// "jwk"; Absent leaves it out.
func WithHeader(name string, value any) MintOption {
	return func(m *mint) { m.header[name] = value }
}

// WithKeyID names another key than the one that signs; "" names none.
func WithKeyID(kid string) MintOption {
	if kid == "" {
		return WithHeader("kid", Absent)
	}
	return WithHeader("kid", kid)
}

// WithPayload signs text instead of the claims, be it JSON or not: duplicate
// members, for instance.
func WithPayload(text string) MintOption { return func(m *mint) { m.payload = []byte(text) } }

// WithRawHeader writes text as the header, be it JSON or not.
func WithRawHeader(text string) MintOption { return func(m *mint) { m.rawHead = []byte(text) } }

// Forged signs with a key that is not the issuer's, under the kid of the one
// that is.
func Forged() MintOption {
	return func(m *mint) {
		m.sign = func(m *mint, text string) ([]byte, error) {
			return method(m.alg).Sign(text, m.issuer.forgery(m.alg))
		}
	}
}

// SignedBy signs with signer, which may be the key of anyone.
func SignedBy(signer crypto.Signer) MintOption {
	return func(m *mint) {
		m.sign = func(m *mint, text string) ([]byte, error) { return method(m.alg).Sign(text, signer) }
	}
}

// Unsigned makes a token of the algorithm "none" (RFC 7519 §6).
func Unsigned() MintOption {
	return func(m *mint) {
		m.alg = "none"
		m.sign = func(*mint, string) ([]byte, error) { return nil, nil }
	}
}

// Confused makes a token of the algorithm HS256 whose secret is the issuer's
// public key as everyone can read it, in DER: a verifier that does not
// tie keys to algorithms takes it (RFC 8725 §2.1).
func Confused() MintOption {
	return func(m *mint) {
		m.alg = "HS256"
		m.sign = func(m *mint, text string) ([]byte, error) {
			secret, err := x509.MarshalPKIXPublicKey(m.issuer.PublicKey(""))
			if err != nil {
				return nil, err
			}
			return jwt.SigningMethodHS256.Sign(text, secret)
		}
	}
}

// Tampered changes the signature.
func Tampered() MintOption {
	return func(m *mint) {
		sign := m.sign
		m.sign = func(m *mint, text string) ([]byte, error) {
			signature, err := sign(m, text)
			if len(signature) > 0 {
				signature[len(signature)/2] ^= 1
			}
			return signature, err
		}
	}
}
