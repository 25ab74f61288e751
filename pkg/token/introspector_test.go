package token_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/token"
)

// Whatever keeps an issuer from answering is never the caller's fault; and it
// does not outlast itself.
func TestFaultsOfAnEndpoint(t *testing.T) {
	for _, fault := range []authztest.Fault{authztest.Down, authztest.Dropped, authztest.Redirects, authztest.Huge, authztest.NotJSON} {
		w, c := opaqueWorld(t, nil)
		raw := w.corp.MintOpaque(nil)
		w.corp.Break(fault)
		w.refusedAs(t, raw, token.IssuerUnavailable, token.Ours)
		asked := w.corp.Fetches().Asked
		w.refusedAs(t, raw, token.IssuerUnavailable, token.Ours)
		if n := w.corp.Fetches().Asked; n != asked {
			t.Errorf("fault %d: asked again at once", fault)
		}
		// Another issuer's trouble is not its own, but nobody can say that its
		// tokens are not active.
		w.accepted(t, w.partner.MintOpaque(nil))
		w.refusedAs(t, "random", token.IssuerUnavailable, token.Ours)
		w.corp.Break(authztest.Healthy)
		c.forward(time.Second)
		w.accepted(t, raw)
		w.refusedAs(t, "random", token.InactiveToken, token.Invalid)
	}
}

// Answers that are none.
func TestBadAnswers(t *testing.T) {
	for _, test := range []struct {
		status      int
		media, body string
	}{
		{200, "application/json", `{}`},
		{200, "application/json", `{"active":"true"}`},
		{200, "application/json", `{"active":1}`},
		{200, "application/json", `{"active":null}`},
		{200, "application/json", `{"active":true,"active":false}`},
		{200, "application/json", `{"active":false} x`},
		{200, "application/json", `[{"active":true}]`},
		{200, "application/json", ``},
		{200, "application/token-introspection+jwt", `{"active":true}`},
		{200, "text/html", `{"active":false}`},
		{201, "application/json", `{"active":true}`},
		{400, "application/json", `{"active":false}`},
		{401, "application/json", `{"error":"invalid_client"}`},
		{403, "application/json", `{}`},
		{500, "application/json", `{"active":false}`},
	} {
		w, _ := opaqueWorld(t, func(corp *token.Issuer) {
			corp.Introspection.Transport = transport(func(*http.Request) (*http.Response, error) {
				answer := httptest.NewRecorder()
				answer.Header().Set("Content-Type", test.media)
				answer.WriteHeader(test.status)
				answer.WriteString(test.body)
				return answer.Result(), nil
			})
		})
		w.accept.Issuers = []string{"corp"}
		if _, err := w.verify(t, "opaque"); err == nil || err.Reason != token.IssuerUnavailable {
			t.Errorf("Verify when the issuer answers %d %s %q = %v, want %s", test.status, test.media, test.body, err, token.IssuerUnavailable)
		}
	}
}

// Where a redirect leads was never configured: neither the token nor the secret
// goes there.
func TestEndpointThatRedirects(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		asked := 0
		w, _ := opaqueWorld(t, func(corp *token.Issuer) {
			corp.Introspection.Transport = transport(func(*http.Request) (*http.Response, error) {
				asked++
				answer := httptest.NewRecorder()
				answer.Header().Set("Location", "https://evil.example/")
				answer.WriteHeader(status)
				return answer.Result(), nil
			})
		})
		w.accept.Issuers = []string{"corp"}
		w.refusedAs(t, "opaque", token.IssuerUnavailable, token.Ours)
		if asked != 1 {
			t.Errorf("%d: %d requests, want 1", status, asked)
		}
	}
}

