package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// offerLogin starts an OAuth server where people can sign in. Where it cannot,
// noLogin says why.
func (w *world) offerLogin(ctx context.Context) {
	w.noLogin = errors.New("it takes Node and npm, which are not here")
	if !stack.HaveNode() {
		return
	}
	login, err := stack.StartOIDCProvider(ctx, stack.OIDCProviderConfig{})
	if err != nil {
		w.noLogin = err
		return
	}
	w.login, w.noLogin = login, nil
	w.onClose(login.Close)
}

// withLogin is the configuration text with the server where people sign in, and
// its issuer.
func withLogin(text []byte, issuer string) []byte {
	const servers = "\nservers:\n"
	const library = `
  # An OAuth server where people sign in.
  - name: login
    issuer: %s

servers:
  # An MCP server for those.
  - name: library
    resource: http://127.0.0.1:10000/library/mcp
    issuers: [login]
    scopes_supported: [mcp:read, mcp:tools]
    protocol_versions: [2026-07-28]
    tools: [ { name: read_file, read_only: true } ]

`
	return bytes.Replace(text, []byte(servers), fmt.Appendf(nil, library, issuer), 1)
}

// signsIn shows a client that finds its way from the URL of the MCP server to a
// token and to a tool.
func (s *story) signsIn(ctx context.Context) (err error) {
	if s.world.login == nil {
		s.say("In a browser this is OAuth with PKCE at the issuer. It is not shown:")
		s.say("%v.\n", s.world.noLogin)
		return nil
	}
	s.say("dana's client knows the URL of library and nothing else. Its first request is")
	s.say("answered 401, and it goes the way that the challenge begins:")
	dana := s.world.newClient("dana", s.endpoint("library"), nil)
	w := &way{}
	if dana.login, err = w.handler("dana"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dana.close()) }()
	trace, err := s.joins(ctx, dana, withoutSessions)
	s.state("way", strings.Join(w.steps, "\n"), strings.Join(s.wayToLibrary(), "\n"))
	if err != nil {
		return err
	}
	r, err := s.gate.record(ctx, trace, func(r record) bool { return r["decision"] == "allow" })
	if err != nil {
		return err
	}
	s.say("\nWith the token that it got, for this server and no other, the session opens.")
	want := permitted("User/login/dana", []string{"cedargate:lifecycle"}, scopes("mcp:read", "mcp:tools"))
	want.action, want.resource = "server/discover", "Server/library"
	s.decided(&asked{client: dana, record: r}, want)
	s.callsTool(ctx, dana, "read_file", map[string]any{"path": "README.md"},
		permitted("User/login/dana", []string{"library-reads"}))
	s.say("")
	return nil
}

// wayToLibrary is the way of a client that has no registration: RFC 9728, 8414,
// 7591, 7636, 8707.
func (s *story) wayToLibrary() []string {
	issuer := s.world.login.URL()
	return []string{
		"GET " + s.world.metadata("library") + ": 200",
		"GET " + issuer + "/.well-known/oauth-authorization-server: 200",
		"POST " + issuer + "/reg: 201",
		"the browser signs dana in: code_challenge_method=S256",
		"  for resource=" + s.world.resource("library"),
		"POST " + issuer + "/token: 200",
	}
}

// A way is what a client does at its OAuth server, step by step.
type way struct {
	mu    sync.Mutex
	steps []string
}

func (w *way) add(steps ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = append(w.steps, steps...)
}

// RoundTrip implements http.RoundTripper.
func (w *way) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		w.add(fmt.Sprintf("%s %s: %d", r.Method, r.URL, resp.StatusCode))
	}
	return resp, err
}

// handler signs user in when a client needs it.
func (w *way) handler(user string) (auth.OAuthHandler, error) {
	const redirect = "http://127.0.0.1:4998/cb" // nothing listens: the browser does not go there
	browser := stack.Browser{Header: http.Header{"X-Test-User": {user}}}
	return auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		RedirectURL: redirect,
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "demo", RedirectURIs: []string{redirect}, TokenEndpointAuthMethod: "none",
		}},
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			u, err := url.Parse(args.URL)
			if err != nil {
				return nil, err
			}
			w.add("the browser signs "+user+" in: code_challenge_method="+u.Query().Get("code_challenge_method"),
				"  for resource="+u.Query().Get("resource"))
			return browser.Authorize(ctx, args)
		},
		Client: &http.Client{Transport: w},
	})
}
