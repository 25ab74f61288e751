package authz_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

func TestInvariant01ZeroValuesDeny(t *testing.T) {
	if (authz.Result{}).Allowed || (policy.Decision{}).Allowed {
		t.Error("a zero decision allows")
	}
	if d := new(policy.Set).Decide(policy.Request{}); d.Allowed {
		t.Errorf("the zero Set: Decide = %+v, want a denial", d)
	}
	e, _ := engineWith(t, permitAll, func(c *authz.Config) {
		c.Tokens = verifierFunc(func(context.Context, token.Credential, token.Accept) (token.Claims, error) {
			return token.Claims{}, nil
		})
	})
	if got := e.Check(t.Context(), toolCall()); got.Allowed || got.Status != http.StatusServiceUnavailable {
		t.Errorf("Check with zero claims = %+v, want 503", got)
	}
	if got := e.Check(t.Context(), authz.Request{}); got.Allowed || got.Status != http.StatusForbidden {
		t.Errorf("Check of the zero Request = %+v, want 403", got)
	}
}

func TestInvariant02RecordedExactlyOnce(t *testing.T) {
	unknown := toolCall()
	unknown.Path = "/other"
	batch := toolCall()
	batch.HTTP.Body = []byte("[]")
	batch.HTTP.Size = 2
	metadata := asking(toolCall(), http.MethodGet)
	metadata.Path = "/.well-known/oauth-protected-resource/mcp"
	tests := []struct {
		row    int
		r      authz.Request
		status int
		event  string
	}{
		{1, metadata, 200, "metadata"},
		{2, unknown, 403, "unrouted"},
		{3, asking(toolCall(), http.MethodOptions), 405, "protocol_error"},
		{4, without(toolCall(), "authorization"), 401, "authentication_failed"},
		{5, with(toolCall(), "authorization", "Bearer two"), 400, "authentication_failed"},
		{6, with(without(toolCall(), "authorization"), "authorization", "Bearer bad"), 401, "authentication_failed"},
		{7, with(without(toolCall(), "authorization"), "authorization", "Bearer panic"), 503, "failure"},
		{8, batch, 400, "protocol_error"},
		{10, call("tools/call", `{"name":"forbidden"}`), 403, "tool_call"},
		{11, toolCall(), 200, "tool_call"},
		{11, call("tools/list", `{}`), 200, "request"},
	}
	forbidden := permitAll + `forbid (principal, action, resource == MCP::Tool::"github/forbidden");`
	verify := verifierFunc(func(ctx context.Context, c token.Credential, accept token.Accept) (token.Claims, error) {
		if c.Raw == "panic" {
			panic("as the test wants it")
		}
		return alice(ctx, c, accept)
	})
	for _, broken := range []error{nil, errors.New("disk full")} {
		for _, test := range tests {
			t.Run(fmt.Sprintf("row %d %s, recorder %v", test.row, test.event, broken), func(t *testing.T) {
				e, records := engineWith(t, forbidden, func(c *authz.Config) { c.Tokens = verify })
				records.fail = broken
				got := e.Check(t.Context(), test.r)
				all := records.all()
				if len(all) != 1 || all[0].Event != test.event || all[0].Status != test.status {
					t.Fatalf("records = %+v, want one %s with status %d", all, test.event, test.status)
				}
				grants := all[0].Decision == "allow"
				switch {
				case broken != nil && grants && (got.Allowed || got.Status != 503 || reason(t, got) != "audit_unavailable"):
					t.Errorf("Check = %+v: granted without a record", got)
				case !(broken != nil && grants) && got.Status != test.status:
					t.Errorf("Check = %d, want %d", got.Status, test.status)
				case got.Allowed != (broken == nil && test.row == 11):
					t.Errorf("Allowed = %v in row %d with recorder error %v", got.Allowed, test.row, broken)
				}
			})
		}
	}
}

// A recorder that takes its time: it returns when the context ends.
type slowRecorder struct{ memory }

func (s *slowRecorder) Record(ctx context.Context, r audit.Record) error {
	_ = s.memory.Record(ctx, r)
	<-ctx.Done()
	return ctx.Err()
}

// A recorder that only just makes it.
type lateRecorder struct{ memory }

func (s *lateRecorder) Record(ctx context.Context, r audit.Record) error {
	if r.Decision == "allow" {
		<-ctx.Done()
	}
	return s.memory.Record(ctx, r)
}

