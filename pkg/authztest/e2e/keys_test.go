package e2e_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// wantReady expects a status and words of /readyz?verbose.
func wantReady(t *testing.T, g *stack.Cedargate, status int, words ...string) {
	t.Helper()
	got, body, err := g.Admin(soon(t), "/readyz?verbose")
	if got != status || err != nil {
		t.Errorf("/readyz = %d %q, %v, want %d", got, body, err, status)
	}
	for _, w := range words {
		if !strings.Contains(body, w) {
			t.Errorf("/readyz = %q, want %q in it", body, w)
		}
	}
}

func waitReady(t *testing.T, g *stack.Cedargate, status int) {
	t.Helper()
	eventually(t, fmt.Sprintf("/readyz answers %d", status), func() bool {
		got, _, err := g.Admin(soon(t), "/readyz")
		return err == nil && got == status
	})
}

// An issuer that is down at the start, later, and back again: its tokens are
// 503, then taken, taken by the last good keys, and taken by new ones.
func TestIssuerComesAndGoes(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	issuer.Break(authztest.Down)
	g := newCedargate(t, stack.CedargateConfig{Config: config(issuer, ""), Files: policies(attackPolicies), Unready: true})
	a := newAsker(t, g.Addr())
	a.want(t, issuer.Mint(nil), "503 issuer_unavailable")
	wantReady(t, g, 503, "not ready: no keys of issuers [corp]\n", "issuer corp: required, 0 keys, never fetched, last error: ", "status 503, want 200")

	issuer.Break(authztest.Healthy)
	waitReady(t, g, 200)
	a.want(t, issuer.Mint(nil), "200 permitted")
	wantReady(t, g, 200, "issuer corp: required, 1 keys, fetched ", "s ago\n")

	issuer.Break(authztest.Dropped)
	old := issuer.Mint(nil)
	issuer.Rotate()
	a.want(t, issuer.Mint(nil), "503 issuer_unavailable")
	a.want(t, old, "200 permitted")
	wantReady(t, g, 200, "issuer corp: required, 1 keys, fetched ", "s ago, last error: ")

	issuer.Break(authztest.Healthy)
	eventually(t, "the new key", func() bool {
		got, err := a.ask(soon(t), issuer.Mint(nil), "back", []byte(queryCall))
		return err == nil && got == "200 permitted"
	})
	a.want(t, old, "200 permitted")
}

// number is the value of a metric.
var number = regexp.MustCompile(`(?m) [0-9.e+-]+$`)

// The names and labels that operators build on are those of the file.
func TestMetrics(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	g := newCedargate(t, stack.CedargateConfig{Config: config(issuer, ""), Files: policies(attackPolicies)})
	a := newAsker(t, g.Addr())
	a.want(t, issuer.Mint(nil), "200 permitted")
	a.want(t, issuer.Mint(nil), "200 permitted")
	a.want(t, issuer.Mint(nil, authztest.Forged()), "401 bad_signature")
	status, body, err := g.Admin(soon(t), "/metrics")
	if status != 200 || err != nil {
		t.Fatalf("/metrics = %d, %v, want 200", status, err)
	}
	golden := filepath.Join("..", "..", "..", "testdata", "metrics.golden")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), number.ReplaceAllString(body, " N")); diff != "" {
		t.Errorf("/metrics differs from %s (-want +got):\n%s", golden, diff)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(body, -1) {
		if !bytes.Contains(page, []byte("| `"+name[1]+"` |")) {
			t.Errorf("docs/operations.md does not describe %s", name[1])
		}
	}
	for _, line := range []string{
		`cedargate_decisions_total{decision="allow",layer="authorization",reason="permitted"} 2`,
		`cedargate_decisions_total{decision="deny",layer="authentication",reason="bad_signature"} 1`,
		`cedargate_issuer_keys{issuer="corp"} 1`,
		`cedargate_issuer_fetches_total{issuer="corp",result="ok"} 1`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("/metrics has no line %s", line)
		}
	}
}

// newTLS serves the documents of an issuer over TLS, and returns where its keys
// are and the certificate.
func newTLS(t *testing.T, issuer *authztest.Issuer) (keys string, ca []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(issuer)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return server.URL + strings.TrimPrefix(issuer.JWKSURI(), issuer.URL()), ca
}

// An authority of one's own vouches for the issuer that names it. Its file can
// be replaced, and one that is broken changes nothing. An issuer that is not
// required keeps nobody from being ready.
func TestCAFile(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	keys, ca := newTLS(t, issuer)
	text := strings.Replace(string(config(issuer, "")), "issuers:", `issuers:
  - { name: away, issuer: "http://127.0.0.1:1", required: false }`, 1)
	text = strings.Replace(text, "{ name: corp,", fmt.Sprintf("{ name: corp, jwks_uri: %q, ca_file: ca.pem,", keys), 1)
	files := policies(attackPolicies)
	files["ca.pem"] = ca
	g := newCedargate(t, stack.CedargateConfig{Config: []byte(text), Files: files})
	a := newAsker(t, g.Addr())
	a.want(t, issuer.Mint(nil), "200 permitted")
	eventually(t, "what is known of away", func() bool {
		_, body, _ := g.Admin(soon(t), "/readyz?verbose")
		return strings.Contains(body, "issuer away: not required, 0 keys, never fetched, last error: ")
	})

	replace(t, g, "ca.pem", "no PEM")
	waitLog(t, g, "issuers[1].ca_file: CA: no certificate in PEM form")
	wantReady(t, g, 200, "REFUSED")
	a.want(t, issuer.Mint(nil), "200 permitted")

	foreign, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "config", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	replace(t, g, "ca.pem", string(foreign))
	waitReady(t, g, 503)
	wantReady(t, g, 503, "not ready: no keys of issuers [corp]\n")
	a.want(t, issuer.Mint(nil), "503 issuer_unavailable")

	replace(t, g, "ca.pem", string(foreign)+"\n"+string(ca))
	waitReady(t, g, 200)
	a.want(t, issuer.Mint(nil), "200 permitted")
}
