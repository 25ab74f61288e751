package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"

	"github.com/cedargate/cedargate/pkg/token"
)

// certificate makes one, as Envoy passes it, and its x5t#S256.
func certificate(t *testing.T) (encoded, thumbprint string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return url.PathEscape(string(text)), base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestTokenBoundToACertificate(t *testing.T) {
	w := newWorld(t, nil)
	mine, hash := certificate(t)
	other, _ := certificate(t)
	raw := w.corp.Mint(claims{"cnf": claims{"x5t#S256": hash}})
	with := func(encoded string) token.Credential {
		return token.Credential{Raw: raw, Peer: token.Peer{Certificate: encoded}}
	}
	for range 2 {
		if err := w.refusal(t, with(mine)); err != nil {
			t.Errorf("Verify with the certificate = %v, want none", err)
		}
		for name, encoded := range map[string]string{
			"none": "", "another": other, "no PEM": "abc", "two": mine + mine, "not encoded": "%zz", "a key": "-----BEGIN KEY-----%0AAAAA%0A-----END KEY-----%0A",
		} {
			w.wantRefused(t, name, with(encoded), token.BoundToken)
		}
	}
	asDPoP := with(mine)
	asDPoP.DPoP = true
	w.wantRefused(t, "with the scheme DPoP", asDPoP, token.BoundToken)
}

// Where a token names two bindings, both have to hold.
func TestTokenBoundTwice(t *testing.T) {
	w := newWorld(t, nil)
	h := newHolder(t)
	mine, hash := certificate(t)
	raw := w.corp.Mint(claims{"cnf": claims{"x5t#S256": hash, "jkt": h.jkt()}})
	both := dpop(raw, h.proof(t, raw, nil))
	w.wantRefused(t, "the proof alone", both, token.BoundToken)
	both.Peer.Certificate = mine
	if err := w.refusal(t, both); err != nil {
		t.Errorf("Verify with both = %v, want none", err)
	}
	w.wantRefused(t, "the certificate alone", token.Credential{Raw: raw, Peer: both.Peer}, token.BoundToken)
}

// What an issuer calls a DPoP token is none without a key, whatever else it is
// bound to: the certificate would stand for a proof.
func TestAnswerBoundToACertificateAlone(t *testing.T) {
	w, _ := opaqueWorld(t, nil)
	mine, hash := certificate(t)
	cnf := claims{"x5t#S256": hash}
	bearer := token.Credential{Raw: w.corp.MintOpaque(claims{"cnf": cnf}), Peer: token.Peer{Certificate: mine}}
	if err := w.refusal(t, bearer); err != nil {
		t.Errorf("Verify with the certificate = %v, want none", err)
	}
	bearer.Raw = w.corp.MintOpaque(claims{"cnf": cnf, "token_type": "DPoP"})
	w.wantRefused(t, "a DPoP token without a key, as Bearer", bearer, token.BoundToken)
}
