package jwks

import (
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/MicahParks/jwkset"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// RFC 7518 §3.3 asks for 2048 bits; a longer modulus than 8192 only costs us
// time for each signature.
const minRSABits, maxRSABits = 2048, 8192

const maxKID = 512 // bytes; a kid is kept, compared and logged

// A keyType is what an algorithm needs of a key. The curve is "" for RSA.
type keyType struct{ kty, crv string }

// algorithms has the types of the keys that verify (RFC 7518 §3.1, RFC 8037
// §3.1, RFC 9864 §2). Symmetric algorithms are left out: a public key must
// never be taken for a secret.
var algorithms = map[string]keyType{
	"RS256": {"RSA", ""}, "RS384": {"RSA", ""}, "RS512": {"RSA", ""},
	"PS256": {"RSA", ""}, "PS384": {"RSA", ""}, "PS512": {"RSA", ""},
	"ES256": {"EC", "P-256"}, "ES384": {"EC", "P-384"}, "ES512": {"EC", "P-521"},
	"EdDSA": {"OKP", "Ed25519"}, "Ed25519": {"OKP", "Ed25519"},
}

// An entry is one member of "keys".
type entry struct {
	kid, alg string
	keyType
	signs bool // the entry is meant for signatures, and key is set
	key   jwkset.JWK
}

// fits tells whether e verifies signatures of alg.
func (e entry) fits(alg string) bool {
	same := e.alg == "" || e.alg == alg || isEdDSA(e.alg) && isEdDSA(alg)
	return e.signs && same && algorithms[alg] == e.keyType
}

func isEdDSA(alg string) bool { return alg == "EdDSA" || alg == "Ed25519" }

// readEntry reads one JSON Web Key. An entry that is well-formed but not for
// signatures that we verify is no error. With an error, kid is set if it could
// be read.
func readEntry(raw []byte) (entry, error) {
	v, err := strictjson.Parse(raw, strictjson.Limits{Depth: 8, Number: 256})
	if err != nil {
		return entry{}, err
	}
	if v.Kind() != strictjson.Object {
		return entry{}, errors.New("not an object")
	}
	var e entry
	for name, into := range map[string]*string{
		"kid": &e.kid, "alg": &e.alg, "kty": &e.kty, "crv": &e.crv,
	} {
		if member := v.Get(name); member.Kind() == strictjson.String {
			*into = member.Text()
		} else if member.Kind() != strictjson.Absent {
			err = fmt.Errorf("%q is no string", name)
		}
	}
	if len(e.kid) > maxKID {
		e.kid, err = "", fmt.Errorf("kid of more than %d bytes", maxKID)
	}
	use, ops := v.Get("use"), v.Get("key_ops")
	switch {
	case err != nil:
		return e, err
	case e.kty == "":
		return e, errors.New(`no "kty"`)
	case ops.Kind() != strictjson.Absent && ops.Kind() != strictjson.Array:
		return e, errors.New(`"key_ops" is no array`)
	case use.Kind() != strictjson.Absent && use.Kind() != strictjson.String:
		return e, errors.New(`"use" is no string`)
	case v.Get("d").Kind() != strictjson.Absent:
		return e, errors.New("a private key is published: anyone can sign with it")
	}
	if e.kty == "RSA" {
		e.crv = ""
	}
	meant := use.Kind() == strictjson.Absent || use.Text() == "sig"
	if !meant || !verifies(ops) || !known(e.keyType) {
		return e, nil
	}
	e.signs = true
	e.key, err = publicKey(v, e)
	return e, err
}

func known(t keyType) bool {
	for _, want := range algorithms {
		if t == want {
			return true
		}
	}
	return false
}

func verifies(ops strictjson.Value) bool {
	if ops.Kind() == strictjson.Absent {
		return true
	}
	for op := range ops.Elements() {
		if op.Text() == "verify" {
			return true
		}
	}
	return false
}

// publicKey makes the key of the members that carry it alone. The certificate
// members are not looked at: providers publish thumbprints that do not match.
// Nor is alg handed on: fits has compared it, and knows that EdDSA has two
// names.
func publicKey(v strictjson.Value, e entry) (jwkset.JWK, error) {
	key, err := jwkset.NewJWKFromMarshal(jwkset.JWKMarshal{
		KID: e.kid,
		KTY: jwkset.KTY(e.kty),
		CRV: jwkset.CRV(e.crv),
		N:   v.Get("n").Text(),
		E:   v.Get("e").Text(),
		X:   v.Get("x").Text(),
		Y:   v.Get("y").Text(),
	}, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return jwkset.JWK{}, err
	}
	if k, ok := key.Key().(*rsa.PublicKey); ok && (k.N.BitLen() < minRSABits || k.N.BitLen() > maxRSABits) {
		return jwkset.JWK{}, fmt.Errorf("RSA key of %d bits, want %d to %d", k.N.BitLen(), minRSABits, maxRSABits)
	}
	return key, nil
}
