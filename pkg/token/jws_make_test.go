package token_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// makeJWSFiles writes all vectors. The seed, with one version of Go, makes the
// same keys and signatures each time.
func makeJWSFiles(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 5)
	ecdsaVectors().write(t, "ecdsa.json")
	rsaVectors().write(t, "rsa.json")
	eddsaVectors().write(t, "eddsa.json")
	encodingVectors().write(t, "encoding.json")
	headerVectors().write(t, "header.json")
}

// jwsNotes are the meanings of the flags.
var jwsNotes = map[string]string{
	jwtAccepts:          "golang-jwt accepts the token, when it is given the key of the group.",
	jwtRefuses:          "golang-jwt refuses the token.",
	"AlgorithmConfused": "The signature is of another algorithm than the header says.",
	"Canonical":         "The signature has a second encoding, which has to be refused: a token is known by its text.",
	"Edge":              "A rare value that is good.",
	"Extension":         "RFC 7515 §4.1.11: who does not understand an extension refuses the token.",
	"Forged":            "Made without the private key of the group.",
	"Header":            "RFC 7515 §4.1: the header is one JSON object without a duplicate, and names are case-sensitive.",
	"Ignored":           "A header parameter that must not matter: keys come from the issuer's key set alone.",
	"Key":               "The key does not serve, or is at the limit of what does.",
	"Malleable":         "RFC 7518 §3.4 knows no canonical s, and half of all honest signatures have the higher one: both are accepted.",
	"Modified":          "A good signature of another text, or a changed one.",
	"Salt":              "RFC 7518 §3.5: the salt is of the size of the hash. golang-jwt takes any.",
	"Serialization":     "RFC 7515 §7.1: three parts in base64url, without padding, line breaks and bits after the last byte.",
	"Size":              "The signature is shorter or longer than the algorithm says.",
	"SmallOrder":        "RFC 8032 §5.1.7, without the cofactor, as crypto/ed25519 has it. A point of small order is no fault of a signature; a key that is one comes from an issuer that lets everybody sign.",
	"Zero":              "r, s or S is out of its range.",
}

