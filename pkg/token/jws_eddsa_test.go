package token_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"math/big"
	"slices"

	"github.com/cedargate/cedargate/pkg/token"
)

// edOrder is L, the order of the base point, RFC 8032 §5.1.
var edOrder, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

// Points of small order, encoded.
var (
	edIdentity  = littleEndian(big.NewInt(1))
	edMinusOne  = littleEndian(new(big.Int).Sub(edPrime(), big.NewInt(1))) // y = -1, of order 2
	edOrder4    = make([]byte, 32)                                         // y = 0
	edIdentity2 = littleEndian(new(big.Int).Add(edPrime(), big.NewInt(1))) // y = p + 1: the identity, not canonical
)

func edPrime() *big.Int {
	return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
}

// littleEndian is x in 32 bytes, little-endian.
func littleEndian(x *big.Int) []byte {
	b := x.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return b
}

func fromLittle(b []byte) *big.Int {
	b = slices.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

// edScalar is the secret scalar of key, RFC 8032 §5.1.5.
func edScalar(key ed25519.PrivateKey) *big.Int {
	sum := sha512.Sum512(key.Seed())
	sum[0] &= 248
	sum[31] = sum[31]&127 | 64
	return fromLittle(sum[:32])
}

// edChallenge is the k of RFC 8032 §5.1.6.
func edChallenge(r []byte, public ed25519.PublicKey, input string) *big.Int {
	sum := sha512.Sum512(slices.Concat(r, public, []byte(input)))
	return fromLittle(sum[:])
}

func eddsaVectors() *jwsFile {
	f := &jwsFile{Comment: "Ed25519, RFC 8037 §3.1 and RFC 9864 §2.2"}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	g := f.group("Ed25519", key.Public(), nil)
	edSignatures(g, key)
	edPoints(g, key)
	edKeys(f, key)
	return f
}

func edSignatures(g *jwsGroup, key ed25519.PrivateKey) {
	input := signingInput(jwsHeader("EdDSA"), jwsPayload)
	good := ed25519.Sign(key, []byte(input))
	r, s := good[:32], good[32:]
	g.valid("EdDSA", compact(input, good))
	renamed := signingInput(jwsHeader("Ed25519"), jwsPayload)
	g.valid("Ed25519", compact(renamed, ed25519.Sign(key, []byte(renamed))), jwtRefuses)
	g.forged("EdDSA that is called Ed25519", compact(renamed, good), "Modified")
	for _, alg := range []string{"Ed448", "ED25519", "eddsa"} {
		other := signingInput(jwsHeader(alg), jwsPayload)
		g.invalid(token.Algorithm, alg, compact(other, ed25519.Sign(key, []byte(other))), "Header")
	}

	bad := func(comment string, signature []byte, flags ...string) {
		g.forged(comment, compact(input, signature), flags...)
	}
	plus := func(times int64) []byte {
		return littleEndian(new(big.Int).Add(fromLittle(s), new(big.Int).Mul(edOrder, big.NewInt(times))))
	}
	for times := int64(1); times < 15; times *= 2 {
		bad(fmt.Sprintf("S + %d L", times), slices.Concat(r, plus(times)), "Canonical", "Zero")
	}
	bad("S with its highest bit set", slices.Concat(r, s[:31], []byte{s[31] | 0x80}), "Canonical")
	bad("L - S", slices.Concat(r, littleEndian(new(big.Int).Sub(edOrder, fromLittle(s)))), "Modified")
	bad("S = 0", slices.Concat(r, make([]byte, 32)), "Zero")
	bad("S = L", slices.Concat(r, littleEndian(edOrder)), "Zero")
	bad("S = 1", slices.Concat(r, edIdentity), "Zero")
	bad("R and S zero", make([]byte, 64), "Zero")
	bad("R and S all ones", slices.Repeat([]byte{0xff}, 64), "Zero")
	bad("R and S swapped", slices.Concat(s, r), "Modified")
	bad("R with its other sign", slices.Concat(r[:31], []byte{r[31] ^ 0x80}, s), "Modified")
	bad("R that is no point", slices.Concat([]byte{2}, make([]byte, 31), s), "Modified")
	bad("S big-endian", slices.Concat(r, fromLittle(s).FillBytes(make([]byte, 32))), "Modified")
	bad("the last byte missing", good[:63], "Size")
	bad("the first byte missing", good[1:], "Size")
	bad("R alone", r, "Size")
	bad("a zero after it", append(slices.Clone(good), 0), "Size")
	bad("a zero before it", append([]byte{0}, good...), "Size")
	bad("the length of Ed448", slices.Concat(good, make([]byte, 50)), "Size")
	bad("the public key before it", slices.Concat(key[32:], good), "Size")

	hash := sha512.Sum512([]byte(input))
	bad("Ed25519ph", must(key.Sign(rand.Reader, hash[:], &ed25519.Options{Hash: crypto.SHA512})), "AlgorithmConfused")
	bad("Ed25519ctx", must(key.Sign(rand.Reader, []byte(input), &ed25519.Options{Context: "JWS"})), "AlgorithmConfused")
	bad("of the SHA-512 of the text", ed25519.Sign(key, hash[:]), "AlgorithmConfused")
	bad("of another payload", ed25519.Sign(key, []byte(signingInput(jwsHeader("EdDSA"), `{"jti":"x",`+jwsPayload[1:]))), "Modified")
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	bad("of another key", ed25519.Sign(stranger, []byte(input)), "Forged")
}

// edPoints are signatures by the key whose R is of small order.
func edPoints(g *jwsGroup, key ed25519.PrivateKey) {
	input := signingInput(jwsHeader("EdDSA"), jwsPayload)
	public := ed25519.PublicKey(key[32:])
	// With R of small order S = k a holds, up to a multiple of the cofactor.
	with := func(r []byte) string {
		s := new(big.Int).Mul(edChallenge(r, public, input), edScalar(key))
		return compact(input, slices.Concat(r, littleEndian(s.Mod(s, edOrder))))
	}
	g.valid("R is the identity, by the owner of the key", with(edIdentity), "SmallOrder")
	g.forged("R of order 2: good with the cofactor only", with(edMinusOne), "SmallOrder")
	g.forged("R of order 4: good with the cofactor only", with(edOrder4), "SmallOrder")
	g.forged("R is the identity, not canonical", with(edIdentity2), "Canonical", "SmallOrder")
	g.forged("R is the identity, S = 0", compact(input, slices.Concat(edIdentity, make([]byte, 32))), "Forged", "SmallOrder")
}

// edKeys are keys that are of small order, or none.
func edKeys(f *jwsFile, key ed25519.PrivateKey) {
	input := signingInput(jwsHeader("EdDSA"), jwsPayload)
	good := compact(input, ed25519.Sign(key, []byte(input)))
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	for _, test := range []struct {
		comment string
		public  []byte
		order   int64
	}{
		{"the key is the identity", edIdentity, 1},
		{"the key is the identity, not canonical", edIdentity2, 1},
		{"the key is of order 2", edMinusOne, 2},
		{"the key is of order 4", edOrder4, 4},
	} {
		g := f.group(test.comment, ed25519.PublicKey(test.public), nil)
		// R is a point whose multiple S of the base point is known: they fit
		// when k is a multiple of the order of the key.
		r, s := other[32:], littleEndian(new(big.Int).Mod(edScalar(other), edOrder))
		input := ""
		for i := 0; input == "" || new(big.Int).Mod(edChallenge(r, test.public, input), big.NewInt(test.order)).Sign() != 0; i++ {
			input = signingInput(jwsHeader("EdDSA"), fmt.Sprintf(`{"jti":"%d",%s`, i, jwsPayload[1:]))
		}
		g.valid("made without a private key", compact(input, slices.Concat(r, s)), "SmallOrder")
		g.forged("of an honest key", good, "SmallOrder")
	}

	public := []byte(key[32:])
	f.group("the key is no point", key.Public(), claims{"x": b64(littleEndian(big.NewInt(2)))}).forged("EdDSA", good, "Key")
	f.group("the key with its other sign", key.Public(), claims{"x": b64(slices.Concat(public[:31], []byte{public[31] ^ 0x80}))}).forged("EdDSA", good, "Key")
	for _, test := range []struct {
		comment string
		more    claims
	}{
		{"a key one byte short", claims{"x": b64(public[:31])}},
		{"a key one byte long", claims{"x": b64(append(slices.Clone(public), 0))}},
		{"X25519", claims{"crv": "X25519"}},
		{"Ed448", claims{"crv": "Ed448"}},
		{"an EC key of Ed25519", claims{"kty": "EC"}},
		{"a key for ES256", claims{"alg": "ES256"}},
	} {
		f.group(test.comment, key.Public(), test.more).invalid(token.IssuerUnavailable, "EdDSA", good, "Key")
	}
	f.group("a key for Ed25519", key.Public(), claims{"alg": "Ed25519", "use": "sig"}).valid("EdDSA", good)
}
