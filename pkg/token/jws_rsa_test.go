package token_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"

	"github.com/cedargate/cedargate/pkg/token"
)

// An rsaMaker makes signatures of one key with the bare private operation.
type rsaMaker struct {
	*jwsGroup
	n, d *big.Int
}

var rsaHashes = []struct {
	bits string
	hash crypto.Hash
}{{"256", crypto.SHA256}, {"384", crypto.SHA384}, {"512", crypto.SHA512}}

// digestInfos are what stands before a digest, RFC 8017 §9.2, note 1.
var digestInfos = map[crypto.Hash]string{
	crypto.SHA256: "3031300d060960864801650304020105000420",
	crypto.SHA384: "3041300d060960864801650304020205000430",
	crypto.SHA512: "3051300d060960864801650304020305000440",
}

func rsaVectors() *jwsFile {
	f := &jwsFile{Comment: "RSASSA-PKCS1-v1_5 and RSASSA-PSS, RFC 7518 §3.3 and §3.5"}
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	for _, h := range rsaHashes {
		m := &rsaMaker{f.group("RS"+h.bits, key.Public(), nil), key.N, key.D}
		m.pkcs1("RS"+h.bits, h.hash)
		m = &rsaMaker{f.group("PS"+h.bits, key.Public(), nil), key.N, key.D}
		m.pss("PS"+h.bits, h.hash)
	}
	rsaKeys(f, key)
	return f
}

func unhex(text string) []byte { return must(hex.DecodeString(text)) }

func (m *rsaMaker) size() int { return (m.n.BitLen() + 7) / 8 }

// raw is the private operation.
func (m *rsaMaker) raw(em []byte) []byte {
	return new(big.Int).Exp(new(big.Int).SetBytes(em), m.d, m.n).FillBytes(make([]byte, m.size()))
}

// padded is EMSA-PKCS1-v1_5 around info.
func padded(size int, info []byte) []byte {
	return slices.Concat([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-3-len(info)), []byte{0}, info)
}

// pkcs1 are signatures for an algorithm of RFC 8017 §8.2.
func (m *rsaMaker) pkcs1(alg string, h crypto.Hash) {
	input := signingInput(jwsHeader(alg), jwsPayload)
	sum, info := digest(h, input), unhex(digestInfos[h])
	whole := slices.Concat(info, sum)
	em := padded(m.size(), whole)
	good := m.raw(em)
	m.valid("as it must be", compact(input, good))
	m.sizesOf(input, good)

	changed := func(change func(em []byte) []byte) []byte { return m.raw(change(slices.Clone(em))) }
	set := func(at int, value byte) []byte {
		return changed(func(em []byte) []byte { em[at] = value; return em })
	}
	separator := m.size() - len(whole) - 1
	junk := bytes.Repeat([]byte{0xab}, 16)
	// The parameters absent: both lengths are two less.
	bare := slices.Concat([]byte{0x30, info[1] - 2, 0x30, info[3] - 2}, info[4:len(info)-4], info[len(info)-2:], sum)
	// The parameters an octet string.
	stuffed := slices.Concat([]byte{0x30, info[1] + 16, 0x30, info[3] + 16}, info[4:len(info)-4], []byte{4, 16}, junk, info[len(info)-2:], sum)
	long := slices.Concat([]byte{0x30, 0x81, info[1]}, info[2:], sum)
	for _, test := range []struct {
		comment   string
		signature []byte
	}{
		{"block type 2", set(1, 2)},
		{"block type 0", set(1, 0)},
		{"the first byte of the block 1", set(0, 1)},
		{"the first byte of the padding altered", set(2, 0xfe)},
		{"a byte of the padding altered", set(20, 0)},
		{"the last byte of the padding altered", set(separator-1, 0x7f)},
		{"no zero after the padding", set(separator, 0xff)},
		{"the last byte of the digest altered", set(len(em)-1, em[len(em)-1]^1)},
		{"short padding, then the digest, then other bytes", m.raw(slices.Concat(em[:10], em[separator:], make([]byte, separator-10)))},
		{"short padding and zeros before the digest", m.raw(slices.Concat(em[:10], make([]byte, separator-10), em[separator:]))},
		{"the block one byte short", m.raw(padded(m.size()-1, whole))},
		{"no DigestInfo", m.raw(padded(m.size(), sum))},
		{"DigestInfo without NULL", m.raw(padded(m.size(), bare))},
		{"DigestInfo with other bytes for NULL", m.raw(padded(m.size(), stuffed))},
		{"DigestInfo with a length in two bytes", m.raw(padded(m.size(), long))},
		{"bytes after DigestInfo", m.raw(padded(m.size(), slices.Concat(whole, junk)))},
		{"the digest itself", m.raw(sum)},
	} {
		m.forged(test.comment, compact(input, test.signature), "Modified")
	}
	for _, other := range rsaHashes {
		if other.hash != h {
			m.forged("with SHA-"+other.bits, compact(input, m.raw(padded(m.size(), slices.Concat(unhex(digestInfos[other.hash]), digest(other.hash, input))))), "AlgorithmConfused")
		}
	}
	m.forged("RSASSA-PSS", compact(input, m.raw(pss{hash: h, salt: h.Size()}.encode(m.n, input))), "AlgorithmConfused")
	m.forged("with SHA-1", compact(input, m.raw(padded(m.size(), slices.Concat(unhex("3021300906052b0e03021a05000414"), digest(crypto.SHA1, input))))), "AlgorithmConfused")
}

