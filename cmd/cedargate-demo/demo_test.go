package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
	"github.com/cedargate/cedargate/pkg/config"
)

// TestMain lets the test binary be the program.
func TestMain(m *testing.M) {
	if os.Getenv("DEMO_TEST_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A process is the program as a user runs it. What it starts is told by
// directories: each part removes its own when it has stopped.
type process struct {
	*exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
	dir    string
}

func demo(t *testing.T, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(t.Context(), self, args...), dir: t.TempDir()}
	p.Env = append(os.Environ(), "DEMO_TEST_MAIN=1", "TMPDIR="+p.dir)
	p.Cmd.Stderr = &p.stderr
	// Were a test to fail half-way, the program could still stop its parts.
	p.Cancel = func() error { return p.Process.Signal(syscall.SIGTERM) }
	p.WaitDelay = 30 * time.Second
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(stdout)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// until reads the output up to a line that has text in it.
func (p *process) until(t *testing.T, text string) string {
	t.Helper()
	var read strings.Builder
	for {
		line, err := p.stdout.ReadString('\n')
		read.WriteString(line)
		if err != nil {
			t.Fatalf("output ended without %q: %v\n%s%s", text, err, read.String(), p.stderr.String())
		}
		if strings.Contains(line, text) {
			return read.String()
		}
	}
}

// end reads the rest of the output, and checks how the program ends and that
// it leaves nothing.
func (p *process) end(t *testing.T, wantCode int) string {
	t.Helper()
	rest, err := io.ReadAll(p.stdout)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	if code := p.ProcessState.ExitCode(); code != wantCode {
		t.Errorf("demo %q ended with code %d, want %d: %s\n%s", p.Args[1:], code, wantCode, p.stderr.String(), rest)
	}
	left, err := os.ReadDir(p.dir)
	if err != nil || len(left) > 0 {
		t.Errorf("demo %q leaves %v, %v, want nothing", p.Args[1:], left, err)
	}
	return string(rest)
}

// The demo holds, and tells its whole story.
func TestDemoHolds(t *testing.T) {
	out := demo(t).end(t, 0)
	headings := regexp.MustCompile(`(?m)^(.+)\n=+$`).FindAllStringSubmatch(out, -1)
	var got []string
	for _, h := range headings {
		got = append(got, h[1])
	}
	want := []string{
		"Step 1, connect", "Steps 2 and 3, sign in", "Step 4, validate", "Step 5, authorize",
		"The 9 AM and 2 AM pair", "Two layers", "Both protocol eras", "What happened",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headings (-want +got):\n%s", diff)
	}
	if !regexp.MustCompile(`\nAll \d{3} statements hold\.\n$`).MatchString(out) || strings.Contains(out, "FAILED") {
		t.Errorf("the transcript does not end with all statements holding:\n%s", out)
	}
	for _, what := range []string{"POST http://127.0.0.1:", "browser signs dana in: code_challenge_method=S256", "User/login/dana", "library-reads"} {
		if !strings.Contains(out, what) {
			t.Errorf("the transcript lacks %q: nobody signs in\n%s", what, out)
		}
	}
	for _, secret := range []string{"eyJ", "Bearer ey"} {
		if strings.Contains(out, secret) {
			t.Errorf("the transcript contains a token")
		}
	}
}

// Where Node is missing nobody signs in, and the rest holds.
func TestDemoHoldsWithoutNode(t *testing.T) {
	t.Setenv("CEDARGATE_NODE", "/nowhere/node")
	out := demo(t).end(t, 0)
	if strings.Contains(out, "dana") || !strings.Contains(out, "It is not shown") || !strings.Contains(out, "statements hold.\n") {
		t.Errorf("the transcript does not say that nobody signs in:\n%s", out)
	}
}

// With other policies it must not hold: what a policy denied now runs, and the
// demo sees that. What needs no policy holds all the same.
func TestDemoFailsUnderPermitAll(t *testing.T) {
	out := demo(t, "-policies", "world/permit-all").end(t, 1)
	const ran = "  FAILED     upstream: expected called 0 times, got called 1 time, ran "
	for _, what := range []string{
		ran + "tools/call delete_repo",
		ran + "resources/read file:///srv/private/salaries.csv",
		ran + "tools/call refund",
		ran + "tools/call read_file",
		"  FAILED     policy: expected destruction-needs-the-role, got permit-all",
		"  FAILED     answer: expected HTTP 403, JSON-RPC error 403: a refund is at most 500, got HTTP 200, refund ran",
	} {
		if !strings.Contains(out, what) {
			t.Errorf("the transcript lacks %q", what)
		}
	}
	steps := regexp.MustCompile(`(?m)^.+\n=+$`).Split(out, -1)
	if len(steps) != 9 {
		t.Fatalf("the transcript has %d steps, want 8:\n%s", len(steps)-1, out)
	}
	for _, i := range []int{1, 3, 6, 8} { // connect, validate, two layers, what happened
		if strings.Contains(steps[i], "FAILED") {
			t.Errorf("step does not hold, though it rests on no policy of the first gate:\n%s", steps[i])
		}
	}
	if !strings.Contains(out, "statements do not hold") {
		t.Errorf("the transcript does not say how many statements fail")
	}
}

func TestDemoStopsWhatItStarted(t *testing.T) {
	p := demo(t)
	p.until(t, "Step 4, validate")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.end(t, 1)
	if got := p.stderr.String(); !strings.Contains(got, "interrupted") {
		t.Errorf("stderr is %q, want that the demo was interrupted", got)
	}
}

func TestDemoRefusesBadArguments(t *testing.T) {
	for _, args := range [][]string{{"up"}, {"-policies", "world"}, {"-colour"}} {
		p := demo(t, args...)
		if out := p.end(t, 1); strings.Contains(out, "Step 1") || p.stderr.Len() == 0 {
			t.Errorf("demo %q tells %q and %q, want an error alone", args, out, p.stderr.String())
		}
	}
}

// The lines that demo-up prints do what it says of them.
func TestDemoUp(t *testing.T) {
	backend, err := stack.StartCollector()
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+backend.Addr())
	p := demo(t, "-up")
	out := p.until(t, "Everything runs")
	var got []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "curl ") {
			status, header := paste(t, strings.TrimSpace(line))
			got = append(got, fmt.Sprint(status, " ", strings.HasPrefix(header.Get("www-authenticate"), "Bearer ")))
		}
	}
	if diff := cmp.Diff([]string{"200 false", "403 false", "401 true", "200 false"}, got); diff != "" {
		t.Errorf("status and challenge of the lines (-want +got):\n%s%s", diff, out)
	}
	file := regexp.MustCompile(`(?m)^records +(.+)$`).FindStringSubmatch(out)
	if file == nil {
		t.Fatalf("demo-up does not say where the records are:\n%s", out)
	}
	if diff := cmp.Diff([]string{"permitted", "denied_by_policy", "no_credential", "metadata"}, reasons(t, file[1])); diff != "" {
		t.Errorf("reasons in the records (-want +got):\n%s", diff)
	}
	for _, service := range []string{"envoy", "cedargate"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := backend.Wait(ctx, func(s stack.Span) bool { return s.Service == service }); err != nil {
			t.Errorf("spans of %s at the backend: %v", service, err)
		}
	}
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.end(t, 0)
}