// transport is an http.RoundTripper.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A token that is not active anywhere is 401; only issuers of the server are
// asked, and only about what can be an opaque token.
func TestInactiveToken(t *testing.T) {
	w, _ := opaqueWorld(t, nil)
	w.refusedAs(t, "never-seen", token.InactiveToken, token.Invalid)
	raw := w.partner.MintOpaque(nil)
	if got := w.accepted(t, raw); got.Issuer != "partner" {
		t.Errorf("Verify = %+v, want a caller of partner", got)
	}
	w.accept.Issuers = []string{"corp"}
	w.refusedAs(t, raw, token.InactiveToken, token.Invalid)
	asked := w.corp.Fetches().Asked
	w.refusedAs(t, "a.b.c", token.MalformedToken, token.Invalid)
	w.refusedAs(t, "cgk_x", token.MalformedAPIKey, token.Invalid)
	if _, err := w.verify(t, strings.Repeat("x", token.MaxLimit+1)); err == nil || err.Reason != token.TokenLimit {
		t.Errorf("Verify of a token that is too long = %v, want %s", err, token.TokenLimit)
	}
	if n := w.corp.Fetches().Asked; n != asked {
		t.Errorf("corp was asked %d times about what is no opaque token", n-asked)
	}
	w.accept.Issuers = nil
	w.refusedAs(t, raw, token.MalformedToken, token.Invalid)
}

// Answers are used until exp or the cap, whichever is first: so long a token
// that was revoked is accepted, and no longer.
func TestAnswersAreRemembered(t *testing.T) {
	tests := []struct {
		why    string
		cache  time.Duration
		claims claims
		good   time.Duration // how long an answer is used
	}{
		{"the cap", time.Minute, nil, time.Minute},
		{"exp", time.Minute, claims{"exp": start.Add(20 * time.Second).Unix()}, 20 * time.Second},
		{"no exp", 30 * time.Second, claims{"exp": authztest.Absent}, 30 * time.Second},
	}
	for _, test := range tests {
		w, c := opaqueWorld(t, func(corp *token.Issuer) { corp.Introspection.Cache = test.cache })
		raw := w.corp.MintOpaque(test.claims)
		w.accepted(t, raw)
		w.corp.Revoke(raw)
		c.forward(test.good - time.Second)
		w.accepted(t, raw)
		if n := w.corp.Fetches().Asked; n != 1 {
			t.Errorf("%s: asked %d times, want once", test.why, n)
		}
		c.forward(time.Second)
		w.refusedAs(t, raw, token.InactiveToken, token.Invalid)
	}
	w, _ := opaqueWorld(t, func(corp *token.Issuer) { corp.Introspection.Cache = 0 })
	raw := w.corp.MintOpaque(nil)
	w.accepted(t, raw)
	w.corp.Revoke(raw)
	for range 2 {
		w.refusedAs(t, raw, token.InactiveToken, token.Invalid)
	}
	if n := w.corp.Fetches().Asked; n != 3 {
		t.Errorf("asked %d times without a cache, want 3", n)
	}
}

// A token that is not active any more is counted like any other, and so is one
// that an issuer calls active after its end.
func TestKnownTokensEnd(t *testing.T) {
	w, c := opaqueWorld(t, nil)
	w.accept.Issuers = []string{"corp"}
	revoked := w.corp.MintOpaque(nil)
	w.accepted(t, revoked)
	w.corp.Revoke(revoked)
	c.forward(time.Minute)
	w.refusedAs(t, revoked, token.InactiveToken, token.Invalid)
	c.forward(10 * time.Second)
	over := w.corp.MintOpaque(claims{"exp": c.now().Unix()}) // within the leeway
	for range 50 {
		w.accepted(t, over)
	}
	w.refusedAs(t, over, token.IssuerUnavailable, token.Ours)
	w.refusedAs(t, revoked, token.IssuerUnavailable, token.Ours)
}

// That a token is not active is remembered for ten seconds.
func TestInactiveIsRemembered(t *testing.T) {
	w, c := opaqueWorld(t, nil)
	for range 3 {
		w.refusedAs(t, "random", token.InactiveToken, token.Invalid)
	}
	if n := w.corp.Fetches().Asked; n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	c.forward(10 * time.Second)
	w.refusedAs(t, "random", token.InactiveToken, token.Invalid)
	if n := w.corp.Fetches().Asked; n != 2 {
		t.Errorf("asked %d times, want twice", n)
	}
}

