package jwks_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/jwks"
)

// keys are made once: an RSA key takes a moment.
var keys = sync.OnceValue(func() (k struct {
	ec, ec2, p384 *ecdsa.PrivateKey
	rsa, small    *rsa.PrivateKey
	ed            ed25519.PrivateKey
}) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var err error
	k.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.ec2, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.p384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	k.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.small, err = rsa.GenerateKey(rand.Reader, 1024)
	must(err)
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	return k
})

type members = map[string]any

// jwk is the public half of signer as an entry with more members.
func jwk(signer crypto.Signer, more members) members {
	entry := authztest.PublicJWK(signer.Public())
	maps.Copy(entry, more)
	return entry
}

// body makes the source read the same key set from any URL.
type body []byte

func (b body) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(b))), Request: r}, nil
}

func sourceOf(t testing.TB, set []byte) *jwks.Source {
	return newSource(t, jwks.Config{Issuer: "i", JWKSURI: "https://keys.example.com/", Transport: body(set)})
}

// A keyCase asks a set of entries for one key.
type keyCase struct {
	name     string
	set      []members
	kid, alg string
	want     crypto.Signer // nil: unknown_key
}

func checkKeys(t *testing.T, tests []keyCase) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set, err := json.Marshal(members{"keys": test.set})
			if err != nil {
				t.Fatal(err)
			}
			key, err := sourceOf(t, set).Key(t.Context(), test.kid, test.alg)
			if test.want == nil {
				if key != nil || reason(err) != jwks.UnknownKey {
					t.Errorf("Key(%q, %q) = %v, %v, want %s", test.kid, test.alg, key, err, jwks.UnknownKey)
				}
				return
			}
			if err != nil || !equal(key, test.want.Public()) {
				t.Errorf("Key(%q, %q) = %v, %v, want %v", test.kid, test.alg, key, err, test.want.Public())
			}
		})
	}
}

func TestKeyByID(t *testing.T) {
	k := keys()
	checkKeys(t, []keyCase{
		{"plain", []members{jwk(k.ec, members{"kid": "a"})}, "a", "ES256", k.ec},
		{"another kid", []members{jwk(k.ec, members{"kid": "a"})}, "b", "ES256", nil},
		{"kid in another case", []members{jwk(k.ec, members{"kid": "a"})}, "A", "ES256", nil},
		{"an entry without kid has no kid", []members{jwk(k.ec, nil)}, "a", "ES256", nil},
	})
}

// Keycloak publishes a key for encryption and one for signatures under one kid.
func TestKeyAmongEqualIDs(t *testing.T) {
	k := keys()
	checkKeys(t, []keyCase{
		{"Keycloak: enc and sig under one kid", []members{
			jwk(k.rsa, members{"kid": "a", "use": "enc", "alg": "RSA-OAEP"}),
			jwk(k.ec, members{"kid": "a", "use": "sig", "alg": "ES256"}),
		}, "a", "ES256", k.ec},
		{"two algorithms under one kid", []members{
			jwk(k.rsa, members{"kid": "a"}), jwk(k.ec, members{"kid": "a"}),
		}, "a", "ES256", k.ec},
		{"two algorithms under one kid, the other", []members{
			jwk(k.rsa, members{"kid": "a"}), jwk(k.ec, members{"kid": "a"}),
		}, "a", "RS256", k.rsa},
		{"the first of two equal ones", []members{
			jwk(k.ec, members{"kid": "a"}), jwk(k.ec2, members{"kid": "a"}),
		}, "a", "ES256", k.ec},
	})
}

