package token_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// fixedKeys always gives the same answer.
type fixedKeys struct {
	key crypto.PublicKey
	err error
}

func (k fixedKeys) Key(context.Context, string, string) (crypto.PublicKey, error) {
	return k.key, k.err
}

// A keyError has what token.Keys says that an error may have.
type keyError struct {
	reason string
	after  time.Duration
}

func (e keyError) Error() string             { return "no key" }
func (e keyError) KeyReason() string         { return e.reason }
func (e keyError) RetryAfter() time.Duration { return e.after }

// Only unknown_key sends the caller to a login.
func TestErrorOfKeys(t *testing.T) {
	tests := []struct {
		err    error
		fault  token.Fault
		reason string
		after  time.Duration
	}{
		{keyError{"unknown_key", 0}, token.Invalid, token.UnknownKey, 0},
		{keyError{"key_unknown_yet", 7 * time.Second}, token.Ours, token.KeyUnknownYet, 7 * time.Second},
		{keyError{"issuer_unavailable", 3 * time.Second}, token.Ours, token.IssuerUnavailable, 3 * time.Second},
		{keyError{"issuer_unavailable", 0}, token.Ours, token.IssuerUnavailable, time.Second},
		{fmt.Errorf("wrapped: %w", keyError{"unknown_key", 0}), token.Invalid, token.UnknownKey, 0},
		{keyError{"a reason of tomorrow", 0}, token.Ours, token.IssuerUnavailable, time.Second},
		{errors.New("any other"), token.Ours, token.IssuerUnavailable, time.Second},
		{context.DeadlineExceeded, token.Ours, token.IssuerUnavailable, time.Second},
	}
	for _, test := range tests {
		w := newWorld(t, func(corp *token.Issuer) { corp.Keys = fixedKeys{err: test.err} })
		_, err := w.verify(t, w.corp.Mint(nil))
		if err == nil || err.Fault != test.fault || err.Reason != test.reason || err.RetryAfter != test.after {
			t.Errorf("Verify when Key = %v: %+v, want %s after %v", test.err, err, test.reason, test.after)
		}
		if err != nil && !errors.Is(err, test.err) && errors.Unwrap(err) != test.err {
			t.Errorf("Verify when Key = %v: the cause is %v", test.err, errors.Unwrap(err))
		}
	}
	w := newWorld(t, func(corp *token.Issuer) { corp.Keys = fixedKeys{} })
	if got, err := w.verify(t, w.corp.Mint(nil)); err == nil {
		t.Errorf("Verify with no key and no error = %+v", got)
	}
}

// What each fault of an issuer means to a caller, over HTTP.
func TestFaultsOfAnIssuer(t *testing.T) {
	for _, fault := range []authztest.Fault{
		authztest.Down, authztest.Dropped, authztest.Redirects, authztest.Huge, authztest.NotJSON, authztest.AllMalformed,
		authztest.NoKeys, authztest.WrongIssuer, authztest.InsecureKeys, authztest.WithoutKeyURI,
	} {
		w := newWorld(t, nil)
		w.corp.Break(fault)
		if _, err := w.verify(t, w.corp.Mint(nil)); err == nil || err.Reason != token.IssuerUnavailable || err.Fault != token.Ours || err.RetryAfter < time.Second {
			t.Errorf("Verify while the issuer has fault %d = %+v, want %s", fault, err, token.IssuerUnavailable)
		}
		w.accepted(t, w.partner.Mint(nil)) // another issuer's trouble is not its own
		w.corp.Break(authztest.Healthy)
		w.accepted(t, w.corp.Mint(nil))
	}
}

func TestCoolDownReachesTheCaller(t *testing.T) {
	w := newWorld(t, nil)
	var last *token.Error
	for range 4 {
		_, last = w.verify(t, w.corp.Mint(nil, authztest.WithKeyID("nobody")))
	}
	if last == nil || last.Reason != token.KeyUnknownYet || last.Fault != token.Ours || last.RetryAfter != 10*time.Second {
		t.Errorf("Verify of the fourth unknown kid = %+v, want %s after 10 s", last, token.KeyUnknownYet)
	}
	w.accepted(t, w.corp.Mint(nil))
	if n := w.corp.Fetches().Keys; n != 3 {
		t.Errorf("%d fetches, want 3", n)
	}
}

func TestNewRefuses(t *testing.T) {
	ok := token.Issuer{Name: "corp", Issuer: "https://login.example.com/", Keys: fixedKeys{}}
	with := func(change func(*token.Issuer)) token.Config {
		i := ok
		change(&i)
		return token.Config{Issuers: []token.Issuer{i}}
	}
	other := ok
	other.Name = "other"
	tests := map[string]token.Config{
		"no issuers":           {},
		"no name":              with(func(i *token.Issuer) { i.Name = "" }),
		"name with a slash":    with(func(i *token.Issuer) { i.Name = "a/b" }),
		"name in capitals":     with(func(i *token.Issuer) { i.Name = "Corp" }),
		"name with a newline":  with(func(i *token.Issuer) { i.Name = "corp\n" }),
		"no identifier":        with(func(i *token.Issuer) { i.Issuer = "" }),
		"no keys":              with(func(i *token.Issuer) { i.Keys = nil }),
		"HS256":                with(func(i *token.Issuer) { i.Algorithms = []string{"ES256", "HS256"} }),
		"none":                 with(func(i *token.Issuer) { i.Algorithms = []string{"none"} }),
		"empty algorithm":      with(func(i *token.Issuer) { i.Algorithms = []string{""} }),
		"algorithm twice":      with(func(i *token.Issuer) { i.Algorithms = []string{"ES256", "ES256"} }),
		"empty groups claim":   with(func(i *token.Issuer) { i.GroupsClaims = []string{""} }),
		"empty roles claim":    with(func(i *token.Issuer) { i.RolesClaims = []string{""} }),
		"empty required claim": with(func(i *token.Issuer) { i.RequireOneOf = []string{""} }),
		"name twice":           {Issuers: []token.Issuer{ok, ok}},
		"identifier twice":     {Issuers: []token.Issuer{ok, other}},
		"negative leeway":      {Issuers: []token.Issuer{ok}, Leeway: -1},
		"an hour of leeway":    {Issuers: []token.Issuer{ok}, Leeway: time.Hour},
	}
	for name, c := range tests {
		if v, err := token.New(c); err == nil || v != nil {
			t.Errorf("%s: New = %v, %v, want an error", name, v, err)
		}
	}
	if _, err := token.New(token.Config{Issuers: []token.Issuer{ok}}); err != nil {
		t.Errorf("New of the configuration they were made from: %v", err)
	}
}
