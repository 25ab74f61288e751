package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// parameters are some of the parameters of a URL, their words in order: the SDK
// shuffles scopes.
func parameters(raw string, names ...string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, name := range names {
		words := strings.Fields(u.Query().Get(name))
		slices.Sort(words)
		all = append(all, name+"="+strings.Join(words, " "))
	}
	return strings.Join(all, " ")
}

// A client that knows only the URL of the MCP server finds its way to a token
// and calls a tool: challenge, metadata of the resource, metadata of the
// authorization server, registration if it has none, code with PKCE for this
// resource, token, call.
func TestLogin(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "oidc-provider", oidcProvider(t, stack.OIDCProviderConfig{}))
	way := func(registers bool) []string {
		steps := []string{
			"POST gate/mcp 401",
			"GET gate/.well-known/oauth-protected-resource/mcp 200",
			"GET issuer/.well-known/oauth-authorization-server 200",
			"POST issuer/reg 201",
			"browser code_challenge_method=S256 resource=" + o.envoy.URL("/mcp") + " scope=mcp:read mcp:tools",
			"POST issuer/token 200",
			"POST gate/mcp 200",
		}
		if !registers {
			return slices.Delete(steps, 3, 4)
		}
		return steps
	}
	tests := []struct {
		name   string
		client auth.AuthorizationCodeHandlerConfig
		want   []string
	}{{"dynamic", dynamic(), way(true)}, {"preregistered", preregistered(), way(false)}}
	for _, tt := range tests {
		for _, era := range eras {
			t.Run(tt.name+" "+era, func(t *testing.T) {
				o.upstream.Reset()
				v := o.mustVisit(t, era, stack.Browser{}, tt.client)
				if diff := cmp.Diff(tt.want, v.until("POST gate/mcp 200")); diff != "" {
					t.Errorf("the way (-want +got):\n%s", diff)
				}
				for _, tool := range []string{"read_file", "write_file"} {
					if err := use(soon(t), v.session, tool); err != nil {
						t.Errorf("%s: %v, want nil", tool, err)
					}
				}
				says(t, o.record(t, t.Name(), "write_file"), map[string]string{
					"principal": "User/op/alice", "reason": "permitted", "policies": "[write]", "scopes": "[mcp:read mcp:tools]",
				})
				if err := use(soon(t), v.session, "search"); err == nil {
					t.Error("search, which is for the service: nil, want a denial")
				}
				if want := []string{"tools/call read_file", "tools/call write_file"}; !slices.Equal(o.ran(), want) {
					t.Errorf("the server did %q, want %q", o.ran(), want)
				}
				o.checkUpstream(t, "User/op/alice", v.used())
			})
		}
	}
}

func (o office) ran() []string { return house{upstream: o.upstream}.ran() }

// Whoever signs in is who the policies see: bob is in no group.
func TestLoginOfSomeoneElse(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "oidc-provider", oidcProvider(t, stack.OIDCProviderConfig{}))
	v := o.mustVisit(t, eras[1], stack.Browser{Header: http.Header{"X-Test-User": {"bob"}}}, dynamic())
	if err := use(soon(t), v.session, "read_file"); err != nil {
		t.Errorf("read_file: %v, want nil", err)
	}
	if err := use(soon(t), v.session, "write_file"); err == nil {
		t.Error("write_file: nil, want a denial")
	}
	says(t, o.record(t, t.Name(), "write_file"), map[string]string{
		"principal": "User/op/bob", "reason": "no_permit", "scopes": "[mcp:read mcp:tools]",
	})
}

// The user consents to less than the client asks for: the policy denies what
// lacks, and the rest works.
func TestLoginWithFewerScopes(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "oidc-provider", oidcProvider(t, stack.OIDCProviderConfig{}))
	for _, era := range eras {
		t.Run(era, func(t *testing.T) {
			o.upstream.Reset()
			v := o.mustVisit(t, era, stack.Browser{Header: http.Header{"X-Test-Refuse": {"mcp:tools"}}}, dynamic())
			if err := use(soon(t), v.session, "read_file"); err != nil {
				t.Errorf("read_file: %v, want nil", err)
			}
			err := use(soon(t), v.session, "write_file")
			if err == nil || !strings.Contains(err.Error(), "not permitted by policy") {
				t.Errorf("write_file: %v, want the message of the denial", err)
			}
			if err := use(soon(t), v.session, "read_file"); err != nil {
				t.Errorf("read_file after the denial: %v, want nil", err)
			}
			says(t, o.record(t, t.Name(), "write_file"), map[string]string{"reason": "no_permit", "scopes": "[mcp:read]"})
			if ran := o.ran(); slices.Contains(ran, "tools/call write_file") {
				t.Errorf("the server did %q, want no write_file", ran)
			}
		})
	}
}

