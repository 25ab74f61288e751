package authztest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"sync"

	"github.com/golang-jwt/jwt/v5"
)

// A key is one key pair of an Issuer.
type key struct {
	kid, alg string
	signer   func() crypto.Signer // generates it the first time
}

// Rotate adds a new key for each algorithm and signs with the new ones from
// now on. The old ones stay published until Retire.
func (i *Issuer) Rotate() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.round++
	var fresh []*key
	for _, alg := range i.algs {
		fresh = append(fresh, &key{
			kid:    fmt.Sprintf("%s-%d", strings.ToLower(alg), i.round),
			alg:    alg,
			signer: sync.OnceValue(func() crypto.Signer { return generate(alg) }),
		})
	}
	i.keys = append(fresh, i.keys...)
}

// Retire takes all keys but those of the last Rotate out of the key set.
func (i *Issuer) Retire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = i.keys[:len(i.algs)]
}

// KeyID is the kid of the key that Mint signs with for alg; "" means the first
// algorithm. Two Issuers that were rotated as often have the same ids.
func (i *Issuer) KeyID(alg string) string { return i.key(alg).kid }

// PublicKey is the key that verifies what Mint signs with alg; "" means the
// first algorithm.
func (i *Issuer) PublicKey(alg string) crypto.PublicKey { return i.key(alg).signer().Public() }

func (i *Issuer) key(alg string) *key {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, k := range i.keys {
		if alg == "" || k.alg == alg {
			return k
		}
	}
	panic(fmt.Sprintf("authztest: the issuer has no key for %q", alg))
}

// forgery is a key for alg that the Issuer does not publish.
func (i *Issuer) forgery(alg string) crypto.Signer {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.forged[alg] == nil {
		i.forged[alg] = generate(alg)
	}
	return i.forged[alg]
}

// entries are the published keys as JSON Web Keys.
func (i *Issuer) entries() []map[string]any {
	i.mu.Lock()
	keys := i.keys
	i.mu.Unlock()
	var entries []map[string]any
	for _, k := range keys {
		entry := PublicJWK(k.signer().Public())
		entry["kid"], entry["alg"], entry["use"] = k.kid, k.alg, "sig"
		entries = append(entries, entry)
	}
	return entries
}

// PublicJWK returns the members of a JSON Web Key (RFC 7517) that carry public,
// which is of a type that an Issuer's PublicKey has.
func PublicJWK(public crypto.PublicKey) map[string]any {
	encode := base64.RawURLEncoding.EncodeToString
	switch k := public.(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "n": encode(k.N.Bytes()), "e": encode(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4, then x and y
		if err != nil {
			panic("authztest: " + err.Error())
		}
		half := 1 + len(point)/2
		return map[string]any{
			"kty": "EC", "crv": k.Curve.Params().Name, "x": encode(point[1:half]), "y": encode(point[half:]),
		}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode(k)}
	}
	panic(fmt.Sprintf("authztest: no key set holds a %T", public))
}

// knownAlgorithm tells whether alg is one with a public key.
func knownAlgorithm(alg string) bool {
	switch method(alg).(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS, *jwt.SigningMethodECDSA, *jwt.SigningMethodEd25519:
		return true
	}
	return false
}

// method is the signing method for alg, nil if there is none.
func method(alg string) jwt.SigningMethod {
	if alg == "Ed25519" { // the name of RFC 9864
		return jwt.SigningMethodEdDSA
	}
	return jwt.GetSigningMethod(alg)
}

func generate(alg string) crypto.Signer {
	var signer crypto.Signer
	var err error
	switch alg {
	case "ES256":
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		signer, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA", "Ed25519":
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic("authztest: " + err.Error())
	}
	return signer
}