// sizesOf are variants of a good signature, and numbers that are none.
func (m *rsaMaker) sizesOf(input string, good []byte) {
	bad := func(comment string, signature []byte, flag string) {
		m.forged(comment, compact(input, signature), flag)
	}
	bad("the last byte missing", good[:len(good)-1], "Size")
	bad("the first byte missing", good[1:], "Size")
	bad("half of it", good[:len(good)/2], "Size")
	bad("one byte", good[:1], "Size")
	bad("a zero after it", append(slices.Clone(good), 0), "Size")
	bad("a zero before it", append([]byte{0}, good...), "Canonical")
	bad("plus the modulus", new(big.Int).Add(m.n, new(big.Int).SetBytes(good)).Bytes(), "Canonical")
	bad("the modulus minus it", new(big.Int).Sub(m.n, new(big.Int).SetBytes(good)).FillBytes(make([]byte, m.size())), "Modified")
	bad("zero", make([]byte, m.size()), "Zero")
	bad("one", big.NewInt(1).FillBytes(make([]byte, m.size())), "Zero")
	bad("the modulus", m.n.Bytes(), "Zero")
	bad("the modulus minus one", new(big.Int).Sub(m.n, big.NewInt(1)).Bytes(), "Zero")
	bad("all ones", bytes.Repeat([]byte{0xff}, m.size()), "Zero")
	little := slices.Clone(good)
	slices.Reverse(little)
	bad("little-endian", little, "Modified")
	stranger := must(rsa.GenerateKey(rand.Reader, 2048))
	other := &rsaMaker{n: stranger.N, d: stranger.D}
	bad("of another key", other.raw(new(big.Int).Exp(new(big.Int).SetBytes(good), big.NewInt(65537), m.n).Bytes()), "Forged")
}

// A pss is how EMSA-PSS (RFC 8017 §9.1.1) is to be made.
type pss struct {
	hash    crypto.Hash
	mgf     crypto.Hash  // 0: hash
	salt    int          // in bytes
	db, end func([]byte) // change DB before it is masked, and the whole
}

func (p pss) encode(n *big.Int, input string) []byte {
	if p.mgf == 0 {
		p.mgf = p.hash
	}
	bits := n.BitLen() - 1
	salt := make([]byte, p.salt)
	must(rand.Read(salt))
	sum := digest(p.hash, string(make([]byte, 8))+string(digest(p.hash, input))+string(salt))
	db := make([]byte, (bits+7)/8-len(sum)-1)
	db[len(db)-len(salt)-1] = 1
	copy(db[len(db)-len(salt):], salt)
	if p.db != nil {
		p.db(db)
	}
	mask := []byte{}
	for i := uint32(0); len(mask) < len(db); i++ {
		mask = append(mask, digest(p.mgf, string(sum)+string(binary.BigEndian.AppendUint32(nil, i)))...)
	}
	for i := range db {
		db[i] ^= mask[i]
	}
	db[0] &= 0xff >> (8*((bits+7)/8) - bits)
	em := slices.Concat(db, sum, []byte{0xbc})
	if p.end != nil {
		p.end(em)
	}
	return em
}

