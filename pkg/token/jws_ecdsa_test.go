package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"

	"github.com/cedargate/cedargate/pkg/token"
)

// An ecdsaMaker makes signatures of one algorithm, RFC 7518 §3.4.
type ecdsaMaker struct {
	*jwsGroup
	alg  string
	hash crypto.Hash
	key  *ecdsa.PrivateKey
	size int      // of r and of s, in bytes
	n    *big.Int // the order
}

func ecdsaVectors() *jwsFile {
	f := &jwsFile{Comment: "ECDSA, RFC 7518 §3.4"}
	var makers []*ecdsaMaker
	for _, m := range []*ecdsaMaker{
		{alg: "ES256", hash: crypto.SHA256, key: newP256()},
		{alg: "ES384", hash: crypto.SHA384, key: must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))},
		{alg: "ES512", hash: crypto.SHA512, key: must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))},
	} {
		m.size, m.n = (m.key.Params().BitSize+7)/8, m.key.Params().N
		m.jwsGroup = f.group(m.alg, m.key.Public(), nil)
		m.ranges()
		m.sizes()
		m.others()
		makers = append(makers, m)
	}
	curves(f, makers)
	return f
}

func (m *ecdsaMaker) input() string { return signingInput(jwsHeader(m.alg), jwsPayload) }

func (m *ecdsaMaker) sign(h crypto.Hash, input string) (r, s *big.Int) {
	r, s, err := ecdsa.Sign(rand.Reader, m.key, digest(h, input))
	if err != nil {
		panic(err)
	}
	return r, s
}

// raw is the concatenation of r and s.
func (m *ecdsaMaker) raw(r, s *big.Int) []byte {
	return append(r.FillBytes(make([]byte, m.size)), s.FillBytes(make([]byte, m.size))...)
}

// ranges are r and s of all kinds.
func (m *ecdsaMaker) ranges() {
	input := m.input()
	r, s := m.sign(m.hash, input)
	low, high := s, new(big.Int).Sub(m.n, s)
	if low.Cmp(high) > 0 {
		low, high = high, low
	}
	m.valid("low s", compact(input, m.raw(r, low)), "Malleable")
	m.valid("high s of the same signature", compact(input, m.raw(r, high)), "Malleable")

	zero, one, last := new(big.Int), big.NewInt(1), new(big.Int).Sub(m.n, big.NewInt(1))
	most := new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*m.size)), one)
	plus := func(x *big.Int) *big.Int { return new(big.Int).Add(m.n, x) }
	for _, test := range []struct {
		comment string
		r, s    *big.Int
	}{
		{"r = 0", zero, s}, {"s = 0", r, zero}, {"r = s = 0", zero, zero},
		{"r = 0, s = 1", zero, one}, {"r = 1, s = 0", one, zero},
		{"r = n", m.n, s}, {"s = n", r, m.n}, {"r = s = n", m.n, m.n}, {"r = 0, s = n", zero, m.n},
		{"r = n + 1", plus(one), s}, {"s = n + 1", r, plus(one)},
		{"r = the prime of the field", m.key.Params().P, s}, {"r = s = the prime of the field", m.key.Params().P, m.key.Params().P},
		{"r all ones", most, s}, {"s all ones", r, most}, {"r and s all ones", most, most},
		{"r = r + n", plus(r), s}, {"s = s + n", r, plus(s)},
		{"r = n - r", new(big.Int).Sub(m.n, r), s},
		{"r = s = 1", one, one}, {"r = s = n - 1", last, last}, {"r = 1, s = n - 1", one, last},
		{"r and s swapped", s, r}, {"s = r", r, r}, {"r = s", s, s},
		{"r is the x of the generator, s = 1", m.key.Params().Gx, one},
	} {
		if test.r.Cmp(most) <= 0 && test.s.Cmp(most) <= 0 {
			m.forged(test.comment, compact(input, m.raw(test.r, test.s)), "Zero")
		}
	}
}

