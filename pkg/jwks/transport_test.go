package jwks_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/jwks"
)

// newTLS serves the documents of an issuer over TLS, and returns where, and the
// certificate.
func newTLS(t *testing.T, issuer *authztest.Issuer) (keys string, certificate []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(issuer)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	path := strings.TrimPrefix(issuer.JWKSURI(), issuer.URL())
	return server.URL + path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// An issuer is believed if its own authority vouches for it; that one counts
// for no other issuer, and the system's do not count for this one.
func TestCA(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	uri, ca := newTLS(t, issuer)
	other := newForeignCA(t)
	bundle := bytes.Join([][]byte{[]byte("# authorities\n"), other, []byte("\n# ours\n"), ca}, nil)
	for name, test := range map[string]struct {
		ca   []byte
		want string
	}{
		"own": {ca, ""}, "bundle": {bundle, ""},
		"system": {nil, jwks.IssuerUnavailable}, "foreign": {other, jwks.IssuerUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			source := newSource(t, jwks.Config{Issuer: issuer.URL(), JWKSURI: uri, CA: test.ca})
			if _, err := source.Key(t.Context(), issuer.KeyID(""), "ES256"); reason(err) != test.want {
				t.Errorf("Key = %v, want %q", err, test.want)
			}
		})
	}
	if c := http.DefaultTransport.(*http.Transport).TLSClientConfig; c != nil && c.RootCAs != nil {
		t.Error("http.DefaultTransport has changed")
	}
}

func TestCARefused(t *testing.T) {
	good := newForeignCA(t)
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	tests := map[string]struct {
		c    jwks.Config
		want string
	}{
		"no PEM":              {jwks.Config{CA: []byte("x")}, "no certificate in PEM form"},
		"another type":        {jwks.Config{CA: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY"})}, "no certificate in PEM form"},
		"broken":              {jwks.Config{CA: append(good, broken...)}, "certificate 2: "},
		"transport unbounded": {jwks.Config{CA: good, Transport: &recorder{}}, "transport"},
		"stale":               {jwks.Config{MaxStale: -1}, "negative"},
	}
	for name, test := range tests {
		test.c.Issuer = "https://login.example.com/"
		if _, err := jwks.New(test.c); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: New = %v, want an error with %q", name, err, test.want)
		}
	}
}

// Plain http goes to other hosts only where it was asked for, also where a
// document leads.
func TestInsecureHTTP(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	issuer.Break(authztest.InsecureKeys)
	for _, insecure := range []bool{false, true} {
		requests := &recorder{}
		source := newSource(t, jwks.Config{Issuer: issuer.URL(), Transport: offline{requests}, InsecureHTTP: insecure})
		if _, err := source.Key(t.Context(), issuer.KeyID(""), "ES256"); reason(err) != jwks.IssuerUnavailable {
			t.Errorf("Key = %v, want %s", err, jwks.IssuerUnavailable)
		}
		if got := strings.Contains(strings.Join(requests.urls, " "), "http://keys.example.com/keys"); got != insecure {
			t.Errorf("InsecureHTTP %t: requests %v", insecure, requests.urls)
		}
	}
	for _, c := range []jwks.Config{
		{Issuer: "http://login.example.com/"}, {Issuer: "i", JWKSURI: "http://login.example.com/keys"},
	} {
		c.InsecureHTTP = true
		if _, err := jwks.New(c); err != nil {
			t.Errorf("New(%+v) = %v", c, err)
		}
	}
	if _, err := jwks.New(jwks.Config{Issuer: "ftp://login.example.com/", InsecureHTTP: true}); err == nil {
		t.Error("New took ftp")
	}
}

// offline lets no request leave this machine.
type offline struct{ *recorder }

func (o offline) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == "127.0.0.1" {
		return o.recorder.RoundTrip(r)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.urls = append(o.urls, r.URL.String())
	return nil, errors.New("offline")
}

// newForeignCA makes an authority that has vouched for nobody.
func newForeignCA(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
