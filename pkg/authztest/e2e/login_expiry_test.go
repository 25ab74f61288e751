package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// leeway is what Cedargate forgives. An issuer whose clock is behind by as much
// issues tokens that end when they say they do.
const leeway = 30 * time.Second

// keyOf is the id of the key that a token was signed with.
func keyOf(t *testing.T, token string) string {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Kid string }
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

// usesUntil calls a tool again and again, each time without an error, until
// done says so.
func usesUntil(t *testing.T, v visitor, done func() bool) {
	t.Helper()
	ctx := soon(t)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if err := use(ctx, v.session, "read_file"); err != nil {
			t.Fatalf("read_file in mid-session: %v, want nil", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it did not happen: %v", ctx.Err())
		}
	}
	if err := use(ctx, v.session, "read_file"); err != nil {
		t.Errorf("read_file afterwards: %v, want nil", err)
	}
}

// A token ends while its session is open. The client has fetched another one by
// its refresh token before, and the session goes on.
func TestLoginThatIsRefreshed(t *testing.T) {
	t.Parallel()
	// The client takes a token for used up ten seconds before its end.
	o := openOffice(t, "oidc-provider", oidcProvider(t, stack.OIDCProviderConfig{TokenTTL: 11 * time.Second, Behind: leeway}))
	for _, era := range eras {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			v := o.mustVisit(t, era, stack.Browser{}, dynamic())
			session, first := v.session.ID(), v.used()[0]
			usesUntil(t, v, func() bool { return len(v.used()) > 1 })
			if v.count("POST issuer/reg 201") != 1 {
				t.Error("the client signed in anew, want that it used its refresh token")
			}
			usesUntil(t, v, func() bool { return o.refuses(t, first) })
			if v.session.ID() != session || v.count("POST gate/mcp 401") != 1 {
				t.Errorf("session %q, %d challenges, want %q and only the first challenge", v.session.ID(), v.count("POST gate/mcp 401"), session)
			}
			if _, err := o.cedargate.WaitRecord(soon(t), func(r map[string]any) bool {
				return r["user_agent"] == "refused" && r["reason"] == "expired"
			}); err != nil {
				t.Errorf("no record of an expired token: %v", err)
			}
		})
	}
}

// refuses tells whether a token is no longer good.
func (o office) refuses(t *testing.T, token string) bool {
	t.Helper()
	got := post(t, o.envoy.URL("/mcp"), token, "refused", `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	return got.status == 401 && strings.Contains(got.header.Get("www-authenticate"), `error="invalid_token"`)
}

// A client that has no refresh token gets a challenge in mid-session, signs in
// anew and repeats the call: the session goes on all the same.
func TestLoginAgainInMidSession(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "oidc-provider", oidcProvider(t, stack.OIDCProviderConfig{TokenTTL: 5 * time.Second, Behind: leeway}))
	for _, era := range eras {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			client := preregistered()
			client.NewTokenSource = func(_ context.Context, _ *oauth2.Config, token *oauth2.Token) (oauth2.TokenSource, error) {
				return oauth2.StaticTokenSource(token), nil
			}
			v := o.mustVisit(t, era, stack.Browser{}, client)
			session := v.session.ID()
			usesUntil(t, v, func() bool { return len(v.used()) > 1 })
			// On a slow machine it can be more than the two.
			if got, want := v.count("POST gate/mcp 401"), len(v.used()); v.session.ID() != session || got != want {
				t.Errorf("session %q, %d challenges, want %q and one for each of %d tokens", v.session.ID(), got, session, want)
			}
		})
	}
}
