package authztest_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authztest"
)

var start = time.Unix(1_800_000_000, 0)

func now() time.Time { return start }

func newIssuer(t *testing.T, c authztest.IssuerConfig) *authztest.Issuer {
	t.Helper()
	c.Now = now
	issuer, err := authztest.NewIssuer(c)
	if err != nil {
		t.Fatalf("NewIssuer(%+v): %v", c, err)
	}
	t.Cleanup(func() { issuer.Close() })
	return issuer
}

// parse verifies raw with key as another library does.
func parse(raw string, key any) (*jwt.Token, error) {
	return jwt.NewParser(jwt.WithTimeFunc(now)).Parse(raw, func(*jwt.Token) (any, error) { return key, nil })
}

func TestMint(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{Audience: "https://mcp.example.com/x"})
	got, err := parse(issuer.Mint(nil), issuer.PublicKey(""))
	if err != nil {
		t.Fatalf("a token as it is minted by default: %v", err)
	}
	want := jwt.MapClaims{
		"iss": issuer.URL(), "aud": "https://mcp.example.com/x", "sub": "alice", "client_id": "cli",
		"iat": float64(start.Unix()), "exp": float64(start.Unix() + 300), "jti": "token-1",
	}
	if diff := cmp.Diff(want, got.Claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"alg": "ES256", "kid": "es256-1", "typ": "at+jwt"}, got.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}

	got, err = parse(issuer.Mint(map[string]any{"sub": "bob", "aud": authztest.Absent, "x": nil}, authztest.WithHeader("typ", "JWT")), issuer.PublicKey(""))
	if err != nil {
		t.Fatalf("a token with other claims: %v", err)
	}
	claims := got.Claims.(jwt.MapClaims)
	if _, there := claims["aud"]; there || claims["sub"] != "bob" || got.Header["typ"] != "JWT" {
		t.Errorf("claims %v, header %v, want bob without aud, typ JWT", claims, got.Header)
	}
	if x, there := claims["x"]; !there || x != nil {
		t.Errorf("claim x = %v, want null", x)
	}
}

func TestAlgorithms(t *testing.T) {
	algs := []string{"EdDSA", "ES256", "ES384", "ES512", "RS256", "PS512"}
	issuer := newIssuer(t, authztest.IssuerConfig{Algorithms: algs})
	for _, alg := range algs {
		got, err := parse(issuer.Mint(nil, authztest.WithAlgorithm(alg)), issuer.PublicKey(alg))
		if err != nil || got.Header["alg"] != alg || got.Header["kid"] != issuer.KeyID(alg) {
			t.Errorf("token with %s: header %v, %v", alg, got.Header, err)
		}
	}
	if got, err := parse(issuer.Mint(nil), issuer.PublicKey("")); err != nil || got.Header["alg"] != "EdDSA" {
		t.Errorf("token with the first algorithm: header %v, %v", got.Header, err)
	}
}

func TestBadTokens(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]authztest.MintOption{"forged": authztest.Forged(), "tampered": authztest.Tampered()} {
		got, err := parse(issuer.Mint(nil, option), issuer.PublicKey(""))
		if !errors.Is(err, jwt.ErrTokenSignatureInvalid) || got.Header["kid"] != issuer.KeyID("") {
			t.Errorf("%s: %v, want a bad signature under the right kid", name, err)
		}
	}
	if raw := issuer.Mint(nil, authztest.Unsigned()); !strings.HasSuffix(raw, ".") {
		t.Errorf("unsigned: %q has a signature", raw)
	} else if got, err := parse(raw, jwt.UnsafeAllowNoneSignatureType); err != nil || got.Header["alg"] != "none" {
		t.Errorf("unsigned: %v, %v", got.Header, err)
	}
	// The attack works against those who do not look at alg: else it tests nothing.
	der, err := x509.MarshalPKIXPublicKey(issuer.PublicKey(""))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parse(issuer.Mint(nil, authztest.Confused()), der); err != nil || got.Header["alg"] != "HS256" {
		t.Errorf("confused: %v, %v", got.Header, err)
	}
	signed := issuer.Mint(nil, authztest.SignedBy(other), authztest.WithHeader("alg", "EdDSA"), authztest.WithAlgorithm("Ed25519"), authztest.WithKeyID("x"))
	if got, err := parse(signed, other.Public()); err != nil || got.Header["kid"] != "x" {
		t.Errorf("signed by another key: %v, %v", got.Header, err)
	}
	if got, err := parse(issuer.Mint(nil, authztest.WithKeyID("")), issuer.PublicKey("")); err != nil || got.Header["kid"] != nil {
		t.Errorf("no kid: %v, %v", got.Header, err)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return response.StatusCode, string(body)
}