func (f *jwsFile) write(t *testing.T, name string) {
	t.Helper()
	f.Notes = map[string]string{}
	for _, group := range f.TestGroups {
		for i := range group.Tests {
			f.NumberOfTests++
			group.Tests[i].TcID = f.NumberOfTests
			for _, flag := range group.Tests[i].Flags {
				f.Notes[flag] = jwsNotes[flag]
			}
		}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(f); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(jwsFolder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(jwsFolder, name), text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// group adds a group. Its key is named "k" and for no algorithm in particular,
// so that the signature has to tell; more can say otherwise.
func (f *jwsFile) group(comment string, public crypto.PublicKey, more claims) *jwsGroup {
	g := &jwsGroup{Comment: comment, Type: "JsonWebSignature", Public: authztest.PublicJWK(public)}
	g.Public["kid"] = "k"
	maps.Copy(g.Public, more)
	f.TestGroups = append(f.TestGroups, g)
	return g
}

func (g *jwsGroup) valid(comment, jws string, flags ...string) {
	slices.Sort(flags)
	g.Tests = append(g.Tests, jwsVector{Comment: comment, JWS: jws, Result: "valid", Flags: append([]string{}, flags...)})
}

func (g *jwsGroup) invalid(reason, comment, jws string, flags ...string) {
	slices.Sort(flags)
	g.Tests = append(g.Tests, jwsVector{Comment: comment, JWS: jws, Result: "invalid", Reason: reason, Flags: append([]string{}, flags...)})
}

// forged is invalid for a signature that the key of g does not verify.
func (g *jwsGroup) forged(comment, jws string, flags ...string) {
	g.invalid(token.BadSignature, comment, jws, flags...)
}

// jwsPayload is an access token that every vector has, if it says no other.
const jwsPayload = `{"iss":"` + jwsIssuer + `","aud":"` + resource + `","sub":"alice","exp":1800000300}`

func jwsHeader(alg string) string { return `{"alg":"` + alg + `","kid":"k"}` }

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// signingInput is what is signed, RFC 7515 §5.1.
func signingInput(header, payload string) string {
	return b64([]byte(header)) + "." + b64([]byte(payload))
}

func compact(input string, signature []byte) string { return input + "." + b64(signature) }

func digest(h crypto.Hash, text string) []byte {
	hash := h.New()
	hash.Write([]byte(text))
	return hash.Sum(nil)
}

// signES256 signs input as it stands.
func signES256(key *ecdsa.PrivateKey, input string) string {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest(crypto.SHA256, input))
	if err != nil {
		panic(err)
	}
	return compact(input, append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func newP256() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// encodingVectors are tokens whose text is wrong; their signatures are right,
// over the very text.
func encodingVectors() *jwsFile {
	f := &jwsFile{Comment: "Compact serialization, RFC 7515 §7.1"}
	key := newP256()
	g := f.group("base64url", key.Public(), nil)
	bad := func(comment, jws string, flags ...string) {
		g.invalid(token.MalformedToken, comment, jws, append(flags, "Serialization")...)
	}
	// A blank makes lengths that need padding, and digits that - and _ are.
	header, payload := jwsHeader("ES256"), strings.Replace(jwsPayload, "{", `{"x":"`+"\u00ff\u07ff~~~???>>>"+`",`, 1)
	for len(header)%3 != 1 {
		header += " "
	}
	for len(payload)%3 != 1 {
		payload += " "
	}
	h, p := b64([]byte(header)), b64([]byte(payload))
	sign := func(h, p string) string { return signES256(key, h+"."+p) }
	good := sign(h, p)
	signature := good[len(h)+len(p)+2:]
	g.valid("the token that the others are made of", good)

	bad("header with padding", sign(h+"==", p))
	bad("header with half of its padding", sign(h+"=", p))
	bad("payload with padding", sign(h, p+"=="))
	bad("signature with padding", good+"==")
	bad("percent-encoded padding", good+"%3D%3D")
	bad("bits after the last byte of the header", sign(setBits(h), p))
	bad("bits after the last byte of the payload", sign(h, setBits(p)))
	bad("bits after the last byte of the signature", setBits(good), "Canonical")
	bad("one digit too many in the header", sign(h+"AAA", p))
	bad("one digit too many in the payload", sign(h, p+"AAA"))
	bad("one digit too many in the signature", good+"AAA")
	standard := strings.NewReplacer("-", "+", "_", "/")
	if standard.Replace(p) == p {
		panic("the payload has neither - nor _")
	}
	bad("+ and / in the payload", sign(h, standard.Replace(p)))
	for !strings.ContainsAny(signature, "-_") {
		good = sign(h, p)
		signature = good[len(h)+len(p)+2:]
	}
	bad("+ and / in the signature", h+"."+p+"."+standard.Replace(signature), "Canonical")

	for _, c := range []string{"\n", "\r", " ", "\t", "\x00", "\u00a0", "\uff21"} {
		var flags []string
		if c == "\n" || c == "\r" { // which encoding/base64 skips
			flags = append(flags, jwtAccepts)
		}
		bad(fmt.Sprintf("%+q in the header", c), sign(h[:4]+c+h[4:], p), flags...)
		bad(fmt.Sprintf("%+q in the payload", c), sign(h, p[:4]+c+p[4:]), flags...)
		flags = append(flags, "Canonical")
		bad(fmt.Sprintf("%+q in the signature", c), h+"."+p+"."+signature[:4]+c+signature[4:], flags...)
		bad(fmt.Sprintf("%+q at the end", c), good+c, flags...)
	}

	shapes(f.group("shapes", key.Public(), nil), h, p, signature)
	return f
}

// shapes are tokens of other than three parts.
func shapes(g *jwsGroup, h, p, signature string) {
	bad := func(comment, jws string) { g.invalid(token.MalformedToken, comment, jws, "Serialization") }
	good := h + "." + p + "." + signature
	g.valid("the token that the others are made of", good)
	g.forged("no signature", h+"."+p+".", "Size", "Serialization")
	bad("no signature and no dot", h+"."+p)
	bad("no header", "."+p+"."+signature)
	bad("no payload, which is detached", h+".."+signature)
	bad("only dots", "..")
	bad("one part", h)
	bad("four parts", good+"."+signature)
	bad("four parts, the last one empty", good+".")
	bad("four parts, the first one empty", "."+good)
	bad("five parts, as JWE has", good+".AA.AA")
	bad("a comma and the token again", good+","+good)
	bad("JSON serialization, flattened", `{"payload":"`+p+`","protected":"`+h+`","signature":"`+signature+`"}`)
	bad("JSON serialization, general", `{"payload":"`+p+`","signatures":[{"protected":"`+h+`","signature":"`+signature+`"}]}`)
	bad("JSON serialization with the dots of the compact one", `{"payload":"`+p+`","protected":"`+h+`","signature":"`+signature+`","x":".."}`)
	bad("the token as a JSON string", `"`+good+`"`)
	bad("payload and signature swapped", h+"."+signature+"."+p)
	bad("header and signature swapped", signature+"."+p+"."+h)
	g.invalid(token.MissingClaim, "header and payload swapped", p+"."+h+"."+signature, "Serialization")
	bad("the token in base64url", b64([]byte(good)))
}

// setBits sets a bit that stands for nothing.
func setBits(part string) string { return part[:len(part)-1] + string(nextBit(part[len(part)-1])) }
