package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// An asker asks the check service as Envoy does, without an Envoy.
type asker struct{ authv3.AuthorizationClient }

func newAsker(t *testing.T, address string) asker {
	t.Helper()
	conn, err := grpc.NewClient(strings.Replace(address, "unix://", "unix:", 1), grpc.WithTransportCredentials(insecure.NewCredentials()))
	return asker{authv3.NewAuthorizationClient(keep(t, conn, err))}
}

// ask asks about a POST to demo, and returns status and reason. A gRPC error
// is an error: Envoy would not take it for a refusal (invariant 3).
func (a asker) ask(ctx context.Context, token, agent string, body []byte) (string, error) {
	header := &corev3.HeaderMap{}
	for _, h := range [][2]string{{"content-type", "application/json"}, {"authorization", "Bearer " + token}, {"user-agent", agent}} {
		header.Headers = append(header.Headers, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
	}
	out, err := a.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: map[string]string{"cedargate.server": "demo"},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "POST", Path: "/mcp", Host: "mcp.example.com", Size: int64(len(body)), HeaderMap: header, RawBody: body,
		}},
	}}, grpc.WaitForReady(true))
	if err != nil {
		return "", err
	}
	status := int32(200)
	if out.GetOkResponse() == nil {
		status = int32(out.GetDeniedResponse().GetStatus().GetCode())
	}
	metadata := out.GetDynamicMetadata().GetFields()["cedargate"].GetStructValue().GetFields()
	return fmt.Sprint(status, " ", metadata["reason"].GetStringValue()), nil
}

// want asks for the harmless query.
func (a asker) want(t *testing.T, token, want string) {
	t.Helper()
	if got, err := a.ask(soon(t), token, "want", []byte(queryCall)); got != want || err != nil {
		t.Errorf("Check() = %q, %v, want %s", got, err, want)
	}
}

// eventually waits until done, which what describes.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, tick := soon(t), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, ctx.Err())
		}
	}
}

// waitLog waits for a line of the operator's log.
func waitLog(t *testing.T, g *stack.Cedargate, text string) {
	t.Helper()
	eventually(t, "a line of the log with "+text, func() bool { return strings.Contains(strings.Join(g.Log(), "\n"), text) })
}

// A check that is under way when the end comes is answered and recorded before
// the process ends with code 0.
func TestDrain(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	g := newCedargate(t, stack.CedargateConfig{Config: config(issuer, ""), Files: policies(attackPolicies)})
	a := newAsker(t, g.Addr())
	// A key that is not known yet: the check waits for an issuer that hangs.
	before := issuer.Fetches().Keys
	issuer.Rotate()
	issuer.Break(authztest.Slow)
	answered := make(chan string, 1)
	token := issuer.Mint(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	go func() {
		got, err := a.ask(ctx, token, "under way", []byte(queryCall))
		answered <- fmt.Sprint(got, " ", err)
	}()
	eventually(t, "the fetch of the key", func() bool { return issuer.Fetches().Keys > before })
	closed := make(chan string, 1)
	go func() { // the only signal: a second one ends the process at once
		code, err := g.Close()
		closed <- fmt.Sprint(code, " ", err)
	}()
	waitLog(t, g, "stopping")
	select {
	case got := <-answered:
		t.Fatalf("the check is answered %q before the end began", got)
	default:
	}
	if got := <-closed; got != "0 <nil>" {
		t.Errorf("Close() = %s, want 0", got)
	}
	if got := <-answered; !strings.HasPrefix(got, "503 ") || !strings.HasSuffix(got, " <nil>") {
		t.Errorf("the check under way got %q, want a 503 of ours", got)
	}
	if own := byAgent(g.Records(), "under way"); len(own) != 1 || own[0]["status"] != 503.0 {
		t.Errorf("records are %v, want that of the check", own)
	}
}

// Whoever reads the records may go away: nothing is allowed from then on, and
// the process lives.
func TestStandardOutputIsClosed(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	// That records were lost is also told by the code at the end.
	g := newCedargateEnding(t, stack.CedargateConfig{
		Config: config(issuer, ""), Files: policies(attackPolicies), Binary: deaf(t),
	}, 1)
	a := newAsker(t, g.Addr())
	for range 3 {
		a.want(t, issuer.Mint(nil), "503 audit_unavailable")
	}
	waitLog(t, g, "broken pipe")
	// A refusal stands as it is.
	a.want(t, issuer.Mint(nil, authztest.Forged()), "401 bad_signature")
	if status, _, err := g.Admin(soon(t), "/healthz"); status != 200 || err != nil {
		t.Errorf("/healthz = %d, %v, want 200", status, err)
	}
}

// deaf is a program that runs cedargate with a pipe for standard output that
// nobody reads any more.
func deaf(t *testing.T) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "deaf")
	text := fmt.Sprintf("#!/bin/sh\nmkfifo %[1]q\nexec 3<>%[1]q >%[1]q 3<&-\nexec %[2]q \"$@\"\n", script+".pipe", built(t))
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script
}

