package e2e_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// aliceAtDex signs in at the form of dex, for the client that it knows.
var (
	aliceAtDex = stack.Browser{Form: url.Values{"login": {"alice@example.com"}, "password": {"password"}}}
	cli        = auth.AuthorizationCodeHandlerConfig{
		RedirectURL: stack.DexRedirect,
		PreregisteredClient: &oauthex.ClientCredentials{
			ClientID: "cli", ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: "cli-secret"},
		},
	}
)

// idOfAlice is the subject that dex makes of the connector and her user id.
const idOfAlice = "User/dex/CgJ1MRIFbG9jYWw"

func newDex(t *testing.T) *stack.Dex {
	t.Helper()
	d, err := stack.StartDex(t.Context())
	return keep(t, d, err)
}

// dex takes no resource, names the client as the audience, and gives tokens
// that look like ID tokens. Two lines of the configuration are for that.
func TestLoginAtDex(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "dex", func(string) string { return newDex(t).URL() })
	for _, era := range eras {
		t.Run(era, func(t *testing.T) {
			o.upstream.Reset()
			v := o.mustVisit(t, era, aliceAtDex, cli)
			way := slices.DeleteFunc(v.until("POST gate/mcp 200"), func(s string) bool { return strings.HasSuffix(s, " 404") })
			want := []string{
				"POST gate/mcp 401",
				"GET gate/.well-known/oauth-protected-resource/mcp 200",
				"GET issuer/.well-known/openid-configuration 200",
				"browser code_challenge_method=S256 resource=" + o.envoy.URL("/mcp") + " scope=email groups openid",
				"POST issuer/token 200",
				"POST gate/mcp 200",
			}
			if diff := cmp.Diff(want, way); diff != "" {
				t.Errorf("the way, but for what is not found (-want +got):\n%s", diff)
			}
			if err := use(soon(t), v.session, "read_file"); err != nil {
				t.Errorf("read_file: %v, want nil", err)
			}
			if err := use(soon(t), v.session, "write_file"); err == nil {
				t.Error("write_file, which is for a group: nil, want a denial")
			}
			says(t, o.record(t, t.Name(), "read_file"), map[string]string{
				"principal": idOfAlice, "reason": "permitted", "policies": "[colleagues-read]",
			})
			says(t, o.record(t, t.Name(), "write_file"), map[string]string{"principal": idOfAlice, "reason": "no_permit"})
			o.checkUpstream(t, idOfAlice, v.used())
		})
	}
}

// Without either line her token is refused, with the reason that tells the
// operator which one lacks.
func TestLoginAtDexNeedsBothSettings(t *testing.T) {
	t.Parallel()
	d := newDex(t)
	for _, tt := range []struct{ without, reason string }{
		{"    allow_id_token_shape: true\n", "token_type"},
		{"    audiences: [cli]\n", "audience_mismatch"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			o := openOffice(t, "dex", func(string) string { return d.URL() }, tt.without, "")
			if _, err := o.visit(t, eras[0], aliceAtDex, cli); err == nil {
				t.Error("Connect() = nil, want an error")
			}
			_, err := o.cedargate.WaitRecord(soon(t), func(r map[string]any) bool { return r["reason"] == tt.reason })
			if err != nil {
				t.Errorf("no record with reason %s: %v", tt.reason, err)
			}
		})
	}
}