// paste runs a curl line as a shell would split it: by blanks that stand
// outside of quotes.
func paste(t *testing.T, line string) (int, http.Header) {
	t.Helper()
	var words []string
	for _, w := range regexp.MustCompile(`'[^']*'|[^ ']+`).FindAllString(line, -1) {
		words = append(words, strings.Trim(w, "'"))
	}
	if !slices.Equal(words[:4], []string{"curl", "-si", "--noproxy", "*"}) {
		t.Fatalf("line %q begins otherwise", line)
	}
	method, body, header := http.MethodGet, "", http.Header{}
	for i := 5; i+1 < len(words); i += 2 {
		switch words[i] {
		case "-H":
			name, value, _ := strings.Cut(words[i+1], ": ")
			header.Set(name, value)
		case "-d":
			method, body = http.MethodPost, words[i+1]
		default:
			t.Fatalf("line %q has option %s", line, words[i])
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, words[4], strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header
}

func reasons(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for line := range bytes.Lines(text) {
		var r struct{ Reason string }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("record %s: %v", line, err)
		}
		reasons = append(reasons, r.Reason)
	}
	return reasons
}

// The file that engineers read is one that Cedargate takes as it is.
func TestWorldIsGoodAsItStands(t *testing.T) {
	text, err := embedded.ReadFile("world/cedargate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, problems := config.Parse("cedargate.yaml", text); len(problems) > 0 {
		t.Errorf("Parse(cedargate.yaml) = %v, want no problem and no advice", problems)
	}
	for _, dir := range []string{"policies", "permit-all", "no-policies"} {
		if _, err := new(gate).load(text, worldFS(dir)); err != nil {
			t.Errorf("load(%s) = %v, want nil", dir, err)
		}
	}
	text = withLogin(text, "http://127.0.0.1:9001")
	if c, problems := config.Parse("cedargate.yaml", text); len(problems) > 0 || c.Servers[0].Name != "library" {
		t.Errorf("Parse() with the server where people sign in = %v, want library first and no problem", problems)
	}
	if _, err := new(gate).load(text, worldFS("policies"), worldFS("login")); err != nil {
		t.Errorf("load() with its policies = %v, want nil", err)
	}
}

// At every hour there are two zones for the pair.
func TestZoneAt(t *testing.T) {
	for h := range 24 {
		now := time.Date(2026, 3, 4, h, 59, 0, 0, time.UTC)
		for _, want := range []int{9, 2} {
			zone, err := time.LoadLocation(zoneAt(now, want))
			if err != nil || now.In(zone).Hour() != want {
				t.Errorf("zoneAt(%v, %d) = %s, %v, where it is %v", now, want, zoneAt(now, want), err, now.In(zone))
			}
		}
	}
}

func TestCollectorAddress(t *testing.T) {
	for endpoint, want := range map[string]string{
		"":                       "",
		"http://127.0.0.1:4317":  "127.0.0.1:4317",
		"http://127.0.0.1:4317/": "127.0.0.1:4317",
		"http://[::1]:4317":      "[::1]:4317",
	} {
		if got, err := collectorAddress(t.Context(), endpoint); got != want || err != nil {
			t.Errorf("collectorAddress(%q) = %q, %v, want %q", endpoint, got, err, want)
		}
	}
	for _, endpoint := range []string{"https://127.0.0.1:4317", "127.0.0.1:4317", "http://127.0.0.1"} {
		if got, err := collectorAddress(t.Context(), endpoint); err == nil {
			t.Errorf("collectorAddress(%q) = %q, nil, want an error", endpoint, got)
		}
	}
}