func kids(t *testing.T, issuer *authztest.Issuer) (kids []string) {
	t.Helper()
	_, body := get(t, issuer.JWKSURI())
	var set struct {
		Keys []struct{ Kid string }
	}
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		t.Fatalf("key set %q: %v", body, err)
	}
	for _, key := range set.Keys {
		kids = append(kids, key.Kid)
	}
	return kids
}

func TestRotateAndRetire(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{Algorithms: []string{"ES256", "EdDSA"}})
	steps := []struct {
		do   func()
		want []string
	}{
		{func() {}, []string{"es256-1", "eddsa-1"}},
		{issuer.Rotate, []string{"es256-2", "eddsa-2", "es256-1", "eddsa-1"}},
		{issuer.Retire, []string{"es256-2", "eddsa-2"}},
	}
	for i, step := range steps {
		step.do()
		if diff := cmp.Diff(step.want, kids(t, issuer)); diff != "" {
			t.Errorf("step %d: kids (-want +got):\n%s", i, diff)
		}
		if got := issuer.KeyID("ES256"); got != step.want[0] {
			t.Errorf("step %d: KeyID = %q, want %q", i, got, step.want[0])
		}
	}
	if got := issuer.Fetches(); got != (authztest.Fetches{Keys: 3}) {
		t.Errorf("Fetches() = %+v, want 3 of keys", got)
	}
	issuer.PublishKeySet([]byte(`{"keys":[{"kid":"raw"}]}`))
	if diff := cmp.Diff([]string{"raw"}, kids(t, issuer)); diff != "" {
		t.Errorf("kids of a published set (-want +got):\n%s", diff)
	}
}

func TestFaults(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{Path: "/realms/main", Discovery: []authztest.DiscoveryForm{authztest.OpenIDAppend}})
	metadata := issuer.URL() + "/.well-known/openid-configuration"
	tests := []struct {
		fault  authztest.Fault
		url    string
		status int
		want   string // in the body
	}{
		{authztest.Healthy, metadata, 200, `"issuer":"` + issuer.URL() + `"`},
		{authztest.Healthy, metadata, 200, `"jwks_uri":"` + issuer.JWKSURI() + `"`},
		{authztest.Healthy, issuer.JWKSURI(), 200, `"kid":"es256-1"`},
		{authztest.Healthy, issuer.URL() + "/elsewhere", 404, ""},
		{authztest.Down, metadata, 503, ""},
		{authztest.Dropped, metadata, 0, "EOF"},
		{authztest.Redirects, issuer.JWKSURI(), 302, "/unbroken/"},
		{authztest.NotJSON, issuer.JWKSURI(), 200, "<title>"},
		{authztest.MalformedKey, issuer.JWKSURI(), 200, `"kid":"malformed"`},
		{authztest.MalformedKey, issuer.JWKSURI(), 200, `"kid":"es256-1"`},
		{authztest.AllMalformed, issuer.JWKSURI(), 200, `"kid":"malformed"`},
		{authztest.NoKeys, issuer.JWKSURI(), 200, `{"keys":[]}`},
		{authztest.WrongIssuer, metadata, 200, `"issuer":"https://other.example.com"`},
		{authztest.InsecureKeys, metadata, 200, `"jwks_uri":"http://keys.example.com/keys"`},
		{authztest.Huge, issuer.JWKSURI(), 200, strings.Repeat("x", 10<<20)},
	}
	for _, test := range tests {
		issuer.Break(test.fault)
		status, body := get(t, test.url)
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("fault %d: GET %s = %d %.200q, want %d with %.100q", test.fault, test.url, status, body, test.status, test.want)
		}
	}
	issuer.Break(authztest.WithoutKeyURI)
	if _, body := get(t, metadata); strings.Contains(body, "jwks_uri") {
		t.Errorf("metadata without jwks_uri: %q", body)
	}
	// The redirect leads to what would be good, so that following it shows.
	if status, body := get(t, strings.Replace(issuer.JWKSURI(), "/realms", "/unbroken/realms", 1)); status != 200 || !strings.Contains(body, "es256-1") {
		t.Errorf("target of the redirect = %d %q", status, body)
	}
}