// sizes are signatures that are not two numbers of the size of the curve.
func (m *ecdsaMaker) sizes() {
	input := m.input()
	r, s := m.sign(m.hash, input)
	raw := m.raw(r, s)
	bad := func(comment string, signature []byte) { m.forged(comment, compact(input, signature), "Size") }
	bad("DER instead of r and s", must(asn1.Marshal(struct{ R, S *big.Int }{r, s})))
	bad("DER of r = s = 0", must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int), new(big.Int)})))
	bad("the last byte missing", raw[:len(raw)-1])
	bad("the first byte missing", raw[1:])
	bad("r alone", raw[:m.size])
	bad("one byte", []byte{0})
	bad("a zero after it", append(slices.Clone(raw), 0))
	bad("a zero before it", append([]byte{0}, raw...))
	bad("a zero before r and one before s", slices.Concat([]byte{0}, raw[:m.size], []byte{0}, raw[m.size:]))
	bad("a zero after r and one after s", slices.Concat(raw[:m.size], []byte{0}, raw[m.size:], []byte{0}))
	bad("twice", slices.Concat(raw, raw))
	bad("hexadecimal", fmt.Appendf(nil, "%x", raw))
	little := slices.Clone(raw)
	slices.Reverse(little[:m.size])
	slices.Reverse(little[m.size:])
	m.forged("r and s little-endian", compact(input, little), "Modified")

	// Leading zeros belong to the signature.
	for i := 0; raw[0] != 0; i++ {
		input = signingInput(jwsHeader(m.alg), fmt.Sprintf(`{"jti":"%d",%s`, i, jwsPayload[1:]))
		raw = m.raw(m.sign(m.hash, input))
	}
	m.valid("r that begins with zero", compact(input, raw), "Edge")
	bad("r that begins with zero, without it, and s", raw[1:])
}

// others are signatures that are good for something else.
func (m *ecdsaMaker) others() {
	input := m.input()
	good := m.raw(m.sign(m.hash, input))
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		if h != m.hash {
			m.forged("with "+h.String(), compact(input, m.raw(m.sign(h, input))), "AlgorithmConfused")
		}
	}
	bob := signingInput(jwsHeader(m.alg), `{"jti":"x",`+jwsPayload[1:])
	m.forged("of another payload", compact(bob, good), "Modified")
	m.forged("of the payload alone", compact(input, m.raw(m.sign(m.hash, b64([]byte(jwsPayload))))), "Modified")
	m.forged("of the text that is not encoded", compact(input, m.raw(m.sign(m.hash, jwsHeader(m.alg)+"."+jwsPayload))), "Modified")
	changed := slices.Clone(good)
	changed[len(changed)-1] ^= 1
	m.forged("with another last bit", compact(input, changed), "Modified")
	stranger := &ecdsaMaker{key: must(ecdsa.GenerateKey(m.key.Curve, rand.Reader)), size: m.size}
	m.forged("of another key of the curve", compact(input, stranger.raw(stranger.sign(m.hash, input))), "Forged")
}

// curves are keys that do not belong to the algorithm, or are none.
func curves(f *jwsFile, makers []*ecdsaMaker) {
	for i, m := range makers {
		g := f.group("another algorithm than that of the key, "+m.key.Params().Name, m.key.Public(), nil)
		for _, other := range slices.Concat(makers[i+1:], makers[:i]) {
			input := other.input()
			g.invalid(token.UnknownKey, other.alg+" with the hash of "+other.alg, compact(input, m.raw(m.sign(other.hash, input))), "Key")
			g.invalid(token.UnknownKey, other.alg+" of its own key", compact(input, other.raw(other.sign(other.hash, input))), "Key")
		}
		input := signingInput(jwsHeader("ES256K"), jwsPayload)
		g.invalid(token.Algorithm, "ES256K", compact(input, m.raw(m.sign(m.hash, input))), "Key")
	}
	p256 := makers[0]
	input := p256.input()
	good := compact(input, p256.raw(p256.sign(p256.hash, input)))
	x, y := f.TestGroups[0].Public["x"], f.TestGroups[0].Public["y"]
	for _, test := range []struct {
		comment string
		more    claims
	}{
		{"x and y swapped: not a point of the curve", claims{"x": y, "y": x}},
		{"the point (0, 0)", claims{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}},
		{"x without y", claims{"y": ""}},
		{"x and y of P-384", claims{"x": f.TestGroups[1].Public["x"], "y": f.TestGroups[1].Public["y"]}},
		{"secp256k1", claims{"crv": "secp256k1"}},
		{"P-384 with the point of P-256", claims{"crv": "P-384"}},
		{"a key for encryption", claims{"use": "enc"}},
		{"a key that signs and does not verify", claims{"key_ops": []string{"sign"}}},
		{"a key for ES384", claims{"alg": "ES384"}},
		{"a private key", claims{"d": b64(make([]byte, 32))}},
	} {
		f.group(test.comment, p256.key.Public(), test.more).invalid(token.IssuerUnavailable, "ES256", good, "Key")
	}
}
