package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

const tlsPath = "static_resources/listeners/0/filter_chains/0/transport_socket"

// An authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{key: newKey(t), certificate: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

// issue makes a certificate for 127.0.0.1, with a SPIFFE ID or a DNS name unless
// it is "".
func (a authority) issue(t *testing.T, id string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "leaf"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if id != "" && !strings.Contains(id, "://") {
		template.DNSNames = []string{id}
	} else if id != "" {
		uri, err := url.Parse(id)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{uri}
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// listener is Envoy's transport socket: TLS with certificates of a for those
// clients that have one.
func (a authority) listener(t *testing.T) map[string]any {
	t.Helper()
	own := a.issue(t, "")
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) map[string]any {
		return map[string]any{"inline_string": string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))}
	}
	return map[string]any{
		"name": "envoy.transport_sockets.tls",
		"typed_config": map[string]any{
			"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
			"common_tls_context": map[string]any{
				"tls_certificates":   []any{map[string]any{"certificate_chain": text("CERTIFICATE", own.Certificate[0]), "private_key": text("PRIVATE KEY", key)}},
				"validation_context": map[string]any{"trusted_ca": map[string]any{"inline_string": a.pem}},
			},
		},
	}
}

// anyPolicy lets whoever is somebody query.
const anyPolicy = `permit (principal, action == MCP::Action::"tools/call", resource == MCP::Tool::"demo/query");`

// A caller sends calls over TLS, perhaps with a certificate.
type caller struct {
	client *http.Client
	url    string
}

func (a authority) caller(t *testing.T, e *stack.Envoy, certificates ...tls.Certificate) caller {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.pem))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates}}
	t.Cleanup(transport.CloseIdleConnections)
	return caller{&http.Client{Transport: transport}, "https://" + e.Addr() + "/mcp"}
}

// want sends a call with these headers and expects "200 permitted" or the like.
// It returns the challenge and the nonce.
func (c caller) want(t *testing.T, what string, header map[string]string, want string) (challenge, nonce string) {
	t.Helper()
	r, err := http.NewRequestWithContext(soon(t), http.MethodPost, c.url, strings.NewReader(queryCall))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := c.client.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Error struct{ Data struct{ Reason string } }
	}
	_ = json.Unmarshal(body, &answer) // what is allowed is answered in any form
	got := strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", answer.Error.Data.Reason))
	if got != want {
		t.Errorf("%s: %s %s, want %s", what, got, body, want)
	}
	return resp.Header.Get("WWW-Authenticate"), resp.Header.Get("DPoP-Nonce")
}

// principals are those that the server behind Envoy was told.
func principals(u *stack.Recorder) (all []string) {
	for _, r := range u.Requests() {
		all = append(all, r.Header.Get("x-cedargate-principal"))
	}
	return all
}

// vault is the world of these tests behind TLS; more changes Envoy.
func vault(t *testing.T, a authority, cedargate []byte, more map[string]any) (*stack.Envoy, *stack.Recorder) {
	t.Helper()
	g := newCedargate(t, stack.CedargateConfig{Config: cedargate, Files: policies(anyPolicy)})
	u := newRecorder(t)
	set := map[string]any{tlsPath: a.listener(t), stack.ExtAuthzPath + "/include_peer_certificate": true}
	for path, value := range more {
		set[path] = value
	}
	return newEnvoy(t, stack.EnvoyConfig{Authz: g.Addr(), Upstream: u.Addr(), Set: set}), u
}

// edited is the configuration of a vault, in which lines are added to demo.
func edited(issuer *authztest.Issuer, demo string) []byte {
	text := strings.Replace(string(config(issuer, `
workloads:
  - { name: batch, trust_domain: example.org }
  - { name: jobs, dns_domain: jobs.example.org }
  - { name: mesh, trust_domain: mesh.example.org, from: xfcc }
`)), "    tools:\n", demo+"    tools:\n", 1)
	return []byte(text)
}

// The certificate of Envoy's peer is an identity where the server lists it, and
// what tokens are bound to; without TLS of the peer nothing makes up for it.
func TestCertificateOfThePeer(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	a := newAuthority(t)
	e, u := vault(t, a, edited(issuer, "    workloads: [batch, jobs]\n"), nil)
	const id = "spiffe://example.org/ns/batch/sa/nightly"
	certificate := a.issue(t, id)
	nightly, nobody := a.caller(t, e, certificate), a.caller(t, e)
	other := a.caller(t, e, a.issue(t, "spiffe://elsewhere.org/ns/batch/sa/nightly"))
	nightly.want(t, "a workload", nil, "200")
	other.want(t, "a workload of nobody", nil, "401 no_credential")
	a.caller(t, e, a.issue(t, "nightly.jobs.example.org")).want(t, "a workload with a DNS name", nil, "200")
	a.caller(t, e, a.issue(t, "jobs.example.org.evil.example")).want(t, "a DNS name elsewhere", nil, "401 no_credential")
	a.caller(t, e, a.issue(t, "")).want(t, "a certificate with a subject alone", nil, "401 no_credential")
	nobody.want(t, "no certificate", nil, "401 no_credential")
	forged := map[string]string{"x-forwarded-client-cert": "URI=" + id}
	nobody.want(t, "a header of the client's own", forged, "401 no_credential")

	sum := sha256.Sum256(certificate.Certificate[0])
	thumbprint := base64.RawURLEncoding.EncodeToString(sum[:])
	bound := map[string]string{"authorization": "Bearer " + issuer.Mint(map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint}})}
	nightly.want(t, "a token that is bound to the certificate", bound, "200")
	other.want(t, "with another certificate", bound, "401 bound_token")
	nobody.want(t, "without a certificate", bound, "401 bound_token")
	nightly.want(t, "a bad token beside the certificate", map[string]string{"authorization": "Bearer x"}, "401 malformed_token")
	if got := fmt.Sprint(principals(u)); got != "[Agent/batch/ns/batch/sa/nightly Agent/jobs/nightly.jobs.example.org User/corp/alice]" {
		t.Errorf("principals are %s, want the workload and alice", got)
	}
}

