package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// A publicJWK is a public key that a caller sent (RFC 7517).
type publicJWK struct {
	key        crypto.PublicKey
	thumbprint string // RFC 7638, SHA-256
}

// parseJWK reads a public key. Each key has one spelling, so that its thumbprint
// is that of the key.
func parseJWK(v strictjson.Value) (publicJWK, error) {
	if v.Kind() != strictjson.Object {
		return publicJWK{}, errors.New("absent or not an object")
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if v.Get(private).Kind() != strictjson.Absent {
			return publicJWK{}, fmt.Errorf("has %q, which no public key has", private)
		}
	}
	switch kty := v.Get("kty").Text(); kty {
	case "EC":
		return parseEC(v)
	case "OKP":
		return parseOKP(v)
	case "RSA":
		return parseRSA(v)
	default:
		return publicJWK{}, fmt.Errorf("kty %.40q is no public key", kty)
	}
}

// parseEC reads RFC 7518 §6.2.1.
func parseEC(v strictjson.Value) (publicJWK, error) {
	name := v.Get("crv").Text()
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[name]
	if curve == nil {
		return publicJWK{}, fmt.Errorf("crv %.40q is not known", name)
	}
	size := (curve.Params().BitSize + 7) / 8
	x, errX := member(v, "x", size, size)
	y, errY := member(v, "y", size, size)
	if err := errors.Join(errX, errY); err != nil {
		return publicJWK{}, err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
	if err != nil {
		return publicJWK{}, errors.New("not a point of its curve")
	}
	text := fmt.Sprintf(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, name, v.Get("x").Text(), v.Get("y").Text())
	return publicJWK{key, thumbprintOf(text)}, nil
}

// parseOKP reads RFC 8037 §2.
func parseOKP(v strictjson.Value) (publicJWK, error) {
	if name := v.Get("crv").Text(); name != "Ed25519" {
		return publicJWK{}, fmt.Errorf("crv %.40q is not known", name)
	}
	x, err := member(v, "x", ed25519.PublicKeySize, ed25519.PublicKeySize)
	if err != nil {
		return publicJWK{}, err
	}
	return publicJWK{ed25519.PublicKey(x), thumbprintOf(fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, v.Get("x").Text()))}, nil
}

// parseRSA reads RFC 7518 §6.3.1: keys of 2048 to 4096 bits, so that none costs
// much, with an odd exponent below 2^31.
func parseRSA(v strictjson.Value) (publicJWK, error) {
	n, errN := member(v, "n", 2048/8, 4096/8)
	e, errE := member(v, "e", 1, 4)
	if err := errors.Join(errN, errE); err != nil {
		return publicJWK{}, err
	}
	exponent := new(big.Int).SetBytes(e).Int64()
	if n[0] == 0 || e[0] == 0 || exponent < 3 || exponent > 1<<31-1 || exponent%2 == 0 {
		return publicJWK{}, errors.New("n begins with zero, or e is none")
	}
	text := fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, v.Get("e").Text(), v.Get("n").Text())
	return publicJWK{&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)}, thumbprintOf(text)}, nil
}

// member decodes a member that is base64url of least to most bytes.
func member(v strictjson.Value, name string, least, most int) ([]byte, error) {
	decoded, err := decode(v.Get(name).Text())
	if err != nil || len(decoded) < least || len(decoded) > most {
		return nil, fmt.Errorf("%s is not base64url of %d to %d bytes", name, least, most)
	}
	return decoded, nil
}

func thumbprintOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
