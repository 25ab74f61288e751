package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

func headerVectors() *jwsFile {
	f := &jwsFile{Comment: "JOSE header, RFC 7515 §4"}
	key, stranger := newP256(), newP256()
	algVectors(f.group("alg", key.Public(), nil), key)
	nameVectors(f.group("names and JSON", key.Public(), nil), key)
	kidVectors(f.group("kid", key.Public(), nil), key)
	extensionVectors(f.group("crit and b64", key.Public(), nil), key)
	embeddedVectors(f.group("keys in the header", key.Public(), nil), key, stranger)
	return f
}

// signHeader makes a token that is good but for its header.
func signHeader(key *ecdsa.PrivateKey, header string) string {
	return signES256(key, signingInput(header, jwsPayload))
}

func algVectors(g *jwsGroup, key *ecdsa.PrivateKey) {
	good := signHeader(key, jwsHeader("ES256"))
	g.valid("ES256", good)
	for _, alg := range []string{
		"es256", "Es256", "ES256 ", " ES256", "ES256\\u0000", "ES-256", "SHA256withECDSA", "ECDSA", "ES257", "\uff25S256", "ES25\u0666",
		"1.2.840.10045.4.3.2", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", "", "ES256,none", "ESP256",
	} {
		g.invalid(token.Algorithm, "alg "+alg, signHeader(key, jwsHeader(alg)), "Header")
	}
	for _, alg := range []string{"none", "None", "nOnE", "NONE", "none ", "\\u006eone", ""} {
		input := signingInput(jwsHeader(alg), jwsPayload)
		g.invalid(token.Algorithm, "unsigned, alg "+alg, compact(input, nil), "Forged")
		g.invalid(token.Algorithm, "signed, alg "+alg, signES256(key, input), "Header")
	}
	der := must(x509.MarshalPKIXPublicKey(key.Public()))
	for _, secret := range []struct {
		name string
		text []byte
	}{
		{"the point", must(key.PublicKey.Bytes())},
		{"the key in DER", der},
		{"the key in PEM", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})},
		{"the JWK", must(json.Marshal(authztest.PublicJWK(key.Public())))},
		{"empty", nil},
	} {
		input := signingInput(jwsHeader("HS256"), jwsPayload)
		mac := hmac.New(crypto.SHA256.New, secret.text)
		mac.Write([]byte(input))
		g.invalid(token.Algorithm, "HS256 with a secret that is "+secret.name, compact(input, mac.Sum(nil)), "AlgorithmConfused", "Forged")
	}
	for _, alg := range []string{`["ES256"]`, `["ES256","none"]`, `["none"]`, `[]`, `{"ES256":1}`, `null`, `true`, `256`} {
		g.invalid(token.MalformedToken, "alg is "+alg, signHeader(key, `{"alg":`+alg+`,"kid":"k"}`), "Header")
	}
	g.invalid(token.Algorithm, "no alg", signHeader(key, `{"kid":"k"}`), "Header")
	g.invalid(token.Algorithm, "no alg but in the payload", signES256(key, signingInput(`{"kid":"k"}`, `{"alg":"ES256",`+jwsPayload[1:])), "Header")
	g.valid("another alg in the payload", signES256(key, signingInput(jwsHeader("ES256"), `{"alg":"none",`+jwsPayload[1:])), "Ignored")
	// golang-jwt takes the last of two.
	for _, twice := range []string{
		`"alg":"none","alg":"ES256"`, `"alg":"ES256","alg":"ES256"`, `"\u0061lg":"none","alg":"ES256"`, `"alg":"HS256","x":[],"a\u006cg":"ES256"`,
	} {
		g.invalid(token.MalformedToken, "duplicate: "+twice, signHeader(key, `{`+twice+`,"kid":"k"}`), "Header", jwtAccepts)
	}
	g.invalid(token.MalformedToken, "duplicate, the last one none", signHeader(key, `{"alg":"ES256","alg":"none","kid":"k"}`), "Header")
}

