package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/token"
)

func TestIntrospection(t *testing.T) {
	c := parse(t, testdata+"/good/introspection.yaml")
	var got []*config.Introspection
	for _, issuer := range c.Issuers {
		got = append(got, issuer.Introspection)
	}
	want := []*config.Introspection{
		{Endpoint: "https://a.example.com/introspect?tenant=1", ClientID: "gate", SecretFile: "secrets/a", Cache: time.Minute},
		{Endpoint: "http://localhost:8080/introspect", ClientID: "https://gate.example.com/", KeyFile: "/etc/cedargate/b.pem"},
		{Endpoint: "https://c.example.com/introspect", ClientID: "gate", SecretFile: "secrets/a", Cache: time.Hour},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("introspection (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/etc/cedargate/b.pem", "ca.pem", "secrets/a"}, c.Files()); diff != "" {
		t.Errorf("Files() (-want +got):\n%s", diff)
	}
	if a, problems := c.Assemble(config.Parts{Records: discard{}, ReadFile: anyFile}); a == nil {
		t.Errorf("Assemble found\n%s", report(problems))
	}
}

// A file that cannot be used is a problem at the place that names it, and
// nothing of it is shown.
func TestIntrospectionFiles(t *testing.T) {
	const text = `
issuers: [ { name: corp, issuer: https://login.example.com/, introspection: { endpoint: https://login.example.com/ask, client_id: gate, client_secret_file: x } } ]` + plainServers
	withKey := strings.Replace(text, "client_secret_file", "private_key_file", 1)
	file := func(content string, err error) func(string) ([]byte, error) {
		return func(string) ([]byte, error) { return []byte(content), err }
	}
	tests := []struct {
		text string
		read func(string) ([]byte, error)
		want string
	}{
		{text, file("", errors.New("no such file")), "introspection.client_secret_file: no such file"},
		{text, file(" \n", nil), "introspection.client_secret_file: the file is empty"},
		{text, nil, "introspection.client_secret_file: x is not read here"},
		{withKey, file("hunter2", nil), "introspection.private_key_file: no private key in PEM form"},
		{withKey, file("", errors.New("no such file")), "introspection.private_key_file: no such file"},
	}
	for _, test := range tests {
		c := parseText(t, test.text)
		a, problems := c.Assemble(config.Parts{Records: discard{}, ReadFile: test.read})
		got := problems[len(problems)-1]
		if a != nil || got.Advice || got.Line != 2 || got.Hint == "" || !strings.HasSuffix(got.String(), test.want) {
			t.Errorf("Assemble = %v, %s, want a problem of line 2 with %q", a, report(problems), test.want)
		}
	}
}

// The secret is the file without what an editor leaves at its end; another one
// counts from the next assembly on.
func TestIntrospectionSecret(t *testing.T) {
	issuer, err := authztest.NewIssuer(authztest.IssuerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer issuer.Close()
	c := parseText(t, `
issuers:
  - { name: corp, issuer: "`+issuer.URL()+`", introspection: { endpoint: "`+issuer.IntrospectionURI()+`", client_id: gate, client_secret_file: x } }`+plainServers)
	raw := issuer.MintOpaque(nil)
	for secret, want := range map[string]string{"stale": token.IssuerUnavailable, authztest.IntrospectionSecret + " \r\n": ""} {
		v, err := c.Verifier(config.Parts{ReadFile: func(string) ([]byte, error) { return []byte(secret), nil }})
		if err != nil {
			t.Fatal(err)
		}
		accept := token.Accept{Issuers: []string{"corp"}, Audiences: []string{"https://mcp.example.com/mcp"}}
		who, err := v.Verify(t.Context(), token.Credential{Raw: raw}, accept)
		got := ""
		if refused, ok := errors.AsType[*token.Error](err); ok {
			got = refused.Reason
		}
		if got != want || want == "" && who.Subject != "alice" {
			t.Errorf("Verify with the secret %q = %+v, %v, want %q", secret, who, err, want)
		}
	}
}