// pss are signatures for an algorithm of RFC 8017 §8.1.
func (m *rsaMaker) pss(alg string, h crypto.Hash) {
	input := signingInput(jwsHeader(alg), jwsPayload)
	sign := func(p pss) string {
		p.hash = h
		return compact(input, m.raw(p.encode(m.n, input)))
	}
	good := m.raw(pss{hash: h, salt: h.Size()}.encode(m.n, input))
	m.valid("a salt of the size of the hash", compact(input, good))
	m.sizesOf(input, good)

	// RFC 7518 §3.5: the salt is of the size of the hash.
	most := m.size() - h.Size() - 2
	for _, salt := range []struct {
		comment string
		size    int
	}{
		{"no salt", 0}, {"a salt of one byte", 1}, {"a salt of 20 bytes", 20}, {"a salt one byte short", h.Size() - 1},
		{"a salt one byte long", h.Size() + 1}, {"the longest salt", most},
	} {
		m.forged(salt.comment, sign(pss{salt: salt.size}), "Salt", jwtAccepts)
	}
	for _, test := range []struct {
		comment string
		pss     pss
	}{
		{"the trailer bb", pss{end: func(em []byte) { em[len(em)-1] = 0xbb }}},
		{"the trailer cc, of RFC 8017's optional hash", pss{end: func(em []byte) { em[len(em)-1] = 0xcc }}},
		{"a bit of the padding set", pss{db: func(db []byte) { db[1] = 1 }}},
		{"2 before the salt", pss{db: func(db []byte) { db[len(db)-h.Size()-1] = 2 }}},
		{"0 before the salt", pss{db: func(db []byte) { db[len(db)-h.Size()-1] = 0 }}},
		{"the salt altered", pss{db: func(db []byte) { db[len(db)-1] ^= 1 }}},
		{"the hash altered", pss{end: func(em []byte) { em[len(em)-2] ^= 1 }}},
	} {
		test.pss.salt = h.Size()
		m.forged(test.comment, sign(test.pss), "Modified")
	}
	for _, other := range rsaHashes {
		if other.hash != h {
			m.forged("with SHA-"+other.bits, compact(input, m.raw(pss{hash: other.hash, salt: other.hash.Size()}.encode(m.n, input))), "AlgorithmConfused")
			m.forged("with a mask of SHA-"+other.bits, sign(pss{salt: h.Size(), mgf: other.hash}), "AlgorithmConfused")
		}
	}
	m.forged("with a mask of SHA-1", sign(pss{salt: h.Size(), mgf: crypto.SHA1}), "AlgorithmConfused")
	m.forged("RSASSA-PKCS1-v1_5", compact(input, m.raw(padded(m.size(), slices.Concat(unhex(digestInfos[h]), digest(h, input))))), "AlgorithmConfused")
}

