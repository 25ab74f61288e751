package token_test

import (
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/token"
)

func TestNewAPIKey(t *testing.T) {
	scanner := regexp.MustCompile(`^cgk_[A-Z2-7]{59}$`)
	seen := map[string]bool{}
	for range 100 {
		key := token.NewAPIKey()
		if !scanner.MatchString(key) || !token.IsAPIKey(key) {
			t.Errorf("NewAPIKey() = %q, want %s", key, scanner)
		}
		if seen[key] {
			t.Errorf("NewAPIKey() = %q a second time", key)
		}
		seen[key] = true
	}
}

func TestKeyHash(t *testing.T) {
	h := token.HashOf(token.NewAPIKey())
	if got, err := token.ParseKeyHash(h.String()); err != nil || got != h {
		t.Errorf("ParseKeyHash(%q) = %v, %v", h, got, err)
	}
	digits := strings.TrimPrefix(h.String(), "sha256:")
	for _, text := range []string{"", "sha256:", digits, "sha512:" + digits, h.String() + "00", h.String()[:70], "sha256:" + strings.Repeat("g", 64), "sha256:" + strings.Repeat("A", 64)} {
		if got, err := token.ParseKeyHash(text); err == nil {
			t.Errorf("ParseKeyHash(%q) = %v, want an error", text, got)
		}
	}
	if _, err := token.ParseKeyHash("cgk_SECRET"); err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("ParseKeyHash of a key = %v, want an error without it", err)
	}
}

// A keyring is a verifier of keys alone, and two keys that it knows.
type keyring struct {
	verifier    *token.Verifier
	bot, tester string
}

