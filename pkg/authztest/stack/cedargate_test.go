package stack_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// TestMain lets the test binary stand in for cedargate, so that the launcher
// is tested for what it does with good and with bad ones.
func TestMain(m *testing.M) {
	if mode := os.Getenv("STACK_TEST_MODE"); mode != "" {
		os.Exit(standIn(mode))
	}
	os.Exit(m.Run())
}

// standIn is a cedargate that answers its admin listener. Modes: "good",
// "unready", "broken" (does not start), "failing" (ends with an error).
func standIn(mode string) int {
	if mode == "broken" {
		fmt.Fprintln(os.Stderr, "policies: no such directory")
		return 3
	}
	text, err := os.ReadFile(os.Args[3])
	if err != nil || os.Args[1] != "serve" || os.Args[2] != "--config" {
		return 4
	}
	var config struct{ Listen struct{ Grpc, Admin string } }
	if err := yaml.Unmarshal(text, &config); err != nil {
		return 5
	}
	l, err := net.Listen("unix", strings.TrimPrefix(config.Listen.Admin, "unix://"))
	if err != nil {
		return 6
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	policies, err := os.ReadFile(filepath.Join(filepath.Dir(os.Args[3]), "policies", "main.cedar"))
	fmt.Printf("not a record\n{\"reason\":\"permitted\",\"policies\":%q,\"otel\":%q}\n", policies, os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	fmt.Fprintln(os.Stderr, "serving", config.Listen.Grpc, err)
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if mode == "unready" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, mode)
	})
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	go http.Serve(l, nil)
	<-term
	if mode == "failing" {
		return 7
	}
	return 0
}

// cedargate starts the stand-in.
func cedargate(t *testing.T, mode string, c stack.CedargateConfig) (*stack.Cedargate, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.Binary = self
	c.Config = []byte("policies: { path: policies } # as an operator writes it\n")
	c.Env = append(c.Env, "STACK_TEST_MODE="+mode)
	return stack.StartCedargate(t.Context(), c)
}

func TestCedargateRunsAndStops(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere.example.com")
	g, err := cedargate(t, "good", stack.CedargateConfig{Files: map[string][]byte{"policies/main.cedar": []byte("permit;")}})
	if err != nil {
		t.Fatal(err)
	}
	record, err := g.WaitRecord(soon(t), func(r map[string]any) bool { return r["reason"] == "permitted" })
	if err != nil || record["policies"] != "permit;" || record["otel"] != "" {
		t.Errorf("WaitRecord() = %v, %v, want the policies, and nothing from the environment", record, err)
	}
	if got := len(g.Records()); got != 1 {
		t.Errorf("Records() has %d, want 1", got)
	}
	if status, body, err := g.Admin(soon(t), "/readyz"); status != 200 || body != "good" || err != nil {
		t.Errorf("Admin(/readyz) = %d, %q, %v, want 200", status, body, err)
	}
	if code, err := g.Close(); code != 0 || err != nil {
		t.Errorf("Close() = %d, %v, want 0", code, err)
	}
	if !strings.HasPrefix(g.Addr(), "unix:///") || !strings.Contains(strings.Join(g.Log(), "\n"), "serving "+g.Addr()) {
		t.Errorf("Addr() = %s, and the log says %q, want a socket that is served", g.Addr(), g.Log())
	}
	if _, err := os.Stat(g.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close the directory: %v, want %v", err, os.ErrNotExist)
	}
}

func TestCedargateSaysWhyItDidNotStart(t *testing.T) {
	_, err := cedargate(t, "broken", stack.CedargateConfig{})
	if err == nil || !strings.Contains(err.Error(), "code 3") || !strings.Contains(err.Error(), "no such directory") {
		t.Errorf("StartCedargate(broken) = %v, want the code and the last words", err)
	}
}

func TestCedargateReportsABadEnd(t *testing.T) {
	failing, err := cedargate(t, "failing", stack.CedargateConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if code, err := failing.Close(); code != 7 || err == nil {
		t.Errorf("Close() of a failing one = %d, %v, want 7 and an error", code, err)
	}
	killed, err := cedargate(t, "good", stack.CedargateConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Signal(syscall.SIGKILL); err != nil {
		t.Errorf("Signal(SIGKILL) = %v, want nil", err)
	}
	if code, err := killed.Close(); code != -1 || err == nil {
		t.Errorf("Close() of a killed one = %d, %v, want -1 and an error", code, err)
	}
}

// A test of an outage runs one that is alive but not ready.
func TestCedargateMayBeUnready(t *testing.T) {
	g, err := cedargate(t, "unready", stack.CedargateConfig{Unready: true})
	if err != nil {
		t.Fatal(err)
	}
	if status, _, err := g.Admin(soon(t), "/readyz"); status != 503 || err != nil {
		t.Errorf("Admin(/readyz) = %d, %v, want 503", status, err)
	}
	if _, err := g.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
}
