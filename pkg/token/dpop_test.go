package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// A holder has the key that a token is bound to.
type holder struct {
	method jwt.SigningMethod
	key    crypto.Signer
}

func newHolder(t testing.TB) holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return holder{jwt.SigningMethodES256, key}
}

// jkt is the thumbprint, RFC 7638, written here a second time on purpose.
func (h holder) jkt() string {
	jwk := authztest.PublicJWK(h.key.Public())
	text := ""
	switch jwk["kty"] {
	case "EC":
		text = fmt.Sprintf(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, jwk["crv"], jwk["x"], jwk["y"])
	case "OKP":
		text = fmt.Sprintf(`{"crv":"%s","kty":"OKP","x":"%s"}`, jwk["crv"], jwk["x"])
	case "RSA":
		text = fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, jwk["e"], jwk["n"])
	}
	return hashOf(text)
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// bound mints a token that is bound to the key.
func (h holder) bound(i *authztest.Issuer) string {
	return i.Mint(claims{"cnf": claims{"jkt": h.jkt()}})
}

// proof makes a proof for raw; change changes its header and claims.
func (h holder) proof(t testing.TB, raw string, change func(header, payload claims)) string {
	t.Helper()
	payload := jwt.MapClaims{"jti": rand.Text(), "htm": "POST", "htu": resource, "iat": start.Unix(), "ath": hashOf(raw)}
	made := jwt.NewWithClaims(h.method, payload)
	made.Header["typ"] = "dpop+jwt"
	made.Header["jwk"] = authztest.PublicJWK(h.key.Public())
	if change != nil {
		change(made.Header, payload)
	}
	signed, err := made.SignedString(h.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// dpop is the credential of a request with these proofs.
func dpop(raw string, proofs ...string) token.Credential {
	return token.Credential{Raw: raw, DPoP: true, Proofs: proofs, Method: "POST", URL: resource}
}

// refusal verifies c and returns the error, nil if it is accepted.
func (w *world) refusal(t testing.TB, c token.Credential) *token.Error {
	t.Helper()
	got, err := w.verifier.Verify(t.Context(), c, w.accept)
	var refused *token.Error
	if err != nil && (!errors.As(err, &refused) || got.Kind != token.Nobody) {
		t.Fatalf("Verify = %+v, %v, want an *Error and nobody", got, err)
	}
	return refused
}

func (w *world) wantRefused(t testing.TB, what string, c token.Credential, reason string) {
	t.Helper()
	if err := w.refusal(t, c); err == nil || err.Reason != reason || err.Fault != token.Invalid {
		t.Errorf("%s: Verify = %+v, want %s", what, err, reason)
	}
}

func TestProofIsAccepted(t *testing.T) {
	w := newWorld(t, nil)
	h := newHolder(t)
	raw := h.bound(w.corp)
	for range 3 { // the later ones are remembered tokens
		if err := w.refusal(t, dpop(raw, h.proof(t, raw, nil))); err != nil {
			t.Errorf("Verify = %v, want none", err)
		}
	}
	for name, change := range map[string]func(header, payload claims){
		"query and fragment":  func(_, p claims) { p["htu"] = resource + "?a=b#c" },
		"case and port":       func(_, p claims) { p["htu"] = "HTTPS://MCP.example.com:443/mcp" },
		"needless encoding":   func(_, p claims) { p["htu"] = "https://mcp.example.com/%6dc%70" },
		"five minutes ago":    func(_, p claims) { p["iat"] = start.Add(-5 * time.Minute).Unix() },
		"in five minutes":     func(_, p claims) { p["iat"] = start.Add(5 * time.Minute).Unix() },
		"iat with a fraction": func(_, p claims) { p["iat"] = float64(start.Unix()) + 0.5 },
		"other claims":        func(_, p claims) { p["exp"], p["aud"] = 1, claims{} },
		"kid beside the jwk":  func(h, _ claims) { h["kid"] = "mine" },
	} {
		if err := w.refusal(t, dpop(raw, h.proof(t, raw, change))); err != nil {
			t.Errorf("%s: Verify = %v, want none", name, err)
		}
	}
}

func TestProofKeys(t *testing.T) {
	w := newWorld(t, nil)
	small, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	for _, h := range []holder{
		{jwt.SigningMethodRS256, small}, {jwt.SigningMethodPS384, small}, {jwt.SigningMethodEdDSA, ed}, {jwt.SigningMethodES512, p521},
	} {
		raw := h.bound(w.corp)
		if err := w.refusal(t, dpop(raw, h.proof(t, raw, nil))); err != nil {
			t.Errorf("%s: Verify = %v, want none", h.method.Alg(), err)
		}
		w.wantRefused(t, "another algorithm", dpop(raw, h.proof(t, raw, func(header, _ claims) { header["alg"] = "ES384" })), token.InvalidDPoPProof)
	}
	if token.ProofAlgorithms()[0] != "ES256" {
		t.Errorf("ProofAlgorithms() = %q, want what is usual first", token.ProofAlgorithms())
	}
}

// Each rule of RFC 9449 §4.3, in its order.
func TestProofIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	h, other := newHolder(t), newHolder(t)
	raw := h.bound(w.corp)
	private := authztest.PublicJWK(h.key.Public())
	private["d"] = base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	offCurve := authztest.PublicJWK(h.key.Public())
	offCurve["y"] = offCurve["x"]
	padded := authztest.PublicJWK(h.key.Public())
	padded["x"] = fmt.Sprint(padded["x"], "=")
	for _, test := range []struct {
		name   string
		change func(header, payload claims)
	}{
		{"no jti", func(_, p claims) { delete(p, "jti") }},
		{"empty jti", func(_, p claims) { p["jti"] = "" }},
		{"jti is a number", func(_, p claims) { p["jti"] = 1 }},
		{"long jti", func(_, p claims) { p["jti"] = strings.Repeat("j", 257) }},
		{"no htm", func(_, p claims) { delete(p, "htm") }},
		{"no htu", func(_, p claims) { delete(p, "htu") }},
		{"no iat", func(_, p claims) { delete(p, "iat") }},
		{"no ath", func(_, p claims) { delete(p, "ath") }},
		{"typ JWT", func(h, _ claims) { h["typ"] = "JWT" }},
		{"typ absent", func(h, _ claims) { delete(h, "typ") }},
		{"alg none", func(h, _ claims) { h["alg"] = "none" }},
		{"alg HS256", func(h, _ claims) { h["alg"] = "HS256" }},
		{"alg of another curve", func(h, _ claims) { h["alg"] = "ES384" }},
		{"alg absent", func(h, _ claims) { delete(h, "alg") }},
		{"crit", func(h, _ claims) { h["crit"] = []string{"exp"} }},
		{"no jwk", func(h, _ claims) { delete(h, "jwk") }},
		{"jwk is text", func(h, _ claims) { h["jwk"] = "k" }},
		{"private jwk", func(h, _ claims) { h["jwk"] = private }},
		{"symmetric jwk", func(h, _ claims) { h["jwk"] = claims{"kty": "oct", "k": "AAAA"} }},
		{"jwk off its curve", func(h, _ claims) { h["jwk"] = offCurve }},
		{"jwk spelt otherwise", func(h, _ claims) { h["jwk"] = padded }},
		{"RSA of 1024 bits", func(h, _ claims) {
			h["jwk"] = claims{"kty": "RSA", "e": "AQAB", "n": strings.Repeat("_", 171)}
		}},
		{"RSA with exponent 1", func(h, _ claims) { h["jwk"] = claims{"kty": "RSA", "e": "AQ", "n": strings.Repeat("_", 342) + "A"} }},
		{"other method", func(_, p claims) { p["htm"] = "GET" }},
		{"method in small letters", func(_, p claims) { p["htm"] = "post" }},
		{"other path", func(_, p claims) { p["htu"] = resource + "2" }},
		{"other spelling", func(_, p claims) { p["htu"] = resource + "/" }},
		{"path in capitals", func(_, p claims) { p["htu"] = "https://mcp.example.com/MCP" }},
		{"other host", func(_, p claims) { p["htu"] = "https://evil.example.com/mcp" }},
		{"other port", func(_, p claims) { p["htu"] = "https://mcp.example.com:8443/mcp" }},
		{"other scheme", func(_, p claims) { p["htu"] = "http://mcp.example.com/mcp" }},
		{"user in htu", func(_, p claims) { p["htu"] = "https://a@mcp.example.com/mcp" }},
		{"relative htu", func(_, p claims) { p["htu"] = "/mcp" }},
		{"too old", func(_, p claims) { p["iat"] = start.Add(-301 * time.Second).Unix() }},
		{"too new", func(_, p claims) { p["iat"] = start.Add(301 * time.Second).Unix() }},
		{"iat is text", func(_, p claims) { p["iat"] = "now" }},
		{"ath of another token", func(_, p claims) { p["ath"] = hashOf(raw + "x") }},
		{"huge", func(_, p claims) { p["pad"] = strings.Repeat("a", 8<<10) }},
		{"jwk of another", func(h, _ claims) { h["jwk"] = authztest.PublicJWK(other.key.Public()) }},
	} {
		w.wantRefused(t, test.name, dpop(raw, h.proof(t, raw, test.change)), token.InvalidDPoPProof)
	}
	good := h.proof(t, raw, nil)
	for name, proofs := range map[string][]string{
		"none": nil, "two": {good, h.proof(t, raw, nil)}, "empty": {""}, "joined": {good + "," + good}, "no JWT": {"x"},
		"huge": {strings.Repeat("a", 8<<10+1)}, "signature of another": {good[:strings.LastIndexByte(good, '.')] + ".AAAA"},
		"of another key": {other.proof(t, raw, nil)}, "unsigned": {good[:strings.LastIndexByte(good, '.')+1]},
		"duplicate members": {"eyJ0eXAiOiJkcG9wK2p3dCIsInR5cCI6ImRwb3Arand0In0.e30.AAAA"},
	} {
		w.wantRefused(t, name, dpop(raw, proofs...), token.InvalidDPoPProof)
	}
	if err := w.refusal(t, dpop(raw, good)); err != nil {
		t.Errorf("Verify of the proof that they were made from = %v, want none", err)
	}
}

func TestProofIsForOneRequest(t *testing.T) {
	w := newWorld(t, nil)
	h := newHolder(t)
	raw := h.bound(w.corp)
	proof := h.proof(t, raw, nil)
	get := dpop(raw, proof)
	get.Method = "GET"
	w.wantRefused(t, "another method", get, token.InvalidDPoPProof)
	elsewhere := dpop(raw, proof)
	elsewhere.URL = resource + "/"
	w.wantRefused(t, "another endpoint", elsewhere, token.InvalidDPoPProof)
	if err := w.refusal(t, dpop(raw, proof)); err != nil {
		t.Fatalf("Verify = %v, want none: what is refused is not remembered", err)
	}
	w.wantRefused(t, "again", dpop(raw, proof), token.InvalidDPoPProof)
	// The same jti of another key is another proof.
	other := newHolder(t)
	same := func(_, p claims) { p["jti"] = "the same" }
	for _, who := range []holder{h, other} {
		own := who.bound(w.corp)
		if err := w.refusal(t, dpop(own, who.proof(t, own, same))); err != nil {
			t.Errorf("Verify = %v, want none", err)
		}
	}
}

func TestBoundToken(t *testing.T) {
	w := newWorld(t, nil)
	h := newHolder(t)
	raw := h.bound(w.corp)
	bearer := dpop(raw, h.proof(t, raw, nil))
	bearer.DPoP = false
	w.wantRefused(t, "a bound token as Bearer, with a proof", bearer, token.BoundToken)
	plain := w.corp.Mint(nil)
	w.wantRefused(t, "a token that is not bound, as DPoP", dpop(plain, h.proof(t, plain, nil)), token.BoundToken)
	w.wantRefused(t, "an API key as DPoP", dpop(token.NewAPIKey()), token.WrongScheme)
	for name, cnf := range map[string]any{
		"jwk": claims{"jwk": claims{}}, "kid": claims{"kid": "k"}, "more than is understood": claims{"jkt": h.jkt(), "kid": "k"},
	} {
		unknown := w.corp.Mint(claims{"cnf": cnf})
		w.wantRefused(t, name, dpop(unknown, h.proof(t, unknown, nil)), token.BoundToken)
	}
	typed := w.corp.Mint(claims{"cnf": claims{"jkt": 1}})
	w.wantRefused(t, "jkt is a number", dpop(typed, h.proof(t, typed, nil)), token.MalformedToken)

	// The failures of the token come before those of its proof.
	expired := w.corp.Mint(maps.Collect(maps.All(claims{"cnf": claims{"jkt": h.jkt()}, "exp": start.Add(-time.Hour).Unix()})))
	w.wantRefused(t, "expired, with a bad proof", dpop(expired, "x"), token.Expired)
	asked := w.asked.Load()
	w.wantRefused(t, "without a proof", dpop(h.bound(w.corp)), token.InvalidDPoPProof)
	if w.asked.Load() != asked {
		t.Error("a token without a proof asked for a key, want none")
	}

	w.accept.RequireDPoP = true
	w.wantRefused(t, "not bound, where it has to be", token.Credential{Raw: plain}, token.BoundToken)
	if err := w.refusal(t, dpop(raw, h.proof(t, raw, nil))); err != nil {
		t.Errorf("Verify where it has to be bound = %v, want none", err)
	}
}

func TestNonce(t *testing.T) {
	at := start
	corp := newIssuer(t, "ES256")
	proofs := token.NewProofs()
	config := token.Config{Now: func() time.Time { return at }, Proofs: proofs, Issuers: []token.Issuer{{
		Name: "corp", Issuer: corp.URL(), Keys: fixedKeys{key: corp.PublicKey("")},
	}}}
	v, err := token.New(config)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{verifier: v, corp: corp, accept: token.Accept{Issuers: []string{"corp"}, Audiences: []string{resource}, DPoPNonce: true}}
	h := newHolder(t)
	raw := corp.Mint(claims{"cnf": claims{"jkt": h.jkt()}, "exp": start.Add(time.Hour).Unix()})
	with := func(nonce string) token.Credential {
		return dpop(raw, h.proof(t, raw, func(_, p claims) { p["nonce"], p["iat"] = nonce, at.Unix() }))
	}
	refused := w.refusal(t, with(""))
	if refused == nil || refused.Reason != token.UseDPoPNonce || refused.Nonce == "" {
		t.Fatalf("Verify without a nonce = %+v, want %s with one", refused, token.UseDPoPNonce)
	}
	nonce := refused.Nonce
	w.wantRefused(t, "a nonce of nobody", with(nonce+"x"), token.UseDPoPNonce)
	w.wantRefused(t, "a bad proof", dpop(raw, h.proof(t, raw, func(_, p claims) { p["htm"] = "GET" })), token.InvalidDPoPProof)
	for _, after := range []time.Duration{0, 5 * time.Minute} {
		at = start.Add(after)
		if err := w.refusal(t, with(nonce)); err != nil {
			t.Errorf("Verify after %v = %v, want none", after, err)
		}
	}
	at = start.Add(10 * time.Minute)
	w.wantRefused(t, "an old nonce", with(nonce), token.UseDPoPNonce)

	// A new verifier goes on with the proofs and nonces of the old one.
	used := with(w.refusal(t, with("")).Nonce)
	if err := w.refusal(t, used); err != nil {
		t.Fatalf("Verify = %v, want none", err)
	}
	if w.verifier, err = token.New(config); err != nil {
		t.Fatal(err)
	}
	w.wantRefused(t, "again, after a reload", used, token.InvalidDPoPProof)
}
