package token_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// fuzzKey is not a secret.
var fuzzKey = ed25519.NewKeyFromSeed([]byte("a seed of exactly 32 bytes, yes!"))

// FuzzVerify signs whatever payload comes, or takes a token as it comes, and
// holds Verify to what a lenient reader makes of what it accepted.
func FuzzVerify(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("..", "..", "testdata", "token", "*.json"))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("seeds: %d, %v", len(seeds), err)
	}
	for _, name := range seeds {
		seed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(`{"alg":"EdDSA","kid":"k","typ":"at+jwt"}`, string(seed), true)
		f.Add(`{"alg":"EdDSA","typ":"JWT"}`, string(seed), false)
	}
	const issuer = "https://login.example.com/"
	v, err := token.New(token.Config{Now: now, Issuers: []token.Issuer{{
		Name: "corp", Issuer: issuer, Keys: fixedKeys{key: fuzzKey.Public()},
		GroupsClaims: []string{"groups", "realm_access.roles"}, RolesClaims: []string{"roles"},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	accept := token.Accept{Issuers: []string{"corp"}, Audiences: []string{resource}}
	f.Fuzz(func(t *testing.T, header, payload string, sign bool) {
		encode := base64.RawURLEncoding.EncodeToString
		text := encode([]byte(header)) + "." + encode([]byte(payload))
		signature := []byte("not a signature")
		if sign {
			signature = ed25519.Sign(fuzzKey, []byte(text))
		}
		got, err := v.Verify(t.Context(), token.Credential{Raw: text + "." + encode(signature)}, accept)
		var refused *token.Error
		if err != nil {
			if !errors.As(err, &refused) || refused.Reason == "" || refused.Fault == token.Ours || len(refused.Presented) > 256 {
				t.Fatalf("Verify(%q, %q) = %+v", header, payload, err)
			}
			return
		}
		if !sign {
			t.Fatalf("Verify(%q, %q) accepted what nobody signed", header, payload)
		}
		var lenient struct {
			Iss, Sub string
			Aud      any
			Exp      float64
		}
		if err := json.Unmarshal([]byte(payload), &lenient); err != nil {
			t.Fatalf("Verify accepted %q, which encoding/json refuses: %v", payload, err)
		}
		if lenient.Iss != issuer || got.Subject != lenient.Sub || lenient.Exp+30 <= float64(start.Unix()) || !slices.Contains(got.Audience, resource) {
			t.Fatalf("Verify(%q) = %+v, lenient reading %+v", payload, got, lenient)
		}
		if got.Kind != token.User && got.Kind != token.Agent {
			t.Fatalf("Verify(%q): kind %d", payload, got.Kind)
		}
	})
}

func FuzzParseAuthorization(f *testing.F) {
	for _, line := range []string{"", "Bearer", "Bearer a.b.c", "bearer  a,b", "Basic x", "Bearer a\tb", "\t"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		raw, err := token.ParseAuthorization([]string{line}, 100)
		if (err == nil) != (raw != "") {
			t.Fatalf("ParseAuthorization(%q) = %q, %v", line, raw, err)
		}
		if err == nil && (len(raw) > 100 || strings.ContainsAny(raw, " ,\t\r\n\x00") || !strings.HasSuffix(strings.Trim(line, " \t"), raw)) {
			t.Fatalf("ParseAuthorization(%q) = %q", line, raw)
		}
	})
}

// A proof that says anything is refused, or is one that the holder signed for
// this request.
func FuzzProof(f *testing.F) {
	issuer, h := newIssuer(f, "ES256"), newHolder(f)
	raw := h.bound(issuer)
	v, err := token.New(token.Config{Now: now, Issuers: []token.Issuer{{Name: "corp", Issuer: issuer.URL(), Keys: fixedKeys{key: issuer.PublicKey("")}}}})
	if err != nil {
		f.Fatal(err)
	}
	accept := token.Accept{Issuers: []string{"corp"}, Audiences: []string{resource}}
	jwk, err := json.Marshal(authztest.PublicJWK(h.key.Public()))
	if err != nil {
		f.Fatal(err)
	}
	good := fmt.Sprintf(`{"jti":"a","htm":"POST","htu":%q,"iat":%d,"ath":%q}`, resource, start.Unix(), hashOf(raw))
	f.Add(`{"typ":"dpop+jwt","alg":"ES256","jwk":`+string(jwk)+`}`, good, true)
	f.Add(`{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"RSA","n":"AQ","e":"AQ"}}`, good, false)
	f.Add(`{"typ":"dpop+jwt","alg":"ES256"}`, `{"htu":"https://mcp.example.com:443/%6Dcp"}`, true)
	f.Fuzz(func(t *testing.T, header, payload string, sign bool) {
		encode := base64.RawURLEncoding.EncodeToString
		text := encode([]byte(header)) + "." + encode([]byte(payload))
		signature := make([]byte, 64)
		if sign {
			var err error
			if signature, err = h.method.Sign(text, h.key); err != nil {
				t.Fatal(err)
			}
		}
		c := dpop(raw, text+"."+encode(signature))
		if _, err := v.Verify(t.Context(), c, accept); err == nil && !sign {
			t.Fatalf("Verify(%q, %q) accepted what nobody signed", header, payload)
		}
		if _, err := v.Verify(t.Context(), c, accept); err == nil {
			t.Fatalf("Verify(%q, %q) accepted a proof twice", header, payload)
		}
	})
}

// A header that says anything gives no more than one workload.
func FuzzForwardedCertificate(f *testing.F) {
	v, err := token.New(token.Config{Workloads: []token.Workload{{Name: "mesh", TrustDomain: "example.org", Forwarded: true}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, line := range []string{`By=a;Hash=b;Subject="CN=\"c\",O=d";URI=spiffe://example.org/ns/a`, `URI="spiffe://example.org/a",`, `"`, `;;=,`, `\`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		who, err := v.Verify(t.Context(), token.Credential{Peer: token.Peer{Forwarded: []string{line}}}, token.Accept{Workloads: []string{"mesh"}})
		if err == nil && (who.Subject == "" || strings.ContainsAny(who.Subject, "\"\\,; %?#\n") || !strings.Contains(line, "spiffe://example.org/"+who.Subject)) {
			t.Fatalf("Verify(%q) = %+v", line, who)
		}
	})
}