// A user who does not sign in gets no further, and the client is told so.
func TestLoginThatFails(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "oidc-provider", oidcProvider(t, stack.OIDCProviderConfig{}))
	nobody := preregistered()
	nobody.PreregisteredClient = &oauthex.ClientCredentials{ClientID: "nobody"}
	if _, err := o.visit(t, eras[0], stack.Browser{}, nobody); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("Connect() = %v, want what the OAuth server says", err)
	}
	if n := len(o.upstream.Requests()); n != 0 {
		t.Errorf("the server got %d requests, want none", n)
	}
}

// A service signs in with a secret of its own. It is an agent, with a policy of
// its own, and may nothing of what people may.
func TestLoginOfAService(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "oidc-provider", func(resource string) string {
		// Clients of this grant name no resource.
		return newOIDCProvider(t, stack.OIDCProviderConfig{Resource: resource}).URL()
	})
	for _, era := range eras {
		t.Run(era, func(t *testing.T) {
			o.upstream.Reset()
			tr := o.newTrail(t.Name())
			handler, err := extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{
				Credentials: &oauthex.ClientCredentials{ClientID: "svc", ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: "svc-secret"}},
				HTTPClient:  &http.Client{Transport: tr},
			})
			if err != nil {
				t.Fatal(err)
			}
			session, err := o.enter(t, era, tr, handler)
			if err != nil {
				t.Fatalf("Connect() = %v, want nil; the way was\n%s", err, strings.Join(tr.until(""), "\n"))
			}
			if err := use(soon(t), session, "search"); err != nil {
				t.Errorf("search: %v, want nil", err)
			}
			for _, tool := range []string{"read_file", "write_file"} {
				if err := use(soon(t), session, tool); err == nil {
					t.Errorf("%s: nil, want a denial", tool)
				}
				says(t, o.record(t, t.Name(), tool), map[string]string{"reason": "no_permit"})
			}
			says(t, o.record(t, t.Name(), "search"), map[string]string{
				"principal": "Agent/op/svc", "reason": "permitted", "policies": "[service-searches]",
			})
			o.checkUpstream(t, "Agent/op/svc", tr.used())
		})
	}
}

// The issuer signs with new keys while sessions are open: the old tokens go on,
// and the first new one is good at once. Nobody fails.
func TestLoginWhileKeysRotate(t *testing.T) {
	t.Parallel()
	var provider *stack.OIDCProvider
	o := openOffice(t, "oidc-provider", func(string) string {
		provider = newOIDCProvider(t, stack.OIDCProviderConfig{})
		return provider.URL()
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	failed := make(chan error, len(eras))
	for _, era := range eras {
		v := o.mustVisit(t, era, stack.Browser{}, dynamic())
		go func() {
			var err error
			for err == nil && ctx.Err() == nil {
				err = use(t.Context(), v.session, "read_file")
			}
			failed <- err
		}()
	}
	for range 2 {
		kid, err := provider.Rotate(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, era := range eras {
			v := o.mustVisit(t, era, stack.Browser{}, dynamic())
			if err := use(soon(t), v.session, "write_file"); err != nil {
				t.Errorf("with the key %s: %v, want nil", kid, err)
			}
			if got := keyOf(t, v.used()[0]); got != kid {
				t.Errorf("the token is signed with %s, want %s", got, kid)
			}
		}
	}
	stop()
	for range eras {
		if err := <-failed; err != nil {
			t.Errorf("an open session: %v, want nil", err)
		}
	}
	for _, r := range o.cedargate.Records() {
		if r["decision"] == "deny" && r["reason"] != "no_credential" {
			t.Errorf("a request was refused: %v", fmt.Sprint(r))
		}
	}
}