// built builds cedargate for a test that does more than launch it.
func built(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cedargate")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", file, "../../../cmd/cedargate").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return file
}

// Records go to a file when the operator says so: appended, for its owner
// alone, and there before the answer.
func TestAuditFile(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	g := newCedargate(t, stack.CedargateConfig{Config: config(issuer, "audit: { path: audit.jsonl }"), Files: map[string][]byte{
		"policies/main.cedar": []byte(attackPolicies), "audit.jsonl": []byte("{\"old\":true}\n"),
	}})
	newAsker(t, g.Addr()).want(t, issuer.Mint(nil), "200 permitted")
	text, err := os.ReadFile(filepath.Join(g.Dir(), "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	var record struct{ Reason, Tool string }
	if len(lines) != 2 || json.Unmarshal(lines[1], &record) != nil || record.Reason != "permitted" || record.Tool != "query" {
		t.Errorf("the file has %s, want the old line and the record", text)
	}
	if n := len(g.Records()); n != 0 {
		t.Errorf("standard output has %d records, want none", n)
	}
}

// A full disk allows nothing.
func TestAuditDiskIsFull(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	c := stack.CedargateConfig{Config: config(issuer, "audit: { path: /dev/full }"), Files: policies(attackPolicies)}
	g := newCedargateEnding(t, c, 1)
	a := newAsker(t, g.Addr())
	a.want(t, issuer.Mint(nil), "503 audit_unavailable")
	a.want(t, "x.y.z", "401 malformed_token")
	waitLog(t, g, "no space left on device")
}

// A socket that a killed process left behind is replaced; one that is listened
// on is not.
func TestSockets(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	dir, err := os.MkdirTemp("", "gate") // short: the name of a socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	stale, live := filepath.Join(dir, "stale.sock"), filepath.Join(dir, "live.sock")
	for _, path := range []string{stale, live} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		if path == live {
			t.Cleanup(func() { l.Close() })
		} else if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	at := func(path string) stack.CedargateConfig {
		return stack.CedargateConfig{Config: config(issuer, "listen: { grpc: 'unix://"+path+"' }"), Files: policies(attackPolicies)}
	}
	newAsker(t, newCedargate(t, at(stale)).Addr()).want(t, issuer.Mint(nil), "200 permitted")
	if _, err := stack.StartCedargate(t.Context(), at(live)); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("StartCedargate() at a socket in use = %v, want that it is", err)
	}
}

// Whatever size a proxy sends, the answer is a refusal of ours, never an error
// of gRPC, which a proxy that fails open would let pass.
func TestHostileSizes(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	g := newCedargate(t, stack.CedargateConfig{Config: config(issuer, "limits: { body_bytes: 4194304 }"), Files: policies(attackPolicies)})
	a := newAsker(t, g.Addr())
	deep := func(text string, n int) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query","arguments":{"sql":` + strings.Repeat(text, n)
	}
	tests := []struct{ name, body, want string }{
		{"64 MiB", padded(queryCall, 64<<20), "413 body_limit"},
		{"just below the limit", padded(queryCall, 4<<20-1), "200 permitted"},
		{"a million open arrays", deep("[", 1_000_000), "400 limit"},
		{"a million open objects", deep(`{"a":`, 500_000), "400 limit"},
		{"60,000 members", deep("", 0) + `"select 1"` + strings.Repeat(`,"a":1`, 60_000), "400 malformed"},
		{"a number of a million digits", deep("9", 1_000_000) + "}}}", "400 limit"},
		{"an exponent of a billion", deep("1e999999999", 1) + "}}}", "403 argument_type"},
		{"a string of a million escapes", deep(`"`+strings.Repeat(`\ud83d\ude00`, 300_000)+`"`, 1) + "}}}", "403 denied_by_policy"},
		{"a million blanks", strings.Repeat(" ", 1_000_000), "400 malformed"},
	}
	token := issuer.Mint(nil)
	for _, tt := range tests {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if got, err := a.ask(ctx, token, tt.name, []byte(tt.body)); got != tt.want || err != nil {
			t.Errorf("%s: Check() = %q, %v, want %s", tt.name, got, err, tt.want)
		}
		cancel()
	}
	if got, err := a.ask(soon(t), strings.Repeat("a", 8<<20), "a token of 8 MiB", []byte(queryCall)); got != "400 token_limit" || err != nil {
		t.Errorf("a token of 8 MiB: Check() = %q, %v, want 400 token_limit", got, err)
	}
	a.want(t, token, "200 permitted")
}