func nameVectors(g *jwsGroup, key *ecdsa.PrivateKey) {
	valid := func(comment, header string, flags ...string) {
		g.valid(comment, signHeader(key, header), append(flags, "Header")...)
	}
	bad := func(comment, header string, flags ...string) {
		g.invalid(token.MalformedToken, comment, signHeader(key, header), append(flags, "Header")...)
	}
	valid("alg with escapes in its name", `{"\u0061\u006C\u0067":"ES256","kid":"k"}`)
	valid("alg with escapes in its value", `{"alg":"\u0045S256","k\u0069d":"\u006b"}`)
	valid("blanks and line breaks", " {\r\n\t\"alg\" : \"ES256\" ,\n \"kid\" : \"k\" } \n")
	valid("a parameter that nobody knows", `{"alg":"ES256","kid":"k","x":{"alg":"none"}}`, "Ignored")
	valid("ALG beside alg", `{"alg":"ES256","ALG":"none","kid":"k"}`, "Ignored")
	valid("typ, cty and zip", `{"alg":"ES256","kid":"k","typ":"at+jwt","cty":"JWT","zip":"DEF"}`, "Ignored")
	g.invalid(token.Algorithm, "Alg for alg", signHeader(key, `{"Alg":"ES256","kid":"k"}`), "Header")
	g.invalid(token.Algorithm, "ALG for alg", signHeader(key, `{"ALG":"ES256","kid":"k"}`), "Header")
	g.invalid(token.Algorithm, "a blank after alg", signHeader(key, `{"alg ":"ES256","kid":"k"}`), "Header")
	g.invalid(token.Algorithm, "a zero-width space in alg", signHeader(key, `{"al\u200bg":"ES256","kid":"k"}`), "Header")
	bad("NUL in a name", `{"alg":"ES256","alg\u0000":"none","kid":"k"}`, jwtAccepts)
	bad("__proto__", `{"alg":"ES256","__proto__":{"alg":"none"},"kid":"k"}`, jwtAccepts)
	bad("half of a surrogate pair", `{"alg":"ES256","x":"\ud800","kid":"k"}`, jwtAccepts)
	bad("no UTF-8", "{\"alg\":\"ES256\",\"x\":\"\xff\",\"kid\":\"k\"}", jwtAccepts)
	bad("UTF-8 that is too long", "{\"alg\":\"ES256\",\"x\":\"\xc0\x80\",\"kid\":\"k\"}", jwtAccepts)
	bad("a duplicate that nobody knows", `{"alg":"ES256","x":1,"x":2,"kid":"k"}`, jwtAccepts)
	bad("a BOM", "\ufeff"+jwsHeader("ES256"))
	bad("UTF-16", strings.Join(strings.Split(jwsHeader("ES256"), ""), "\x00"))
	bad("two objects", jwsHeader("ES256")+jwsHeader("ES256"))
	bad("a byte after the object", jwsHeader("ES256")+"\x00")
	bad("a comment", `{"alg":"ES256",/* "alg":"none", */"kid":"k"}`)
	bad("a comma too many", `{"alg":"ES256","kid":"k",}`)
	bad("single quotes", `{'alg':'ES256','kid':'k'}`)
	bad("a list", `[`+jwsHeader("ES256")+`]`)
	bad("a string", `"ES256"`)
	bad("null", `null`)
	bad("no object", `alg`)
	bad("the object not ended", `{"alg":"ES256","kid":"k"`)
	g.invalid(token.Algorithm, "an empty object", signHeader(key, `{}`), "Header")
	inner := signHeader(key, jwsHeader("ES256"))
	g.invalid(token.MalformedToken, "a token in a token", signES256(key, signingInput(`{"alg":"ES256","kid":"k","cty":"JWT"}`, inner)), "Serialization")
}

func kidVectors(g *jwsGroup, key *ecdsa.PrivateKey) {
	with := func(kid string) string { return signHeader(key, `{"alg":"ES256","kid":`+kid+`}`) }
	g.valid("the kid of the key", with(`"k"`))
	g.valid("no kid: there is one key", signHeader(key, `{"alg":"ES256"}`), "Edge")
	g.valid("an empty kid, as none", with(`""`), "Edge")
	for _, kid := range []string{
		"\\u0000", "k\\u0000", "k\\u0000x", "k ", "K", "\\u212a", "k\\u200b", "../../../../dev/null", "x' UNION SELECT 'k", "k|id", "https://evil.example.com/k",
	} {
		g.invalid(token.UnknownKey, "kid: "+kid, with(`"`+kid+`"`), "Header", jwtAccepts)
	}
	g.invalid(token.UnknownKey, "a kid of 4096 bytes", with(`"`+strings.Repeat("k", 4096)+`"`), "Header", jwtAccepts)
	g.invalid(token.MalformedToken, "a NUL that is not escaped", with("\"k\x00\""), "Header")
	for _, kid := range []string{`null`, `0`, `["k"]`, `{"k":"k"}`, `true`} {
		g.invalid(token.MalformedToken, "kid is "+kid, with(kid), "Header", jwtAccepts)
	}
	g.invalid(token.MalformedToken, "two kids", signHeader(key, `{"alg":"ES256","kid":"x","kid":"k"}`), "Header", jwtAccepts)
}

