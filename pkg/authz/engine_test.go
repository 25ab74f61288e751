package authz_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

const permitAll = `@id("all") permit (principal, action, resource);`

// A memory keeps records. With fail set it keeps them, and errs.
type memory struct {
	mu      sync.Mutex
	records []audit.Record
	fail    error
}

func (m *memory) Record(_ context.Context, r audit.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, r)
	return m.fail
}

func (m *memory) all() []audit.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records)
}

type verifierFunc func(ctx context.Context, c token.Credential, accept token.Accept) (token.Claims, error)

func (f verifierFunc) Verify(ctx context.Context, c token.Credential, accept token.Accept) (token.Claims, error) {
	return f(ctx, c, accept)
}

// alice is whoever has the token "good"; every other token is invalid.
func alice(_ context.Context, c token.Credential, accept token.Accept) (token.Claims, error) {
	if c.Raw != "good" {
		return token.Claims{}, &token.Error{Fault: token.Invalid, Reason: "bad_signature"}
	}
	return token.Claims{Kind: token.User, Issuer: "corp", Subject: "alice", Audience: accept.Audiences}, nil
}

// setOf loads policies for the servers that the engines here have.
func setOf(t *testing.T, omitBuiltin bool, text string) *policy.Set {
	t.Helper()
	set, problems := policy.Load(policy.Config{
		Files:       []policy.File{{Name: "test.cedar", Text: []byte(text)}},
		Servers:     []policy.Server{{Name: "github", CanonicalURI: func(uri string) (string, error) { return uri, nil }}},
		Issuers:     []policy.Issuer{{Name: "corp", Groups: true}},
		OmitBuiltin: omitBuiltin,
	})
	if set == nil {
		t.Fatalf("policy.Load(%s): %v", text, problems)
	}
	return set
}

// engineWith is an engine for one server, changed by change.
func engineWith(t *testing.T, policies string, change func(*authz.Config)) (*authz.Engine, *memory) {
	t.Helper()
	records := &memory{}
	c := authz.Config{
		Servers: []authz.Server{{
			Name: "github", Resource: "https://mcp.example.com/mcp", Audiences: []string{"https://mcp.example.com/mcp"},
			Hosts: []string{"mcp.example.com"}, Paths: []string{"/mcp"}, Issuers: []string{"corp"},
			AuthorizationServers: []string{"https://login.example.com/"}, Location: time.UTC,
		}},
		Tokens:   verifierFunc(alice),
		Policies: setOf(t, false, policies),
		Records:  records,
	}
	if change != nil {
		change(&c)
	}
	e, err := authz.New(c)
	if err != nil {
		t.Fatalf("authz.New: %v", err)
	}
	return e, records
}

// call is a well-formed POST with the token "good".
func call(method, params string) authz.Request {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":%s}`, method, params)
	r := authz.Request{Host: "mcp.example.com", Path: "/mcp", Source: "192.0.2.1"}
	r.HTTP = mcp.HTTP{Method: http.MethodPost, Body: []byte(body), Size: int64(len(body))}
	return with(with(r, "content-type", "application/json"), "authorization", "Bearer good")
}

func toolCall() authz.Request {
	return call("tools/call", `{"name":"refund","arguments":{"amount":5}}`)
}

// with is r with one more header.
func with(r authz.Request, name, value string) authz.Request {
	r.HTTP.Header = append(slices.Clone(r.HTTP.Header), mcp.Field{Name: name, Value: value})
	return r
}

// without is r without a header.
func without(r authz.Request, name string) authz.Request {
	r.HTTP.Header = slices.DeleteFunc(slices.Clone(r.HTTP.Header), func(f mcp.Field) bool { return f.Name == name })
	return r
}

// asking is r with another HTTP method and no body.
func asking(r authz.Request, method string) authz.Request {
	r.HTTP.Method, r.HTTP.Body, r.HTTP.Size = method, nil, 0
	return without(r, "content-type")
}

// reason is that of a refusal's JSON-RPC error.
func reason(t *testing.T, r authz.Result) string {
	t.Helper()
	var body struct {
		Error struct{ Data struct{ Reason string } }
	}
	if err := json.Unmarshal(r.Body, &body); err != nil {
		t.Fatalf("body %s: %v", r.Body, err)
	}
	return body.Error.Data.Reason
}

func headerOf(r authz.Result, name string) string {
	for _, f := range r.Header {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}