func TestInvariant04Deadline(t *testing.T) {
	slow := verifierFunc(func(ctx context.Context, _ token.Credential, _ token.Accept) (token.Claims, error) {
		<-ctx.Done()
		return token.Claims{}, &token.Error{Reason: "issuer_unavailable", Err: ctx.Err()}
	})
	tests := []struct {
		why    string
		budget time.Duration // 0: the caller names no deadline
		change func(*authz.Config)
		within time.Duration
	}{
		{"a quarter of a short time is kept", 200 * time.Millisecond, func(c *authz.Config) { c.Tokens = slow }, 150 * time.Millisecond},
		{"at most 100 ms are kept", 2 * time.Second, func(c *authz.Config) { c.Tokens = slow }, 1900 * time.Millisecond},
		{"without a deadline it is a second", 0, func(c *authz.Config) { c.Tokens = slow }, time.Second},
		{"a record that is not written", 200 * time.Millisecond, func(c *authz.Config) { c.Records = &slowRecorder{} }, 150 * time.Millisecond},
		{"a record written too late", 200 * time.Millisecond, func(c *authz.Config) { c.Records = &lateRecorder{} }, 150 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if test.budget > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.budget)
					defer cancel()
				}
				e, _ := engineWith(t, permitAll, test.change)
				start := time.Now()
				got := e.Check(ctx, toolCall())
				took := time.Since(start)
				if got.Allowed || got.Status != http.StatusServiceUnavailable || reason(t, got) != "deadline" {
					t.Errorf("Check = %d %s, want 503 deadline", got.Status, got.Body)
				}
				if slack := 20 * time.Millisecond; took > test.within+slack {
					t.Errorf("Check took %v, want %v", took, test.within)
				}
			})
		})
	}
	t.Run("a context that is done", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		e, records := engineWith(t, permitAll, nil)
		if got := e.Check(ctx, toolCall()); got.Allowed || reason(t, got) != "deadline" {
			t.Errorf("Check = %s, want deadline", got.Body)
		}
		if n := len(records.all()); n != 1 {
			t.Errorf("%d records, want 1", n)
		}
	})
	t.Run("the late allow is taken back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			late := &lateRecorder{}
			e, _ := engineWith(t, permitAll, func(c *authz.Config) { c.Records = late })
			e.Check(t.Context(), toolCall())
			all := late.all()
			if len(all) != 2 || all[0].Decision != "allow" || all[1].Event != "failure" || all[0].DecisionID != all[1].DecisionID {
				t.Errorf("records = %+v, want the allow and its failure", all)
			}
		})
	})
}

// What two parsers could read as two calls is refused before any policy is
// asked. pkg/mcp has the table of all such texts.
func TestInvariant05OneStrictReading(t *testing.T) {
	e, records := engineWith(t, permitAll, nil)
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","name":"delete"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","Name":"delete"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}{}`,
		`[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}]`,
		"\xef\xbb\xbf" + `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read\ud800"}}`,
	} {
		r := toolCall()
		r.HTTP.Body, r.HTTP.Size = []byte(body), int64(len(body))
		if got := e.Check(t.Context(), r); got.Allowed || got.Status != http.StatusBadRequest {
			t.Errorf("Check of %q = %d, want 400", body, got.Status)
		}
	}
	for _, r := range records.all() {
		if len(r.Questions) > 0 {
			t.Errorf("policies were asked: %+v", r)
		}
	}
}