// The header is believed where Envoy writes it.
func TestForwardedCertificate(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	a := newAuthority(t)
	e, u := vault(t, a, edited(issuer, "    workloads: [mesh]\n"), map[string]any{
		stack.ManagerPath + "/forward_client_cert_details":     "SANITIZE_SET",
		stack.ManagerPath + "/set_current_client_cert_details": map[string]any{"uri": true, "subject": true},
	})
	const id = "spiffe://mesh.example.org/ns/web"
	forged := map[string]string{"x-forwarded-client-cert": "URI=" + id}
	a.caller(t, e, a.issue(t, id)).want(t, "a workload", nil, "200")
	a.caller(t, e, a.issue(t, "spiffe://other.org/a")).want(t, "another, with a header of its own", forged, "401 no_credential")
	a.caller(t, e).want(t, "nobody, with a header of its own", forged, "401 no_credential")
	if got := fmt.Sprint(principals(u)); got != "[Agent/mesh/ns/web]" {
		t.Errorf("principals are %s, want the workload", got)
	}
}

// A holder has a key and makes DPoP proofs with it.
type holder struct{ key *ecdsa.PrivateKey }

func (h holder) proof(t *testing.T, to, token, nonce string) string {
	t.Helper()
	payload := jwt.MapClaims{"jti": rand.Text(), "htm": "POST", "htu": to, "iat": time.Now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		payload["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if nonce != "" {
		payload["nonce"] = nonce
	}
	made := jwt.NewWithClaims(jwt.SigningMethodES256, payload)
	made.Header["typ"], made.Header["jwk"] = "dpop+jwt", authztest.PublicJWK(h.key.Public())
	signed, err := made.SignedString(h.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// token gets one from oidc-provider that is bound to the key.
func (h holder) token(t *testing.T, p *stack.OIDCProvider) string {
	t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"svc"}, "client_secret": {"svc-secret"}, "scope": {"mcp:read"}, "resource": {demoResource},
	}
	r, err := http.NewRequestWithContext(soon(t), http.MethodPost, p.URL()+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("DPoP", h.proof(t, p.URL()+"/token", "", ""))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Error string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Type != "DPoP" {
		t.Fatalf("POST /token = %d %+v, %v, want a token of type DPoP", resp.StatusCode, answer, err)
	}
	return answer.Token
}

// Tokens that a real OAuth server bound to the client's key, at a server that
// wants a nonce: the proof is for the URL that clients know, which is not the
// one that Envoy listens at.
func TestDPoP(t *testing.T) {
	t.Parallel()
	p := newOIDCProvider(t, stack.OIDCProviderConfig{})
	issuer := newIssuer(t, authztest.IssuerConfig{})
	text := strings.ReplaceAll(string(edited(issuer, "    dpop: require\n    dpop_nonce: true\n    workloads: [batch]\n")), issuer.URL(), p.URL())
	a := newAuthority(t)
	e, u := vault(t, a, []byte(text), nil)
	client, h := a.caller(t, e), holder{newKey(t)}
	raw := h.token(t, p)
	send := func(what, scheme, nonce, want string) (challenge, given string) {
		return client.want(t, what, map[string]string{"authorization": scheme + " " + raw, "dpop": h.proof(t, demoResource, raw, nonce)}, want)
	}
	send("as Bearer", "Bearer", "", "401 bound_token")
	challenge, nonce := send("without a nonce", "DPoP", "", "401 use_dpop_nonce")
	if !strings.HasPrefix(challenge, "Bearer ") || !strings.Contains(challenge, `, DPoP error="use_dpop_nonce", `) || nonce == "" {
		t.Errorf("the challenge is %q with nonce %q, want Bearer, then DPoP", challenge, nonce)
	}
	send("with the nonce", "DPoP", nonce, "200")

	proof := h.proof(t, demoResource, raw, nonce)
	once := map[string]string{"authorization": "DPoP " + raw, "dpop": proof}
	client.want(t, "a proof", once, "200")
	client.want(t, "the same again", once, "401 invalid_dpop_proof")
	stolen := holder{newKey(t)}
	client.want(t, "a stolen token", map[string]string{"authorization": "DPoP " + raw, "dpop": stolen.proof(t, demoResource, raw, nonce)}, "401 invalid_dpop_proof")
	client.want(t, "a proof for where Envoy listens", map[string]string{"authorization": "DPoP " + raw, "dpop": h.proof(t, client.url, raw, nonce)}, "401 invalid_dpop_proof")
	client.want(t, "no proof", map[string]string{"authorization": "DPoP " + raw}, "401 invalid_dpop_proof")
	if got := fmt.Sprint(principals(u)); got != "[Agent/corp/svc Agent/corp/svc]" {
		t.Errorf("principals are %s, want svc twice", got)
	}
}
