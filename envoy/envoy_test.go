// Package envoy_test holds the promises of envoy.yaml against a real Envoy.
package envoy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

// installed returns the path of a pinned Envoy; "" is the default version.
func installed(t *testing.T, version ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "./install.sh", version...).Output()
	if err != nil {
		t.Fatalf("install.sh %v: %v", version, err)
	}
	return strings.TrimSpace(string(out))
}

func validate(t *testing.T, binary, file string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, "--mode", "validate", "-c", file, "-l", "warn").CombinedOutput()
	return string(out), err
}

func TestBootstrapValidates(t *testing.T) {
	if out, err := validate(t, installed(t), "envoy.yaml"); err != nil {
		t.Errorf("envoy --mode validate = %v, want nil:\n%s", err, out)
	}
}

// What keeps the test above from passing for ever.
func TestBootstrapWithATypoDoesNot(t *testing.T) {
	text, err := os.ReadFile("envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "typo.yaml")
	typo := strings.Replace(string(text), "failure_mode_allow:", "failure_mode_alow:", 1)
	if err := os.WriteFile(file, []byte(typo), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := validate(t, installed(t), file)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(out, "failure_mode_alow") {
		t.Errorf("envoy --mode validate of a typo = %v, want an error that names it:\n%s", err, out)
	}
}

func TestInstallTakesAnotherBinary(t *testing.T) {
	t.Setenv("CEDARGATE_ENVOY", "/opt/my envoy")
	if got := installed(t); got != "/opt/my envoy" {
		t.Errorf("install.sh = %q, want /opt/my envoy", got)
	}
}

func TestInstallKnowsOnlyPinnedVersions(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./install.sh", "1.0.0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no pinned Envoy 1.0.0") {
		t.Errorf("install.sh 1.0.0 = %s, %v, want an error", out, err)
	}
}

// running is Envoy by envoy.yaml, before a server that believes everything and
// behind a check service that allows everything.
func running(t *testing.T, c stack.EnvoyConfig) (*stack.Envoy, *stack.Recorder) {
	t.Helper()
	server, err := stack.StartRecorder()
	closeLater(t, server, err)
	if c.Authz == "" {
		check, err := stack.StartDoNothing()
		closeLater(t, check, err)
		c.Authz = check.Addr()
	}
	c.Upstream = server.Addr()
	e, err := stack.StartEnvoy(t.Context(), c)
	closeLater(t, e, err)
	return e, server
}

func closeLater(t *testing.T, part io.Closer, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := part.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	})
}

// An answer is what a client gets.
type answer struct {
	status int
	header http.Header
	body   string
}

// send posts body. The target goes out byte for byte.
func send(t *testing.T, e *stack.Envoy, target, body string, header http.Header) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL("/"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = target
	if strings.HasPrefix(target, "//") { // net/http would take it for a host
		req.URL.Opaque = "http://" + e.Addr() + target
	}
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("content-type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("POST %s = %v, want an answer", target, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func TestPinnedVersionsServe(t *testing.T) {
	versions := []string{"1.36.4", "1.40.0"}
	if os.Getenv("CEDARGATE_TEST_MORE") != "" { // make test-more: each is a download of 37 MB
		versions = append(versions, "1.37.0", "1.38.3", "1.39.3")
	}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			e, server := running(t, stack.EnvoyConfig{Version: version})
			if got := send(t, e, "/mcp", ping, nil); got.status != 200 || len(server.Requests()) != 1 {
				t.Errorf("POST /mcp = %d %s, want 200", got.status, got.body)
			}
		})
	}
}