func TestKeyFitsAlgorithm(t *testing.T) {
	k := keys()
	checkKeys(t, []keyCase{
		{"RSA without alg serves PS", []members{jwk(k.rsa, members{"kid": "a"})}, "a", "PS384", k.rsa},
		{"RSA with a curve is RSA", []members{jwk(k.rsa, members{"kid": "a", "crv": "P-256"})}, "a", "RS256", k.rsa},
		{"RSA for RS256 does not", []members{jwk(k.rsa, members{"kid": "a", "alg": "RS256"})}, "a", "PS256", nil},
		{"RSA for encryption does not", []members{jwk(k.rsa, members{"kid": "a", "alg": "RSA-OAEP"}), jwk(k.ec, nil)}, "a", "RS256", nil},
		{"P-256 for ES384", []members{jwk(k.ec, members{"kid": "a"})}, "a", "ES384", nil},
		{"P-384 for ES384", []members{jwk(k.p384, members{"kid": "a"})}, "a", "ES384", k.p384},
		{"EdDSA", []members{jwk(k.ed, members{"kid": "a"})}, "a", "EdDSA", k.ed},
		{"EdDSA under its new name", []members{jwk(k.ed, members{"kid": "a", "alg": "EdDSA"})}, "a", "Ed25519", k.ed},
		{"EdDSA published under its new name", []members{jwk(k.ed, members{"kid": "a", "alg": "Ed25519"})}, "a", "EdDSA", k.ed},
	})
}

func TestKeyIsForSignatures(t *testing.T) {
	k := keys()
	checkKeys(t, []keyCase{
		{"use sig", []members{jwk(k.ec, members{"kid": "a", "use": "sig"})}, "a", "ES256", k.ec},
		{"use enc", []members{jwk(k.ec, members{"kid": "a", "use": "enc"}), jwk(k.ec2, nil)}, "a", "ES256", nil},
		{"use of tomorrow", []members{jwk(k.ec, members{"kid": "a", "use": "attest"}), jwk(k.ec2, nil)}, "a", "ES256", nil},
		{"key_ops with verify", []members{jwk(k.ec, members{"kid": "a", "key_ops": []string{"x", "verify"}})}, "a", "ES256", k.ec},
		{"key_ops without", []members{jwk(k.ec, members{"kid": "a", "key_ops": []string{"sign"}}), jwk(k.ec2, nil)}, "a", "ES256", nil},
		{"key_ops empty", []members{jwk(k.ec, members{"kid": "a", "key_ops": []string{}}), jwk(k.ec2, nil)}, "a", "ES256", nil},
	})
}

func TestMembersNotLookedAt(t *testing.T) {
	k := keys()
	checkKeys(t, []keyCase{
		{"certificates are not looked at", []members{
			jwk(k.ec, members{"kid": "a", "x5t": "AAAA", "x5c": []string{"bm9uc2Vuc2U"}, "x5u": "http://example.com/"}),
		}, "a", "ES256", k.ec},
		{"unknown members are not looked at", []members{jwk(k.ec, members{"kid": "a", "exp": 1, "x": authztest.PublicJWK(k.ec.Public())["x"]})}, "a", "ES256", k.ec},
	})
}

// Without a kid there must be nothing to choose.
func TestKeyWithoutID(t *testing.T) {
	k := keys()
	checkKeys(t, []keyCase{
		{"no kid, one key", []members{jwk(k.ec, members{"kid": "a"})}, "", "ES256", k.ec},
		{"no kid, one key that fits", []members{jwk(k.rsa, members{"kid": "a"}), jwk(k.ec, members{"kid": "b"})}, "", "ES256", k.ec},
		{"no kid, two keys that fit", []members{jwk(k.ec, members{"kid": "a"}), jwk(k.ec2, members{"kid": "b"})}, "", "ES256", nil},
		{"no kid, two keys under one", []members{jwk(k.ec, members{"kid": "a"}), jwk(k.ec2, members{"kid": "a"})}, "", "ES256", nil},
		{"no kid, none fits", []members{jwk(k.rsa, members{"kid": "a"})}, "", "ES256", nil},
	})
}

func TestSecretsAreNoKeys(t *testing.T) {
	k := keys()
	checkKeys(t, []keyCase{
		{"a secret is no key", []members{{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}, jwk(k.ec, nil)}, "a", "HS256", nil},
		{"a public key is no secret", []members{jwk(k.rsa, members{"kid": "a"})}, "a", "HS256", nil},
		{"none", []members{jwk(k.rsa, members{"kid": "a"})}, "a", "none", nil},
	})
}