func TestInvariant06CallerChoosesNothing(t *testing.T) {
	e, _ := engineWith(t, permitAll, nil)
	evil := without(toolCall(), "authorization")
	evil.Host, evil.Server, evil.Named = "evil.example", "github", true
	evil.Path = "/mcp?resource_metadata=evil.example"
	evil = with(with(evil, "x-forwarded-host", "evil.example"), "x-forwarded-proto", "gopher")
	got := e.Check(t.Context(), evil)
	if got.Status != http.StatusUnauthorized {
		t.Fatalf("Check = %d, want 401", got.Status)
	}
	if answer := fmt.Sprint(got.Header, string(got.Body)); strings.Contains(answer, "evil") || strings.Contains(answer, "gopher") {
		t.Errorf("the answer has words of the request: %s", answer)
	}
	evil.Named = false
	if got := e.Check(t.Context(), evil); got.Status != http.StatusForbidden {
		t.Errorf("Check at another host = %d, want 403", got.Status)
	}

	short := toolCall()
	short.HTTP.Size++
	tests := []struct {
		why    string
		r      authz.Request
		status int
	}{
		{"a header that names another tool", with(toolCall(), "mcp-name", "read"), 400},
		{"a header that names another method", with(toolCall(), "mcp-method", "tools/list"), 400},
		{"a truncated body", with(toolCall(), "x-envoy-auth-partial-body", "true"), 413},
		{"a body shorter than the proxy received", short, 413},
		{"an encoded body", with(toolCall(), "content-encoding", "gzip"), 415},
		{"no body", asking(toolCall(), http.MethodPost), 400},
		{"a body that is not forwarded", with(asking(toolCall(), http.MethodPost), "content-length", "9"), 503},
	}
	for _, test := range tests {
		if got := e.Check(t.Context(), test.r); got.Allowed || got.Status != test.status {
			t.Errorf("%s: Check = %d %s, want %d", test.why, got.Status, got.Body, test.status)
		}
	}
}

// keysOf gives the keys of issuers without a network.
type keysOf struct {
	issuer *authztest.Issuer
	asked  *int
}

func (k keysOf) Key(_ context.Context, _, alg string) (crypto.PublicKey, error) {
	*k.asked++
	return k.issuer.PublicKey(alg), nil
}