func extensionVectors(g *jwsGroup, key *ecdsa.PrivateKey) {
	bad := func(comment, jws string, flags ...string) {
		g.invalid(token.MalformedToken, comment, jws, append(flags, "Extension")...)
	}
	with := func(more string) string { return signHeader(key, `{"alg":"ES256","kid":"k",`+more+`}`) }
	for _, crit := range []string{`["exp"]`, `["alg"]`, `["b64"]`, `["x"]`, `[]`, `[""]`, `null`, `"x"`, `{}`, `["x","x"]`} {
		bad("crit is "+crit, with(`"crit":`+crit), jwtAccepts)
	}
	bad("crit names a parameter that is there", with(`"x":1,"crit":["x"]`), jwtAccepts)
	bad("b64 true with crit", with(`"b64":true,"crit":["b64"]`), jwtAccepts)
	bad("b64 false with crit, the payload encoded", with(`"b64":false,"crit":["b64"]`), jwtAccepts)

	// RFC 7797 §3: the payload is signed, and may stand, as it is.
	header := b64([]byte(`{"alg":"ES256","kid":"k","b64":false,"crit":["b64"]}`))
	plain := signES256(key, header+"."+jwsPayload)
	signature := plain[strings.LastIndex(plain, ".")+1:]
	bad("b64 false with crit, the payload not encoded", header+"."+strings.ReplaceAll(jwsPayload, ".", "")+"."+signature)
	bad("b64 false with crit, the payload detached", header+".."+signature)
	bad("b64 false with crit, signed as it is, sent encoded", header+"."+b64([]byte(jwsPayload))+"."+signature)
	good := signHeader(key, jwsHeader("ES256"))
	bad("the payload detached", good[:strings.Index(good, ".")]+".."+good[strings.LastIndex(good, ".")+1:])
	// Without crit it is a parameter that nobody has to know: RFC 7515 §4.
	g.valid("b64 false without crit, the payload encoded", with(`"b64":false`), "Ignored")
	header = b64([]byte(`{"alg":"ES256","kid":"k","b64":false}`))
	plain = signES256(key, header+"."+jwsPayload)
	g.forged("b64 false without crit, signed as it is, sent encoded", header+"."+b64([]byte(jwsPayload))+plain[strings.LastIndex(plain, "."):], "Extension")
	g.valid("Crit is not crit", with(`"Crit":["x"]`), "Ignored")
	g.valid("crit in the payload", signES256(key, signingInput(jwsHeader("ES256"), `{"crit":["x"],`+jwsPayload[1:])), "Ignored")
}

// embeddedVectors say in the header where the key is.
func embeddedVectors(g *jwsGroup, key, stranger *ecdsa.PrivateKey) {
	jwk := authztest.PublicJWK(stranger.Public())
	named := authztest.PublicJWK(stranger.Public())
	named["kid"] = "k"
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate := must(x509.CreateCertificate(rand.Reader, template, template, stranger.Public(), stranger))
	text := func(v any) string { return string(must(json.Marshal(v))) }
	for _, test := range []struct{ comment, member string }{
		{"jwk", `"jwk":` + text(jwk)},
		{"jwk of the same kid", `"jwk":` + text(named)},
		{"jku", `"jku":"https://evil.example.com/jwks.json"`},
		{"jku of a file", `"jku":"file:///dev/null"`},
		{"x5c", `"x5c":["` + base64.StdEncoding.EncodeToString(certificate) + `"]`},
		{"x5u", `"x5u":"https://evil.example.com/certificate.pem"`},
		{"x5t#S256", `"x5t#S256":"` + b64(digest(crypto.SHA256, string(certificate))) + `"`},
		{"jwk that is no object", `"jwk":"k"`},
		{"all of them", `"jwk":` + text(jwk) + `,"jku":"https://evil.example.com/","x5u":"https://evil.example.com/","x5c":[]`},
	} {
		header := `{"alg":"ES256","kid":"k",` + test.member + `}`
		g.forged(test.comment+" of a stranger, who signed", signHeader(stranger, header), "Forged")
		g.forged(test.comment+" of a stranger, who signed, without kid", signHeader(stranger, strings.Replace(header, `"kid":"k",`, "", 1)), "Forged")
		g.valid(test.comment+" of a stranger, signed by the key of the issuer", signHeader(key, header), "Ignored")
	}
}