// One bad entry costs nobody but itself.
func TestEntrySkipped(t *testing.T) {
	k := keys()
	private := jwk(k.ec, members{"kid": "bad"})
	d, err := k.ec.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	private["d"] = d
	entry := func(m members) string {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	tests := map[string]string{
		"not an object":        `"bad"`,
		"null":                 `null`,
		"no kty":               `{"kid":"bad"}`,
		"kty is a number":      `{"kid":"bad","kty":1}`,
		"kid is a number":      entry(jwk(k.ec, members{"kid": 7})),
		"kid is null":          entry(jwk(k.ec, members{"kid": nil})),
		"kid of 513 bytes":     entry(jwk(k.ec, members{"kid": strings.Repeat("k", 513)})),
		"alg is a list":        entry(jwk(k.ec, members{"kid": "bad", "alg": []string{"ES256"}})),
		"use is a list":        entry(jwk(k.ec, members{"kid": "bad", "use": []string{"sig"}})),
		"key_ops is a string":  entry(jwk(k.ec, members{"kid": "bad", "key_ops": "verify"})),
		"off its curve":        entry(jwk(k.ec, members{"kid": "bad", "y": "AQ"})),
		"point of P-384":       strings.Replace(entry(jwk(k.p384, members{"kid": "bad"})), "P-384", "P-256", 1),
		"not base64url":        entry(jwk(k.ec, members{"kid": "bad", "x": "!!!"})),
		"no y":                 `{"kty":"EC","crv":"P-256","kid":"bad","x":"AQ"}`,
		"RSA of 1024 bits":     entry(jwk(k.small, members{"kid": "bad"})),
		"RSA of 16384 bits":    entry(jwk(k.rsa, members{"kid": "bad", "n": strings.Repeat("_", 2731)})),
		"RSA exponent 1":       entry(jwk(k.rsa, members{"kid": "bad", "e": "AQ"})),
		"RSA exponent of 2^64": entry(jwk(k.rsa, members{"kid": "bad", "e": "AQAAAAAAAQAB"})),
		"short Ed25519":        `{"kty":"OKP","crv":"Ed25519","kid":"bad","x":"AQ"}`,
		"a private key":        entry(private),
		"two kids":             strings.Replace(entry(jwk(k.ec, members{"kid": "bad"})), `{`, `{"kid":"good",`, 1),
		"two curves":           strings.Replace(entry(jwk(k.ec, members{"kid": "bad"})), `{`, `{"crv":"P-384",`, 1),
		"invalid UTF-8":        "{\"kid\":\"bad\",\"kty\":\"E\xff\"}",
	}
	good := entry(jwk(k.ec2, members{"kid": "good"}))
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			source := sourceOf(t, []byte(`{"keys":[`+bad+`,`+good+`]}`))
			if key, err := source.Key(t.Context(), "good", "ES256"); err != nil || !equal(key, k.ec2.Public()) {
				t.Errorf("Key of the good entry = %v, %v", key, err)
			}
			for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
				source := sourceOf(t, []byte(`{"keys":[`+bad+`,`+good+`]}`))
				if key, err := source.Key(t.Context(), "bad", alg); reason(err) != jwks.UnknownKey {
					t.Errorf("Key of the bad entry for %s = %v, %v, want %s", alg, key, err, jwks.UnknownKey)
				}
			}
			if n := source.State().Keys; n != 1 {
				t.Errorf("State().Keys = %d, want 1", n)
			}
		})
	}
}

// What a provider publishes beside its signing keys is passed over in silence.
func TestEntryPassedOver(t *testing.T) {
	good := jwk(keys().ec, members{"kid": "good"})
	for name, other := range map[string]members{
		"post-quantum":     {"kty": "AKP", "alg": "ML-DSA-44", "kid": "x", "pub": "AQ"},
		"secp256k1":        {"kty": "EC", "crv": "secp256k1", "kid": "x", "x": "AQ", "y": "AQ"},
		"X25519":           {"kty": "OKP", "crv": "X25519", "kid": "x", "x": "AQ"},
		"RSA with a crv":   jwk(keys().rsa, members{"kid": "x", "crv": "?"}),
		"broken, but enc":  {"kty": "EC", "crv": "P-256", "kid": "x", "use": "enc", "x": "AQ", "y": "AQ"},
		"secret":           {"kty": "oct", "kid": "x", "k": "AQ"},
		"of another world": {"kty": "quantum", "kid": "x"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := json.Marshal(members{"keys": []members{other, good}})
			if err != nil {
				t.Fatal(err)
			}
			source := sourceOf(t, set)
			if key, err := source.Key(t.Context(), "good", "ES256"); err != nil {
				t.Errorf("Key = %v, %v", key, err)
			}
			if key, err := source.Key(t.Context(), "x", "ES256"); reason(err) != jwks.UnknownKey {
				t.Errorf("Key(x) = %v, %v, want %s", key, err, jwks.UnknownKey)
			}
		})
	}
}