// realTokens verifies tokens of two issuers, both known to it, of which the
// server takes one; asked counts how often a key was wanted.
func realTokens(t *testing.T) (corp, partner *authztest.Issuer, tokens *token.Verifier, asked *int) {
	t.Helper()
	asked = new(int)
	issuer := func() *authztest.Issuer {
		i, err := authztest.NewIssuer(authztest.IssuerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { i.Close() })
		return i
	}
	corp, partner = issuer(), issuer()
	tokens, err := token.New(token.Config{Issuers: []token.Issuer{
		{Name: "corp", Issuer: corp.URL(), Algorithms: []string{"ES256"}, Keys: keysOf{corp, asked}},
		{Name: "partner", Issuer: partner.URL(), Algorithms: []string{"ES256"}, Keys: keysOf{partner, asked}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return corp, partner, tokens, asked
}

func TestInvariant07TokenForThisServer(t *testing.T) {
	corp, partner, tokens, _ := realTokens(t)
	e, _ := engineWith(t, permitAll, func(c *authz.Config) { c.Tokens = tokens })
	as := func(raw string) authz.Request {
		return with(without(toolCall(), "authorization"), "authorization", "Bearer "+raw)
	}
	tests := []struct {
		why    string
		raw    string
		reason string // "" is allowed
	}{
		{"its issuer, its audience", corp.Mint(nil), ""},
		{"another server's token", corp.Mint(map[string]any{"aud": "https://mcp.example.com/other"}), "audience_mismatch"},
		{"an issuer that the server does not take", partner.Mint(nil), "issuer_not_for_server"},
		{"one issuer's key under another's name", partner.Mint(map[string]any{"iss": corp.URL()}), "bad_signature"},
		{"an issuer that nobody knows", corp.Mint(map[string]any{"iss": "https://evil.example/"}), "unknown_issuer"},
		{"no signature", corp.Mint(nil, authztest.Unsigned()), "algorithm"},
		{"the public key as a secret", corp.Mint(nil, authztest.Confused()), "algorithm"},
		{"another key", corp.Mint(nil, authztest.Forged()), "bad_signature"},
	}
	for _, test := range tests {
		got := e.Check(t.Context(), as(test.raw))
		if got.Allowed != (test.reason == "") || !got.Allowed && (got.Status != 401 || reason(t, got) != test.reason) {
			t.Errorf("%s: Check = %d %s, want %s", test.why, got.Status, got.Body, test.reason)
		}
	}

	// The same sub at two issuers is two principals.
	both, records := engineWith(t, permitAll, func(c *authz.Config) {
		c.Tokens = tokens
		c.Servers[0].Issuers = []string{"corp", "partner"}
	})
	both.Check(t.Context(), as(corp.Mint(nil)))
	both.Check(t.Context(), as(partner.Mint(nil)))
	if all := records.all(); all[0].Principal != "User/corp/alice" || all[1].Principal != "User/partner/alice" {
		t.Errorf("principals %q and %q, want User/corp/alice and User/partner/alice", all[0].Principal, all[1].Principal)
	}
}

func TestInvariant08NoTokenAnywhere(t *testing.T) {
	corp, _, tokens, _ := realTokens(t)
	var log bytes.Buffer
	e, records := engineWith(t, permitAll, func(c *authz.Config) {
		c.Tokens = tokens
		c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	var seen strings.Builder
	for _, raw := range []string{
		corp.Mint(nil), corp.Mint(map[string]any{"aud": "x"}), corp.Mint(nil, authztest.Forged()),
		corp.Mint(nil, authztest.WithKeyID("none")), corp.Mint(nil) + " x", corp.Mint(nil) + ",Bearer b",
	} {
		r := with(without(toolCall(), "authorization"), "authorization", "Bearer "+raw)
		r.Path += "?access_token=" + raw
		got := e.Check(t.Context(), r)
		if got.Allowed && fmt.Sprint(got.Remove) != "[authorization]" {
			t.Errorf("Remove = %v, want [authorization]", got.Remove)
		}
		fmt.Fprint(&seen, got, log.String())
		for _, record := range records.all() {
			line, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}
			seen.Write(line)
		}
		for _, part := range strings.Split(raw, ".") {
			if strings.Contains(seen.String(), part) {
				t.Fatalf("a part of the token %q is in what left: %s", part, seen.String())
			}
		}
	}

	forward, _ := engineWith(t, permitAll, func(c *authz.Config) { c.Servers[0].ForwardToken = true })
	spoofed := with(with(with(toolCall(), "x-cedargate-principal", "User/corp/root"), "x_cedargate_principal", "root"), "x-cedargate-admin", "1")
	got := forward.Check(t.Context(), spoofed)
	if want := "[x_cedargate_principal x-cedargate-admin]"; fmt.Sprint(got.Remove) != want {
		t.Errorf("Remove = %v, want %s: identity headers are ours", got.Remove, want)
	}
	if want := "{x-cedargate-principal User/corp/alice}"; fmt.Sprint(got.Upstream[0]) != want {
		t.Errorf("Upstream[0] = %v, want %s", got.Upstream[0], want)
	}
}

func TestInvariant09ForbidThatErrsDenies(t *testing.T) {
	errs := `context.time.hour + 9223372036854775807 + 1 > 0 || true` // overflows at any hour
	e, _ := engineWith(t, permitAll+`@id("errs") forbid (principal, action, resource) when { `+errs+` };`, nil)
	got := e.Check(t.Context(), toolCall())
	if got.Allowed || got.Status != 403 || reason(t, got) != "policy_error" {
		t.Errorf("Check with a forbid that errs = %d %s, want 403 policy_error", got.Status, got.Body)
	}
	e, _ = engineWith(t, `permit (principal, action, resource) when { `+errs+` };`, nil)
	if got := e.Check(t.Context(), toolCall()); got.Allowed || reason(t, got) != "no_permit" {
		t.Errorf("Check with a permit that errs = %d %s, want 403 no_permit", got.Status, got.Body)
	}
}

func TestInvariant10ImmutableSets(t *testing.T) {
	e, records := engineWith(t, `permit (principal, action, resource == MCP::Tool::"github/refund");`, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got := e.Check(context.Background(), toolCall()); !got.Allowed {
					t.Errorf("Check = %s, want an allow", got.Body)
				}
				if got := e.Check(context.Background(), call("tools/call", `{"name":"delete"}`)); got.Allowed {
					t.Error("Check of another tool is allowed")
				}
			}
		})
	}
	wg.Wait()
	set := records.all()[0].PolicySet
	for _, r := range records.all() {
		if r.PolicySet != set {
			t.Fatalf("policy sets %q and %q in one engine", set, r.PolicySet)
		}
	}
	bad := policy.Config{Files: []policy.File{{Name: "bad.cedar", Text: []byte("permit (")}}}
	if set, problems := policy.Load(bad); set != nil || len(problems) == 0 {
		t.Errorf("Load of a bad file = %v, %v: want no set", set, problems)
	}
}

func TestInvariant11Exceptions(t *testing.T) {
	document := asking(without(toolCall(), "authorization"), http.MethodGet)
	document.Path = "/.well-known/oauth-protected-resource/mcp"
	preflight := document
	preflight.HTTP.Method = http.MethodOptions
	lifecycle := map[string]authz.Request{
		"initialize":       call("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}`),
		"server/discover":  call("server/discover", `{}`),
		"ping":             call("ping", `{}`),
		"logging/setLevel": call("logging/setLevel", `{"level":"info"}`),
		"stream/get":       asking(toolCall(), http.MethodGet),
		"session/delete":   asking(toolCall(), http.MethodDelete),
	}
	others := map[string]authz.Request{
		"tools/call":     toolCall(),
		"tools/list":     call("tools/list", `{}`),
		"resources/read": call("resources/read", `{"uri":"file:///a"}`),
		"tasks/get":      call("tasks/get", `{"taskId":"t"}`),
		"unknown":        call("vendor/do", `{}`),
		"stream/resume":  with(asking(toolCall(), http.MethodGet), "last-event-id", ""),
	}
	engines := []struct {
		why       string
		policies  string
		omit      bool
		lifecycle bool
	}{
		{"no policies", "", false, true},
		{"the built-in one switched off", "", true, false},
		{"a forbid beats it", "forbid (principal, action, resource);", false, false},
	}
	for _, test := range engines {
		e, _ := engineWith(t, "", func(c *authz.Config) { c.Policies = setOf(t, test.omit, test.policies) })
		for _, r := range []authz.Request{document, preflight} {
			if got := e.Check(t.Context(), r); got.Status != 200 || got.Allowed {
				t.Errorf("%s: %s of the document = %d, want an answer of our own with 200", test.why, r.HTTP.Method, got.Status)
			}
		}
		for action, r := range lifecycle {
			if got := e.Check(t.Context(), r); got.Allowed != test.lifecycle {
				t.Errorf("%s: %s allowed = %v (%s), want %v", test.why, action, got.Allowed, got.Body, test.lifecycle)
			}
		}
		for action, r := range others {
			if got := e.Check(t.Context(), r); got.Allowed || got.Status != 403 {
				t.Errorf("%s: %s = %d, want 403", test.why, action, got.Status)
			}
		}
	}
}

// Nothing that can be refused without a key asks for one.
func TestInvariant12CheapRefusals(t *testing.T) {
	corp, _, tokens, asked := realTokens(t)
	e, _ := engineWith(t, permitAll, func(c *authz.Config) { c.Tokens = tokens })
	for _, raw := range []string{
		"a.b.c", "opaque", strings.Repeat("a", 20000),
		corp.Mint(map[string]any{"exp": 1}),
		corp.Mint(map[string]any{"aud": "x"}),
		corp.Mint(map[string]any{"iss": "https://evil.example/"}),
		corp.Mint(nil, authztest.Unsigned()),
		corp.Mint(nil, authztest.WithHeader("crit", []string{"x"})),
	} {
		r := with(without(toolCall(), "authorization"), "authorization", "Bearer "+raw)
		if got := e.Check(t.Context(), r); got.Allowed {
			t.Errorf("Check with the token %.20q is allowed", raw)
		}
	}
	if *asked != 0 {
		t.Errorf("%d keys were asked for, want 0", *asked)
	}
}

func TestInvariant13TwoLayers(t *testing.T) {
	tests := []struct {
		why      string
		policies string
		request  authz.Request
		status   int
	}{
		{"permit-all does not open the door", permitAll, without(toolCall(), "authorization"), 401},
		{"permit-all does not believe a bad token", permitAll, with(without(toolCall(), "authorization"), "authorization", "Bearer bad"), 401},
		{"permit-all with a token", permitAll, toolCall(), 200},
		{"a token is no permit", "", toolCall(), 403},
		{"no policies and no token", "", without(toolCall(), "authorization"), 401},
	}
	for _, test := range tests {
		e, _ := engineWith(t, test.policies, nil)
		got := e.Check(t.Context(), test.request)
		if got.Status != test.status || got.Allowed != (test.status == 200) {
			t.Errorf("%s: Check = %d %s, want %d", test.why, got.Status, got.Body, test.status)
		}
		if challenged := headerOf(got, "www-authenticate") != ""; challenged != (test.status == 401) {
			t.Errorf("%s: challenge = %v with status %d", test.why, challenged, got.Status)
		}
	}
}