func newKeyring(t *testing.T) keyring {
	t.Helper()
	k := keyring{bot: token.NewAPIKey(), tester: token.NewAPIKey()}
	var err error
	k.verifier, err = token.New(token.Config{Now: now, APIKeys: []token.APIKey{
		{Name: "bot", Hash: token.HashOf(k.bot), Groups: []string{"ci", "/a/b"}, Expires: start.Add(time.Nanosecond)},
		{Name: "tester", Hash: token.HashOf(k.tester), Expires: start},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (k keyring) verify(t *testing.T, c token.Credential, accept token.Accept) (token.Claims, *token.Error) {
	t.Helper()
	got, err := k.verifier.Verify(t.Context(), c, accept)
	var refused *token.Error
	if err != nil && !errors.As(err, &refused) {
		t.Fatalf("Verify = %v, want an *Error", err)
	}
	// What a person is shown is what happened.
	in := k.verifier.Inspect(t.Context(), c, accept)
	if diff := cmp.Diff(got, in.Claims); diff != "" || (in.Err == nil) != (refused == nil) || refused != nil && in.Err.Reason != refused.Reason {
		t.Errorf("Inspect found %v, Verify %v: %s", in.Err, refused, diff)
	}
	return got, refused
}

func TestVerifyKey(t *testing.T) {
	k := newKeyring(t)
	accept := token.Accept{Keys: []string{"other", "bot"}}
	for _, header := range []bool{false, true} {
		got, err := k.verify(t, token.Credential{Raw: k.bot, Key: header}, accept)
		if err != nil {
			t.Fatalf("Verify of a key: %v", err)
		}
		want := token.Claims{
			Kind: token.Agent, Issuer: "key", Subject: "bot", Groups: []string{"ci", "/a/b"},
			ID: token.HashOf(k.bot).String()[:23], ExpiresAt: start.Add(time.Nanosecond),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Verify of a key (-want +got):\n%s", diff)
		}
	}
}

func TestRefuseKey(t *testing.T) {
	k := newKeyring(t)
	all := token.Accept{Keys: []string{"bot", "tester"}, Anonymous: true}
	typo := strings.Replace(k.bot, k.bot[10:11], string(next(k.bot[10])), 1)
	tests := []struct {
		name   string
		c      token.Credential
		accept token.Accept
		want   string
	}{
		{"a typing error", token.Credential{Raw: typo}, all, token.MalformedAPIKey},
		{"cut", token.Credential{Raw: k.bot[:len(k.bot)-1]}, all, token.MalformedAPIKey},
		{"longer", token.Credential{Raw: k.bot + "A"}, all, token.MalformedAPIKey},
		{"in lower case", token.Credential{Raw: "cgk_" + strings.ToLower(k.bot[4:])}, all, token.MalformedAPIKey},
		{"the prefix alone", token.Credential{Raw: "cgk_"}, all, token.MalformedAPIKey},
		{"something else in the header", token.Credential{Raw: "secret", Key: true}, all, token.MalformedAPIKey},
		{"its hash", token.Credential{Raw: token.HashOf(k.bot).String(), Key: true}, all, token.MalformedAPIKey},
		{"a key of nobody", token.Credential{Raw: token.NewAPIKey()}, all, token.UnknownAPIKey},
		{"a key of another server", token.Credential{Raw: k.bot}, token.Accept{Keys: []string{"tester"}}, token.APIKeyNotForServer},
		{"a server without keys", token.Credential{Raw: k.bot, Key: true}, token.Accept{Issuers: []string{"key"}, Anonymous: true}, token.APIKeyNotForServer},
		{"expired", token.Credential{Raw: k.tester}, all, token.Expired},
		{"a token, and there are keys alone", token.Credential{Raw: "e30.e30."}, all, token.MissingClaim},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := k.verify(t, test.c, test.accept)
			if err == nil {
				t.Fatalf("Verify = %+v, want %s", got, test.want)
			}
			if err.Reason != test.want || err.Fault != token.Invalid {
				t.Errorf("Verify = %v (fault %d), want %s", err, err.Fault, test.want)
			}
			if got.Kind != token.Nobody {
				t.Errorf("Verify = %+v beside an error", got)
			}
			if strings.Contains(err.Error()+err.Presented, test.c.Raw[:min(4, len(test.c.Raw))]) {
				t.Errorf("Verify = %v, presented %q: holds a part of the key", err, err.Presented)
			}
		})
	}
}

// next returns another character of the alphabet of keys.
func next(c byte) byte {
	if c == 'A' {
		return 'B'
	}
	return 'A'
}

// A caller without a credential is anonymous where the server says so, and only
// then; a bad credential is never taken for none.
func TestAnonymous(t *testing.T) {
	k := newKeyring(t)
	if got, err := k.verify(t, token.Credential{}, token.Accept{}); err == nil || err.Reason != token.NoCredential || err.Fault != token.Missing {
		t.Errorf("Verify of nothing = %+v, %v, want %s", got, err, token.NoCredential)
	}
	anonymous := token.Accept{Keys: []string{"bot"}, Anonymous: true}
	got, err := k.verify(t, token.Credential{}, anonymous)
	if diff := cmp.Diff(token.Claims{Kind: token.Anonymous}, got); diff != "" || err != nil {
		t.Errorf("Verify of nothing, which is accepted: %v (-want +got):\n%s", err, diff)
	}
	for _, raw := range []string{"x", ".", "cgk_", token.NewAPIKey(), k.tester} {
		if got, err := k.verify(t, token.Credential{Raw: raw}, anonymous); err == nil || got.Kind != token.Nobody {
			t.Errorf("Verify(%q) = %+v, %v, want an error", raw, got, err)
		}
	}
}

func TestParseCredential(t *testing.T) {
	tests := []struct {
		name          string
		authorization []string
		key           []string
		want          token.Credential
		is            string
	}{
		{"neither", nil, nil, token.Credential{}, token.NoCredential},
		{"both empty", []string{""}, []string{" "}, token.Credential{}, token.NoCredential},
		{"bearer", []string{"Bearer a"}, nil, token.Credential{Raw: "a"}, ""},
		{"bearer, and an empty key", []string{"Bearer a"}, []string{" \t"}, token.Credential{Raw: "a"}, ""},
		{"key", nil, []string{" cgk_A "}, token.Credential{Raw: "cgk_A", Key: true}, ""},
		{"key, and a bearer of nothing", []string{"Bearer "}, []string{"b"}, token.Credential{Raw: "b", Key: true}, ""},
		{"both", []string{"Bearer a"}, []string{"a"}, token.Credential{}, token.MalformedCredential},
		{"a key beside another scheme", []string{"Basic YTpi"}, []string{"a"}, token.Credential{}, token.MalformedCredential},
		{"an unreadable key beside a token", []string{"Bearer a"}, []string{"a b"}, token.Credential{}, token.MalformedCredential},
		{"two keys", nil, []string{"a", "a"}, token.Credential{}, token.MalformedCredential},
		{"two keys joined", nil, []string{"a,a"}, token.Credential{}, token.MalformedCredential},
		{"a scheme before the key", nil, []string{"Bearer a"}, token.Credential{}, token.MalformedCredential},
		{"not ASCII", nil, []string{"é"}, token.Credential{}, token.MalformedCredential},
		{"long", nil, []string{strings.Repeat("a", 21)}, token.Credential{}, token.TokenLimit},
		{"at the limit", nil, []string{strings.Repeat("a", 20)}, token.Credential{Raw: strings.Repeat("a", 20), Key: true}, ""},
		{"a bad bearer", []string{"Bearer a b"}, nil, token.Credential{}, token.MalformedCredential},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := token.ParseCredential(test.authorization, test.key, 20)
			reason := ""
			if err != nil {
				reason = err.Reason
			}
			if !reflect.DeepEqual(got, test.want) || reason != test.is {
				t.Errorf("ParseCredential(%q, %q) = %+v, %v, want %+v, %q", test.authorization, test.key, got, err, test.want, test.is)
			}
		})
	}
}

func TestNewRefusesKeys(t *testing.T) {
	hash := token.HashOf("x")
	for name, keys := range map[string][]token.APIKey{
		"none":              nil,
		"no name":           {{Hash: hash}},
		"a name with slash": {{Name: "a/b", Hash: hash}},
		"no hash":           {{Name: "a"}},
		"one name twice":    {{Name: "a", Hash: hash}, {Name: "a", Hash: token.HashOf("y")}},
		"one hash twice":    {{Name: "a", Hash: hash}, {Name: "b", Hash: hash}},
		"an empty group":    {{Name: "a", Hash: hash, Groups: []string{""}}},
	} {
		if v, err := token.New(token.Config{APIKeys: keys}); err == nil {
			t.Errorf("%s: New = %v, want an error", name, v)
		}
	}
	issuer := token.Issuer{Name: "key", Issuer: "https://login.example.com/", Keys: fixedKeys{}}
	if _, err := token.New(token.Config{Issuers: []token.Issuer{issuer}}); err != nil {
		t.Errorf("New with an issuer called key, and no keys: %v", err)
	}
	keys := []token.APIKey{{Name: "a", Hash: hash}}
	if v, err := token.New(token.Config{Issuers: []token.Issuer{issuer}, APIKeys: keys}); err == nil {
		t.Errorf("New with an issuer called key, and keys = %v, want an error", v)
	}
}