func TestSetRefused(t *testing.T) {
	good, err := json.Marshal(jwk(keys().ec, members{"kid": "a"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]string{
		"empty": "", "array": "[" + string(good) + "]", "no keys": `{}`, "keys null": `{"keys":null}`,
		"keys an object": `{"keys":` + string(good) + `}`, "truncated": `{"keys":[` + string(good),
		"encryption alone, and a broken key": `{"keys":[{"kty":"EC","use":"enc"},{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}]}`,
		"513 entries":                        `{"keys":[` + strings.Repeat(string(good)+",", 512) + string(good) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			source := sourceOf(t, []byte(set))
			if key, err := source.Key(t.Context(), "a", "ES256"); reason(err) != jwks.IssuerUnavailable {
				t.Errorf("Key = %v, %v, want %s", key, err, jwks.IssuerUnavailable)
			}
			if source.State().Failure == nil {
				t.Error("State().Failure = nil")
			}
		})
	}
	limit := `{"keys":[` + strings.Repeat(string(good)+",", 511) + string(good) + `]}`
	if _, err := sourceOf(t, []byte(limit)).Key(t.Context(), "a", "ES256"); err != nil {
		t.Errorf("Key of a set with 512 entries: %v", err)
	}
}

func TestSizeLimit(t *testing.T) {
	good, err := json.Marshal(members{"keys": []members{jwk(keys().ec, members{"kid": "a"})}})
	if err != nil {
		t.Fatal(err)
	}
	pad := func(size int) []byte { return append(good, strings.Repeat(" ", size-len(good))...) }
	if _, err := sourceOf(t, pad(1<<20)).Key(t.Context(), "a", "ES256"); err != nil {
		t.Errorf("Key of a set of 1 MiB: %v", err)
	}
	if _, err := sourceOf(t, pad(1<<20+1)).Key(t.Context(), "a", "ES256"); reason(err) != jwks.IssuerUnavailable {
		t.Errorf("Key of a set of 1 MiB and a byte = %v, want %s", err, jwks.IssuerUnavailable)
	}
}

func FuzzJWKS(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("..", "..", "testdata", "token", "jwks", "*.json"))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("seeds: %d, %v", len(seeds), err)
	}
	for _, name := range seeds {
		seed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		source := sourceOf(t, set)
		for _, kid := range []string{"", "a", "main"} {
			for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "HS256", "none", ""} {
				key, err := source.Key(t.Context(), kid, alg)
				if (err == nil) == (key == nil) {
					t.Fatalf("Key(%q, %q) = %v, %v", kid, alg, key, err)
				}
				var e *jwks.Error
				if err != nil && !errors.As(err, &e) {
					t.Fatalf("Key(%q, %q) = %v, want an *Error", kid, alg, err)
				}
				if err == nil && !fits(key, alg) {
					t.Fatalf("Key(%q, %q) = %T, which does not verify it", kid, alg, key)
				}
			}
		}
	})
}

// fits says independently of the package what an algorithm needs.
func fits(key crypto.PublicKey, alg string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return (alg[:2] == "RS" || alg[:2] == "PS") && k.Size() >= 256
	case *ecdsa.PublicKey:
		return alg == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[k.Curve.Params().BitSize]
	case ed25519.PublicKey:
		return alg[:2] == "Ed" && len(k) == ed25519.PublicKeySize
	}
	return false
}
