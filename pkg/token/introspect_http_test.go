package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// A client with a key proves who it is with an assertion for this issuer.
func TestPrivateKeyJWT(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ed)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]struct {
		block  pem.Block
		public crypto.PublicKey
	}{
		"RS256": {pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}, rsaKey.Public()},
		"ES256": {pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}, p256.Public()},
		"EdDSA": {pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}, ed.Public()},
	}
	for alg, file := range files {
		key, err := token.ParseClientKey(pem.EncodeToMemory(&file.block))
		if err != nil {
			t.Fatalf("ParseClientKey(%s) = %v", alg, err)
		}
		var got *http.Request
		w, _ := opaqueWorld(t, func(corp *token.Issuer) {
			corp.Introspection.Secret, corp.Introspection.Key = "", key
			corp.Introspection.Transport = transport(func(r *http.Request) (*http.Response, error) {
				got = r
				return nil, errors.Join(errors.New("enough is known"), r.ParseForm())
			})
		})
		w.accept.Issuers = []string{"corp"}
		w.refusedAs(t, "opaque", token.IssuerUnavailable, token.Ours)
		form := got.PostForm
		if got.Header.Get("Authorization") != "" || form.Get("token") != "opaque" || form.Get("client_id") != authztest.IntrospectionClient ||
			form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			t.Errorf("%s: asked with %v, %v", alg, got.Header, form)
		}
		assertion, err := jwt.Parse(form.Get("client_assertion"), func(*jwt.Token) (any, error) { return file.public, nil },
			jwt.WithValidMethods([]string{alg}), jwt.WithAudience(w.corp.URL()), jwt.WithIssuer("gate"), jwt.WithSubject("gate"),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(now))
		if err != nil {
			t.Errorf("%s: assertion: %v", alg, err)
			continue
		}
		if id := assertion.Claims.(jwt.MapClaims)["jti"]; id == "" || id == nil {
			t.Errorf("%s: assertion without jti", alg)
		}
	}
}

func TestParseClientKeyRefuses(t *testing.T) {
	small, err := x509.MarshalPKCS8PrivateKey(must(rsa.GenerateKey(rand.Reader, 1024)))
	if err != nil {
		t.Fatal(err)
	}
	p224, err := x509.MarshalECPrivateKey(must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)))
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{
		"nothing":          nil,
		"text":             []byte("secret"),
		"a certificate":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}),
		"an encrypted key": pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}),
		"a broken key":     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
		"a short RSA key":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: small}),
		"another curve":    pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: p224}),
	} {
		if key, err := token.ParseClientKey(file); err == nil {
			t.Errorf("ParseClientKey of %s = %T, want an error", name, key)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestNewRefusesIntrospection(t *testing.T) {
	good := token.Introspection{Endpoint: "https://login.example.com/introspect", ClientID: "gate", Secret: "s"}
	tests := map[string]func(*token.Introspection){
		"no endpoint":    func(i *token.Introspection) { i.Endpoint = "" },
		"plain http":     func(i *token.Introspection) { i.Endpoint = "http://login.example.com/introspect" },
		"no URL":         func(i *token.Introspection) { i.Endpoint = "https://%zz" },
		"a user":         func(i *token.Introspection) { i.Endpoint = "https://u:p@login.example.com/" },
		"no client":      func(i *token.Introspection) { i.ClientID = "" },
		"neither secret": func(i *token.Introspection) { i.Secret = "" },
		"both":           func(i *token.Introspection) { i.Key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) },
		"a key of no use": func(i *token.Introspection) {
			i.Secret, i.Key = "", must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
		},
		"a cache of two hours": func(i *token.Introspection) { i.Cache = 2 * time.Hour },
		"a cache below zero":   func(i *token.Introspection) { i.Cache = -1 },
		"no authorities":       func(i *token.Introspection) { i.CA = []byte("x") },
	}
	for name, change := range tests {
		i := good
		change(&i)
		issuer := token.Issuer{Name: "corp", Issuer: "https://login.example.com/", Keys: fixedKeys{}, Introspection: &i}
		if _, err := token.New(token.Config{Issuers: []token.Issuer{issuer}}); err == nil {
			t.Errorf("New with %s = nil, want an error", name)
		}
	}
}

// The authorities of the issuer are those of its endpoint, and no others.
func TestIntrospectionOverTLS(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, _ := opaqueWorld(t, nil)
		raw := w.corp.MintOpaque(nil)
		server := httptest.NewUnstartedServer(w.corp)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		issuer := w.issuer(t, "corp", w.corp)
		issuer.Introspection = asking(w.corp)
		issuer.Introspection.Endpoint = server.URL + "/introspect"
		if known {
			issuer.Introspection.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		}
		var err error
		if w.verifier, err = token.New(token.Config{Now: now, Issuers: []token.Issuer{issuer}}); err != nil {
			t.Fatal(err)
		}
		if known {
			w.accepted(t, raw)
		} else {
			w.refusedAs(t, raw, token.IssuerUnavailable, token.Ours)
		}
	}
}

// Whatever an issuer answers, only an answer that says in one way that the token
// is active, and for this server, makes a caller.
func FuzzIntrospectionAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"active":false}`, `{"active":true}`, `{"active":"true"}`, `{"active":true,"active":false}`, `[]`, ``, `{"active":true`,
		`{"active":true,"token_type":"Bearer","sub":"alice","aud":"` + resource + `"}`,
		`{"active":true,"token_type":"Bearer","sub":"alice","aud":["` + resource + `"],"exp":1e300,"act":{"sub":"x"},"cnf":{}}`,
		`{"active":true,"token_use":"access","sub":"alice","aud":"` + resource + `","scope":["a"],"jti":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		issuer := token.Issuer{Name: "corp", Issuer: "https://login.example.com/", Keys: fixedKeys{}, Introspection: &token.Introspection{
			Endpoint: "https://login.example.com/ask", ClientID: "gate", Secret: "s",
			Transport: transport(func(*http.Request) (*http.Response, error) {
				answer := httptest.NewRecorder()
				answer.Header().Set("Content-Type", "application/json")
				answer.Write(body)
				return answer.Result(), nil
			}),
		}}
		v, err := token.New(token.Config{Now: now, Issuers: []token.Issuer{issuer}})
		if err != nil {
			t.Fatal(err)
		}
		accept := token.Accept{Issuers: []string{"corp"}, Audiences: []string{resource}}
		who, err := v.Verify(t.Context(), token.Credential{Raw: "opaque"}, accept)
		if err != nil {
			return
		}
		var said struct {
			Active bool   `json:"active"`
			Sub    string `json:"sub"`
		}
		if err := json.Unmarshal(body, &said); err != nil || !said.Active || said.Sub == "" || who.Subject != said.Sub || who.Issuer != "corp" {
			t.Errorf("Verify when the issuer answers %q = %+v; it says %+v, %v", body, who, said, err)
		}
	})
}
