package config_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/config"
)

const privateIssuer = `
issuers: [ { name: corp, issuer: https://login.example.com/, ca_file: ca.pem } ]` + plainServers

// A ca_file that cannot be used is a problem at the place that names it.
func TestCAFile(t *testing.T) {
	files := map[string]string{"ca.pem": "no PEM"}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such file")
	}
	tests := []struct {
		text string
		read func(string) ([]byte, error)
		want string
	}{
		{privateIssuer, read, "issuers[0].ca_file: CA: no certificate in PEM form"},
		{strings.Replace(privateIssuer, "ca.pem", "other.pem", 1), read, "issuers[0].ca_file: no such file"},
		{privateIssuer, nil, "issuers[0].ca_file: ca.pem is not read here"},
	}
	for _, test := range tests {
		c := parseText(t, test.text)
		a, problems := c.Assemble(config.Parts{Records: discard{}, ReadFile: test.read})
		got := problems[len(problems)-1]
		if a != nil || got.Advice || got.Line != 2 || got.Hint == "" || !strings.HasSuffix(got.String(), test.want) {
			t.Errorf("Assemble = %v, %s, want a problem of line 2 with %q", a, report(problems), test.want)
		}
		if _, err := c.Verifier(config.Parts{ReadFile: test.read}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Verifier = %v, want an error with %q", err, test.want)
		}
	}
}

// With another authority the keys are fetched anew; with another max_stale they
// stay, as old as they are.
func TestKeysStayWhenTheirTimeChanges(t *testing.T) {
	issuer, err := authztest.NewIssuer(authztest.IssuerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer issuer.Close()
	text := `
issuers: [ { name: corp, issuer: "` + issuer.URL() + `", max_stale: 1h } ]` + plainServers
	before := assembleText(t, text, nil)
	if _, err := before.Keys[0].Key(t.Context(), issuer.KeyID(""), "ES256"); err != nil {
		t.Fatal(err)
	}
	issuer.Break(authztest.Down)
	longer := assembleText(t, strings.Replace(text, "1h", "168h", 1), before)
	if _, err := longer.Keys[0].Key(t.Context(), issuer.KeyID(""), "ES256"); err != nil || longer.Keys[0] == before.Keys[0] {
		t.Errorf("Key with a longer max_stale = %v, want the key, from another source", err)
	}
	again := assembleText(t, strings.Replace(text, "1h", "100h", 1), longer)
	if !again.Keys[0].Ready() || again.Keys[0].Epoch() != before.Keys[0].Epoch() {
		t.Error("keys that were taken over twice are gone")
	}
	other := assembleText(t, strings.Replace(text, "max_stale: 1h", "insecure_http: true", 1), before)
	if other.Keys[0].Ready() {
		t.Error("keys that were fetched by other rules are used")
	}
}

// Each assembly reads the file, and the keys that another authority vouched for
// are not used.
func TestCAFileChanges(t *testing.T) {
	pem := read(t, filepath.Join("..", "..", "testdata", "config", "ca.pem"))
	assemble := func(ca []byte, before *config.Assembly) *config.Assembly {
		a, problems := parseText(t, privateIssuer).Assemble(config.Parts{
			Records: discard{}, Before: before, ReadFile: func(string) ([]byte, error) { return ca, nil },
		})
		if a == nil {
			t.Fatalf("Assemble found\n%s", report(problems))
		}
		return a
	}
	before := assemble(pem, nil)
	if after := assemble(pem, before); after.Keys[0] != before.Keys[0] {
		t.Error("the same authorities make another source")
	}
	if after := assemble(append(pem, '\n'), before); after.Keys[0] == before.Keys[0] {
		t.Error("another file has the same source")
	}
}
