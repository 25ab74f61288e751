package token_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cedargate/cedargate/pkg/jwks"
	"github.com/cedargate/cedargate/pkg/token"
)

const (
	jwsFolder = "../../testdata/token/jws"
	jwsIssuer = "https://login.example.com/"
)

var updateJWS = flag.Bool("update", false, "make the JWS vectors anew")

// A jwsFile is one file of vectors, in the shape of Project Wycheproof's
// json_web_signature_test.json: groups with a public JWK and tests of it. None
// of the data is Wycheproof's.
type jwsFile struct {
	Comment       string            `json:"comment"`
	Notes         map[string]string `json:"notes"` // what the flags mean
	NumberOfTests int               `json:"numberOfTests"`
	TestGroups    []*jwsGroup       `json:"testGroups"`
}

type jwsGroup struct {
	Comment string         `json:"comment"`
	Type    string         `json:"type"`
	Public  map[string]any `json:"public"`
	Tests   []jwsVector    `json:"tests"`
}

// A jwsVector is one token. Reason, which Wycheproof has not, is that of the
// Error: a vector that is refused for something else tests nothing.
type jwsVector struct {
	TcID    int      `json:"tcId"`
	Comment string   `json:"comment"`
	JWS     string   `json:"jws"`
	Result  string   `json:"result"`
	Reason  string   `json:"reason,omitempty"`
	Flags   []string `json:"flags"`
}

// The flags that say where golang-jwt, asked as jwtOpinion asks it, is of
// another opinion.
const (
	jwtAccepts = "GolangJWTAccepts"
	jwtRefuses = "GolangJWTRefuses"
)

// TestJWSVectors verifies every token of testdata/token/jws. With -update it
// makes them anew first: the private keys come from a fixed seed and are kept
// nowhere. What a vector has to result in is said where it is made, and is
// never what Verify happened to answer.
func TestJWSVectors(t *testing.T) {
	if *updateJWS {
		t.Run("update", makeJWSFiles)
	}
	names, err := filepath.Glob(filepath.Join(jwsFolder, "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no vectors in %s: %v", jwsFolder, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			tests := 0
			file := readJWSFile(t, name)
			for _, group := range file.TestGroups {
				tests += len(group.Tests)
				group.run(t, file.Notes)
			}
			if tests != file.NumberOfTests {
				t.Errorf("%s has %d tests, and says %d", name, tests, file.NumberOfTests)
			}
		})
	}
}

func readJWSFile(t *testing.T, name string) (file jwsFile) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return file
}

// keySet answers every request with itself.
type keySet []byte

func (k keySet) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(k)), Request: r}, nil
}

// run verifies the tests of g with its key alone, read as it is read from an
// issuer.
func (g *jwsGroup) run(t *testing.T, notes map[string]string) {
	set, err := json.Marshal(claims{"keys": []any{g.Public}})
	if err != nil {
		t.Fatal(err)
	}
	accept := token.Accept{Issuers: []string{"corp"}, Audiences: []string{resource}}
	for _, test := range g.Tests {
		// A set that nobody has asked yet: how often it is fetched is bounded.
		keys, err := jwks.New(jwks.Config{Issuer: jwsIssuer, JWKSURI: "https://keys.example.com/", Transport: keySet(set), Now: now})
		if err != nil {
			t.Fatal(err)
		}
		v, err := token.New(token.Config{Now: now, Issuers: []token.Issuer{{Name: "corp", Issuer: jwsIssuer, Keys: keys}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, nth := range []string{"first", "second"} { // with what is remembered
			who, err := v.Verify(t.Context(), token.Credential{Raw: test.JWS}, accept)
			if got := resultOf(who, err); got != test.Result+test.Reason {
				t.Errorf("tcId %d, %s: %s (%s): the %s Verify = %q, %v, want %s %s",
					test.TcID, g.Comment, test.Comment, test.Flags, nth, who.Subject, err, test.Result, test.Reason)
			}
		}
		want := test.Result == "valid" != (slices.Contains(test.Flags, jwtAccepts) || slices.Contains(test.Flags, jwtRefuses))
		if err := g.jwtOpinion(t, keys, test.JWS); (err == nil) != want {
			t.Errorf("tcId %d, %s: %s (%s): golang-jwt says %v, want it to accept: %t", test.TcID, g.Comment, test.Comment, test.Flags, err, want)
		}
		for _, flag := range test.Flags {
			if notes[flag] == "" {
				t.Errorf("tcId %d has the flag %s, of which there is no note", test.TcID, flag)
			}
		}
	}
}

// resultOf returns result and reason of a vector.
func resultOf(who token.Claims, err error) string {
	var refused *token.Error
	switch {
	case err == nil && who.Issuer == "corp" && who.Subject == "alice":
		return "valid"
	case errors.As(err, &refused) && who.Kind == token.Nobody && who.Subject == "":
		return "invalid" + refused.Reason
	}
	return "neither"
}

// jwtOpinion is what golang-jwt says of raw, when it reads the token and we only
// give it the key, whatever kid the token names.
func (g *jwsGroup) jwtOpinion(t *testing.T, keys token.Keys, raw string) error {
	kid, _ := g.Public["kid"].(string)
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}),
		jwt.WithStrictDecoding(), jwt.WithTimeFunc(now), jwt.WithExpirationRequired(),
		jwt.WithIssuer(jwsIssuer), jwt.WithAudience(resource),
	)
	_, err := parser.Parse(raw, func(parsed *jwt.Token) (any, error) {
		return keys.Key(t.Context(), kid, parsed.Method.Alg())
	})
	return err
}
