package stack_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/auth"
	"golang.org/x/oauth2"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

const testResource = "http://127.0.0.1:10000/mcp"

func startOIDCProvider(t *testing.T, c stack.OIDCProviderConfig) *stack.OIDCProvider {
	t.Helper()
	p, err := stack.StartOIDCProvider(t.Context(), c)
	return must(t, p, err)
}

// form posts values to url and returns the JSON object that comes back.
func form(t *testing.T, url string, values url.Values) map[string]any {
	t.Helper()
	resp, err := http.PostForm(url, values)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: status %d, %v, %v, want 200 and an object", url, resp.StatusCode, answer, err)
	}
	return answer
}

// parts are header and payload of a token, not verified.
func parts(t *testing.T, token any) (header, payload map[string]any) {
	t.Helper()
	split := strings.Split(fmt.Sprint(token), ".")
	if len(split) != 3 {
		t.Fatalf("token has %d parts, want 3", len(split))
	}
	for i, into := range []*map[string]any{&header, &payload} {
		text, err := base64.RawURLEncoding.DecodeString(split[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, payload
}

// signIn goes through the authorization code with PKCE for the client config.
func signIn(t *testing.T, b stack.Browser, config oauth2.Config, options ...oauth2.AuthCodeOption) (*auth.AuthorizationResult, *oauth2.Token) {
	t.Helper()
	verifier := oauth2.GenerateVerifier()
	to := config.AuthCodeURL("state", append(options, oauth2.S256ChallengeOption(verifier))...)
	got, err := b.Authorize(soon(t), &auth.AuthorizationArgs{URL: to})
	if err != nil {
		t.Fatal(err)
	}
	token, err := config.Exchange(soon(t), got.Code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return got, token
}

func publicClient(p *stack.OIDCProvider) oauth2.Config {
	return oauth2.Config{
		ClientID: "pub", RedirectURL: "http://127.0.0.1:4998/cb", Scopes: []string{"mcp:read", "mcp:tools"},
		Endpoint: oauth2.Endpoint{AuthURL: p.URL() + "/auth", TokenURL: p.URL() + "/token", AuthStyle: oauth2.AuthStyleInParams},
	}
}

func TestOIDCProviderSignsUsersIn(t *testing.T) {
	p := startOIDCProvider(t, stack.OIDCProviderConfig{})
	browser := stack.Browser{Header: http.Header{"X-Test-User": {"bob"}, "X-Test-Refuse": {"mcp:tools"}}}
	got, token := signIn(t, browser, publicClient(p), oauth2.SetAuthURLParam("resource", testResource))
	if got.State != "state" || got.Iss != p.URL() || token.RefreshToken == "" {
		t.Errorf("state %q, iss %q, refresh token: %v, want state, %q, true", got.State, got.Iss, token.RefreshToken != "", p.URL())
	}
	header, payload := parts(t, token.AccessToken)
	want := map[string]any{"typ": "at+jwt", "alg": "ES256", "iss": p.URL(), "sub": "bob", "aud": testResource, "scope": "mcp:read", "client_id": "pub"}
	for name, value := range want {
		got := payload[name]
		if got == nil {
			got = header[name]
		}
		if got != value {
			t.Errorf("%s of the token is %v, want %v", name, got, value)
		}
	}
}

// A clock that is slow, and short lives, are what makes tokens expire while a
// test looks on.
func TestOIDCProviderClock(t *testing.T) {
	p := startOIDCProvider(t, stack.OIDCProviderConfig{Resource: testResource, TokenTTL: 40 * time.Second, Behind: time.Hour})
	before := time.Now().Add(-time.Hour).Unix()
	answer := form(t, p.URL()+"/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"svc"}, "client_secret": {"svc-secret"}, "scope": {"mcp:read"},
	})
	_, payload := parts(t, answer["access_token"])
	iat, _ := payload["iat"].(float64)
	exp, _ := payload["exp"].(float64)
	if exp-iat != 40 || int64(iat) < before || int64(iat) > before+20 {
		t.Errorf("issued %v, expires %v, want %d and 40 s later", iat, exp, before)
	}
	if payload["aud"] != testResource || payload["sub"] != "svc" {
		t.Errorf("aud %v, sub %v, want the default resource and the client", payload["aud"], payload["sub"])
	}
}

// After a rotation the new key signs, the old one is still published, and a
// client keeps its registration and its refresh token.
func TestOIDCProviderRotates(t *testing.T) {
	p := startOIDCProvider(t, stack.OIDCProviderConfig{})
	client := publicClient(p)
	_, token := signIn(t, stack.Browser{}, client, oauth2.SetAuthURLParam("resource", testResource))
	old, _ := parts(t, token.AccessToken)
	kid, err := p.Rotate(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	answer := form(t, p.URL()+"/token", url.Values{
		"grant_type": {"refresh_token"}, "client_id": {"pub"}, "refresh_token": {token.RefreshToken},
	})
	header, _ := parts(t, answer["access_token"])
	if header["kid"] != kid || kid == old["kid"] {
		t.Errorf("key of a new token is %v, want %s, which is not %v", header["kid"], kid, old["kid"])
	}
	if diff := cmp.Diff(map[any]bool{kid: true, old["kid"]: true}, keyIDs(t, p.URL()+"/jwks")); diff != "" {
		t.Errorf("published ES256 keys (-want +got):\n%s", diff)
	}
}

func keyIDs(t *testing.T, url string) map[any]bool {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct{ Keys []map[string]any }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	ids := map[any]bool{}
	for _, k := range set.Keys {
		if k["alg"] == "ES256" {
			ids[k["kid"]] = true
		}
	}
	return ids
}

func TestDexSignsUsersIn(t *testing.T) {
	d := start(t, func() (*stack.Dex, error) { return stack.StartDex(t.Context()) })
	browser := stack.Browser{Form: url.Values{"login": {"alice@example.com"}, "password": {"password"}}}
	_, token := signIn(t, browser, oauth2.Config{
		ClientID: "cli", ClientSecret: "cli-secret", RedirectURL: stack.DexRedirect, Scopes: []string{"openid", "email"},
		Endpoint: oauth2.Endpoint{AuthURL: d.URL() + "/auth", TokenURL: d.URL() + "/token", AuthStyle: oauth2.AuthStyleInHeader},
	})
	header, payload := parts(t, token.AccessToken)
	if header["typ"] != nil || header["alg"] != "RS256" || payload["aud"] != "cli" || payload["at_hash"] == nil || payload["scope"] != nil || payload["groups"] != nil {
		t.Errorf("token is %v, %v, want one that looks like an ID token for cli", header, payload)
	}
}

// A browser that is shown what it cannot pass says so, and does not go round.
func TestBrowserStops(t *testing.T) {
	d := start(t, func() (*stack.Dex, error) { return stack.StartDex(t.Context()) })
	to := d.URL() + "/auth?" + url.Values{
		"client_id": {"cli"}, "redirect_uri": {stack.DexRedirect}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
	}.Encode()
	for name, args := range map[string]*auth.AuthorizationArgs{
		"a wrong password": {URL: to},
		"no page":          {URL: d.URL() + "/nowhere"},
	} {
		browser := stack.Browser{Form: url.Values{"login": {"alice@example.com"}, "password": {"guess"}}}
		if got, err := browser.Authorize(soon(t), args); err == nil {
			t.Errorf("%s: Authorize() = %v, nil, want an error", name, got)
		}
	}
	p := startOIDCProvider(t, stack.OIDCProviderConfig{})
	refused := p.URL() + "/auth?" + url.Values{
		"client_id": {"pub"}, "redirect_uri": {"http://127.0.0.1:4998/cb"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
	}.Encode()
	if _, err := (stack.Browser{}).Authorize(soon(t), &auth.AuthorizationArgs{URL: refused}); err == nil || !strings.Contains(err.Error(), "requires PKCE") {
		t.Errorf("Authorize() without PKCE = %v, want that PKCE is required", err)
	}
}