// A flood of random tokens costs the issuer 50 requests, then 10 a second, and
// takes nothing from whoever is known, or has a token that is active.
func TestFloodOfRandomTokens(t *testing.T) {
	w, c := opaqueWorld(t, nil)
	w.accept.Issuers = []string{"corp"}
	known := w.corp.MintOpaque(nil)
	for range 100 { // good ones cost nothing
		w.accepted(t, w.corp.MintOpaque(nil))
	}
	w.accepted(t, known)
	before := w.corp.Fetches().Asked
	flood := func() (refused int) {
		for i := range 200 {
			if _, err := w.verify(t, fmt.Sprint("random-", c.now().UnixNano(), i)); err.Reason == token.IssuerUnavailable {
				refused++
			}
		}
		return refused
	}
	if refused := flood(); refused != 150 {
		t.Errorf("%d of 200 random tokens were not asked about, want 150", refused)
	}
	c.forward(time.Minute - time.Second)
	w.accepted(t, known)
	flood()
	c.forward(time.Second)
	if refused := flood(); refused != 190 {
		t.Errorf("%d of 200 random tokens were not asked about a second later, want 190", refused)
	}
	w.accepted(t, known) // asked again, a minute is over
	w.refusedAs(t, w.corp.MintOpaque(nil), token.IssuerUnavailable, token.Ours)
	if n := w.corp.Fetches().Asked - before; n != 50+50+10+1 {
		t.Errorf("the issuer was asked %d times, want 111", n)
	}
}

// Callers with one token share one question; who cannot wait is told so in
// time, and the answer is there when they come again.
func TestSlowEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answered, asked := make(chan struct{}), 0
		issuer := token.Issuer{Name: "corp", Issuer: "https://login.example.com/", Keys: fixedKeys{}, Introspection: &token.Introspection{
			Endpoint: "https://login.example.com/introspect", ClientID: "gate", Secret: "s", Cache: time.Minute,
			Transport: transport(func(r *http.Request) (*http.Response, error) {
				asked++
				select {
				case <-answered:
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
				answer := httptest.NewRecorder()
				answer.Header().Set("Content-Type", "application/json;charset=UTF-8")
				answer.WriteString(`{"active":true,"token_type":"Bearer","sub":"alice","aud":"` + resource + `"}`)
				return answer.Result(), nil
			}),
		}}
		v, err := token.New(token.Config{Issuers: []token.Issuer{issuer}})
		if err != nil {
			t.Fatal(err)
		}
		accept := token.Accept{Issuers: []string{"corp"}, Audiences: []string{resource}}
		verify := func(patience time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := v.Verify(ctx, token.Credential{Raw: "opaque"}, accept)
			if ctx.Err() != nil {
				t.Errorf("Verify took all of %v", patience)
			}
			return err
		}
		unavailable := func(err error) bool {
			e, ok := errors.AsType[*token.Error](err)
			return ok && e.Reason == token.IssuerUnavailable && e.RetryAfter == time.Second
		}
		var all sync.WaitGroup
		impatient := func() {
			if err := verify(time.Second); !unavailable(err) {
				t.Errorf("Verify of an impatient caller = %v, want %s", err, token.IssuerUnavailable)
			}
		}
		all.Go(impatient)
		synctest.Wait() // the question is that of a caller who goes
		for range 5 {
			all.Go(impatient)
			all.Go(func() {
				if err := verify(time.Minute); err != nil {
					t.Errorf("Verify of a patient caller = %v, want nil", err)
				}
			})
		}
		time.AfterFunc(3*time.Second, func() { close(answered) })
		all.Wait()
		if err := verify(time.Second); err != nil || asked != 1 {
			t.Errorf("Verify after the answer = %v, asked %d times, want nil and once", err, asked)
		}
		answered = make(chan struct{})
		<-time.After(2 * time.Minute) // of the bubble
		began := time.Now()
		if err := verify(time.Hour); !unavailable(err) || time.Since(began) != 5*time.Second {
			t.Errorf("Verify when there is never an answer = %v after %v, want %s after 5 s", err, time.Since(began), token.IssuerUnavailable)
		}
	})
}

// A token about which the issuer was asked a moment ago: its answer is read each
// time.
func BenchmarkTokenOpaque(b *testing.B) {
	w, _ := opaqueWorld(b, func(corp *token.Issuer) { corp.GroupsClaims = []string{"groups"} })
	c := token.Credential{Raw: w.corp.MintOpaque(claims{"scope": "read write", "groups": []string{"/eng/platform", "oncall"}})}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.verifier.Verify(ctx, c, w.accept); err != nil {
			b.Fatal(err)
		}
	}
}