func TestCloseEndsSlowAnswers(t *testing.T) {
	issuer, err := authztest.NewIssuer(authztest.IssuerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	issuer.Break(authztest.Slow)
	sent, answered := make(chan struct{}), make(chan error)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) },
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer.JWKSURI(), nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		response, err := http.DefaultTransport.RoundTrip(request)
		if err == nil {
			response.Body.Close()
		}
		answered <- err
	}()
	<-sent
	select {
	case err := <-answered:
		t.Fatalf("a slow issuer answered: %v", err)
	default:
	}
	for range 2 {
		if err := issuer.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	<-answered
}

func TestNewIssuerRefuses(t *testing.T) {
	for name, c := range map[string]authztest.IssuerConfig{
		"open to all":       {Addr: "0.0.0.0:0"},
		"no address":        {Addr: "nowhere"},
		"secret algorithm":  {Algorithms: []string{"HS256"}},
		"no algorithm":      {Algorithms: []string{"none"}},
		"unknown algorithm": {Algorithms: []string{"ES256", "XX999"}},
		"path without /":    {Path: "realms"},
		"path with a query": {Path: "/realms?x"},
	} {
		if issuer, err := authztest.NewIssuer(c); err == nil || issuer != nil {
			t.Errorf("%s: NewIssuer = %v, %v, want an error", name, issuer, err)
		}
	}
}

func ExampleIssuer() {
	issuer, err := authztest.NewIssuer(authztest.IssuerConfig{Algorithms: []string{"EdDSA"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer issuer.Close()

	good := issuer.Mint(map[string]any{"sub": "alice", "groups": []string{"eng"}})
	expired := issuer.Mint(map[string]any{"exp": 1})
	forged := issuer.Mint(nil, authztest.Forged())
	for _, raw := range []string{good, expired, forged} {
		_, err := jwt.Parse(raw, func(*jwt.Token) (any, error) { return issuer.PublicKey(""), nil })
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// token has invalid claims: token is expired
	// token signature is invalid: ed25519: verification error
}

// An opaque token is worth what the issuer says of it, to the client that may
// ask, until it is revoked.
func TestMintOpaque(t *testing.T) {
	i := newIssuer(t, authztest.IssuerConfig{Path: "/realms/main"})
	raw := i.MintOpaque(map[string]any{"scope": "read", "iat": authztest.Absent})
	ask := func(secret string) (int, map[string]any) {
		r, err := http.NewRequest(http.MethodPost, i.IntrospectionURI(), strings.NewReader(url.Values{"token": {raw}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(authztest.IntrospectionClient, url.QueryEscape(secret))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer map[string]any
		if resp.StatusCode == http.StatusOK {
			if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
				t.Fatal(err)
			}
		}
		return resp.StatusCode, answer
	}
	if status, answer := ask("guess"); status != http.StatusUnauthorized {
		t.Errorf("asked with another secret: %d, %v, want 401", status, answer)
	}
	status, answer := ask(authztest.IntrospectionSecret)
	if status != http.StatusOK || answer["active"] != true || answer["iss"] != i.URL() || answer["scope"] != "read" || answer["iat"] != nil {
		t.Errorf("asked about a token: %d, %v", status, answer)
	}
	i.Revoke(raw)
	if status, answer := ask(authztest.IntrospectionSecret); status != http.StatusOK || answer["active"] != false || len(answer) != 1 {
		t.Errorf("asked about a token that was revoked: %d, %v", status, answer)
	}
	if got := i.Fetches().Asked; got != 3 {
		t.Errorf("asked %d times, want 3", got)
	}
}