// rsaKeys are keys at the limits, and signatures that only some keys can have.
func rsaKeys(f *jwsFile, key *rsa.PrivateKey) {
	m := &rsaMaker{f.group("leading zeros", key.Public(), nil), key.N, key.D}
	for _, alg := range []string{"RS256", "PS256"} {
		input, signature := "", []byte{1}
		for i := 0; signature[0] != 0; i++ {
			input = signingInput(jwsHeader(alg), fmt.Sprintf(`{"jti":"%d",%s`, i, jwsPayload[1:]))
			signature = m.raw(blockOf(alg, key.N, input))
		}
		m.valid(alg+" that begins with zero", compact(input, signature), "Edge")
		m.forged(alg+" that begins with zero, without it", compact(input, signature[1:]), "Canonical", "Size")
	}

	for _, alg := range []string{"RS256", "PS256"} {
		input := signingInput(jwsHeader(alg), jwsPayload)
		good := compact(input, m.raw(blockOf(alg, key.N, input)))
		other := map[string]string{"RS256": "PS256", "PS256": "RS256"}[alg]
		f.group("a key for "+other, key.Public(), claims{"alg": other}).invalid(token.UnknownKey, alg, good, "Key")
		f.group("a key for "+alg, key.Public(), claims{"alg": alg}).valid(alg, good)
	}

	input := signingInput(jwsHeader("RS256"), jwsPayload)
	block := blockOf("RS256", key.N, input)
	good := compact(input, m.raw(block))
	f.group("e = 1", key.Public(), claims{"e": "AQ"}).invalid(token.IssuerUnavailable, "the block itself", compact(input, block), "Forged", "Key")
	f.group("e = 2", key.Public(), claims{"e": "Ag"}).forged("RS256", good, "Key")
	f.group("e = 0", key.Public(), claims{"e": "AA"}).invalid(token.IssuerUnavailable, "zero", compact(input, make([]byte, m.size())), "Forged", "Key")
	f.group("e = 65538", key.Public(), claims{"e": "AQAC"}).forged("RS256", good, "Key")
	f.group("e of 33 bits", key.Public(), claims{"e": "AQAAAAE"}).invalid(token.IssuerUnavailable, "RS256", good, "Key")
	f.group("an even modulus", key.Public(), claims{"n": b64(new(big.Int).Sub(key.N, big.NewInt(1)).Bytes())}).forged("RS256", good, "Key")
	f.group("a modulus of 1024 bits", key.Public(), claims{"n": b64(key.N.Bytes()[:128])}).invalid(token.IssuerUnavailable, "RS256", good, "Key")

	small := cubeKey()
	m = &rsaMaker{f.group("e = 3", &rsa.PublicKey{N: small.n, E: 3}, nil), small.n, small.d}
	for _, alg := range []string{"RS256", "PS256"} {
		input := signingInput(jwsHeader(alg), jwsPayload)
		m.valid(alg, compact(input, m.raw(blockOf(alg, small.n, input))), "Key")
	}
	m.forged("the cube root of a block with short padding", compact(input, cubeRoot(m.size(), input)), "Forged")
}

// blockOf is the padded digest of input for RS256 or PS256.
func blockOf(alg string, n *big.Int, input string) []byte {
	if alg == "PS256" {
		return pss{hash: crypto.SHA256, salt: 32}.encode(n, input)
	}
	return padded((n.BitLen()+7)/8, slices.Concat(unhex(digestInfos[crypto.SHA256]), digest(crypto.SHA256, input)))
}

// cubeKey makes a key of 2048 bits with e = 3, which crypto/rsa no longer does.
func cubeKey() rsaMaker {
	one, three := big.NewInt(1), big.NewInt(3)
	prime := func() *big.Int {
		for {
			if p := must(rand.Prime(rand.Reader, 1024)); new(big.Int).Mod(p, three).Int64() == 2 {
				return p
			}
		}
	}
	p, q := prime(), prime()
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	return rsaMaker{n: new(big.Int).Mul(p, q), d: new(big.Int).ModInverse(three, phi)}
}

// cubeRoot is Bleichenbacher's forgery: its cube begins with one byte of
// padding and the DigestInfo of input, and ends as it comes.
func cubeRoot(size int, input string) []byte {
	begin := slices.Concat([]byte{0, 1, 0xff, 0}, unhex(digestInfos[crypto.SHA256]), digest(crypto.SHA256, input))
	block := new(big.Int).SetBytes(slices.Concat(begin, bytes.Repeat([]byte{0xff}, size-len(begin))))
	low, high := new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(8*size/3+1))
	for low.Cmp(high) < 0 { // the greatest root whose cube is at most block
		middle := new(big.Int).Add(low, high)
		middle.Add(middle, big.NewInt(1)).Rsh(middle, 1)
		if new(big.Int).Exp(middle, big.NewInt(3), nil).Cmp(block) <= 0 {
			low = middle
		} else {
			high = middle.Sub(middle, big.NewInt(1))
		}
	}
	if cube := new(big.Int).Exp(low, big.NewInt(3), nil).FillBytes(make([]byte, size)); !bytes.HasPrefix(cube, begin) {
		panic("the cube does not begin as it should")
	}
	return low.FillBytes(make([]byte, size))
}