func TestOnlyTheRouteReachesTheServer(t *testing.T) {
	e, server := running(t, stack.EnvoyConfig{})
	tests := []struct {
		target string
		status int
		path   string // as the server sees it; "" when it sees nothing
	}{
		{"/mcp", 200, "/mcp"},
		{"/mcp?a=b", 200, "/mcp?a=b"},
		{"//mcp", 200, "/mcp"},
		{"/a/../mcp", 200, "/mcp"},
		{"/%6dcp", 200, "/mcp"},
		{"/mcp%2fx", 400, ""},
		{"/mcp%5cx", 400, ""},
		{"/mcp%00", 400, ""},
		{"/mcp/", 404, ""},
		{"/MCP", 404, ""},
		{"/mcp;x=1", 404, ""},
		{"/", 404, ""},
		{"/.well-known/oauth-protected-resource", 404, ""}, // allowed by a wrong check service, and still not served
		{"/.well-known/oauth-protected-resource/mcp", 404, ""},
		{"/.well-known/oauth-authorization-server", 404, ""},
	}
	for _, tt := range tests {
		server.Reset()
		got := send(t, e, tt.target, ping, nil)
		path := ""
		for _, r := range server.Requests() {
			path += r.Path
		}
		if got.status != tt.status || path != tt.path {
			t.Errorf("POST %s = %d and the server sees %q, want %d and %q", tt.target, got.status, path, tt.status, tt.path)
		}
	}
}

func TestClientsCannotSpeakForCedargate(t *testing.T) {
	e, server := running(t, stack.EnvoyConfig{})
	lies := http.Header{
		"X-Cedargate-Principal":             {"User/corp/admin", "User/corp/root"},
		"X-Cedargate-Anything":              {"x"},
		"X-Envoy-Auth-Failure-Mode-Allowed": {"true"},
		"X-Envoy-Auth-Partial-Body":         {"true"},
		"X-Forwarded-For":                   {"192.0.2.1"},
	}
	if got := send(t, e, "/mcp", ping, lies); got.status != 200 {
		t.Fatalf("POST = %d %s, want 200", got.status, got.body)
	}
	header := server.Requests()[0].Header
	for name := range lies {
		got := strings.Join(header.Values(name), ",")
		// The address of the peer stands behind what a client says of itself.
		appended := name == "X-Forwarded-For" && strings.HasPrefix(got, "192.0.2.1,")
		if got != "" && !appended {
			t.Errorf("the server sees %s: %q, want nothing of the client's", name, got)
		}
	}
	server.Reset()
	if got := send(t, e, "/mcp", ping, http.Header{"x_cedargate_principal": {"User/corp/admin"}}); got.status != 400 || len(server.Requests()) != 0 {
		t.Errorf("POST with an underscore in a name = %d, want 400", got.status)
	}
}

func TestTooLargeABodyIsAJSONRPCError(t *testing.T) {
	e, server := running(t, stack.EnvoyConfig{})
	got := send(t, e, "/mcp", strings.Repeat("x", 262145), nil)
	const want = `{"error":{"code":-32600,"message":"request body too large"},"jsonrpc":"2.0"}`
	if got.status != 413 || got.header.Get("content-type") != "application/json" || strings.TrimSpace(got.body) != want {
		t.Errorf("POST = %d %s %s, want 413 %s", got.status, got.header.Get("content-type"), got.body, want)
	}
	if n := len(server.Requests()); n != 0 {
		t.Errorf("the server got %d requests, want none", n)
	}
}

func TestWithoutACheckServiceNothingPasses(t *testing.T) {
	e, server := running(t, stack.EnvoyConfig{Authz: "unix:///nobody/listens/here.sock"})
	got := send(t, e, "/mcp", ping, nil)
	const want = `{"error":{"code":503,"message":"authorization is not available"},"jsonrpc":"2.0"}`
	if got.status != 503 || got.header.Get("content-type") != "application/json" || strings.TrimSpace(got.body) != want {
		t.Errorf("POST = %d %s %s, want 503 %s", got.status, got.header.Get("content-type"), got.body, want)
	}
	if got.header.Get("retry-after") != "1" || got.header.Get("cache-control") != "no-store" {
		t.Errorf("POST answers retry-after %q and cache-control %q, want 1 and no-store",
			got.header.Get("retry-after"), got.header.Get("cache-control"))
	}
	if n := len(server.Requests()); n != 0 {
		t.Errorf("the server got %d requests, want none", n)
	}
}

func TestAccessLogHasNoQuery(t *testing.T) {
	e, _ := running(t, stack.EnvoyConfig{})
	send(t, e, "/mcp?access_token=secret", ping, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	line, err := e.WaitAccess(ctx, func(map[string]any) bool { return true })
	if err != nil || line["path"] != "/mcp" {
		t.Errorf("access log has path %v, %v, want /mcp", line["path"], err)
	}
}
