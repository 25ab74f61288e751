package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stay starts the world, says how to use it, and stops it when ctx is done.
func stay(ctx context.Context, policies fs.FS, stdout io.Writer) (err error) {
	traces, err := collectorAddress(ctx, os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, starting)
	w, err := newWorld(traces)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	records := filepath.Join(w.dir, "records.jsonl")
	g, err := w.open(ctx, gateConfig{policies: policies, extra: fmt.Sprintf("audit: { path: %q }\n", records)})
	if err != nil {
		return err
	}
	f := follower{gate: g, access: filepath.Join(w.dir, "access.jsonl"), log: filepath.Join(w.dir, "cedargate.log")}
	where := [][2]string{
		{"configuration", filepath.Join(g.cedargate.Dir(), "cedargate.yaml")},
		{"policies", filepath.Join(g.cedargate.Dir(), "policies")},
		{"records", records},
		{"log of Cedargate", f.log},
		{"access log", f.access},
		{"spans", w.traces},
	}
	fmt.Fprintln(stdout)
	for _, line := range where {
		fmt.Fprintf(stdout, "%-17s %s\n", line[0], line[1])
	}
	for _, c := range w.curls(g) {
		fmt.Fprintf(stdout, "\n# %s\n%s\n", c.what, c)
	}
	if traces == "" {
		fmt.Fprint(stdout, advice)
	}
	fmt.Fprintln(stdout, "\nEverything runs until Ctrl-C.")
	return f.follow(ctx)
}

// advice is for those who want to see traces.
const advice = `
# Spans go to a collector that forgets them. To see them in a backend that takes
# OTLP over gRPC:
#   OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 make demo-up
`

// collectorAddress is the ip:port of an OTLP endpoint as the standard variable
// gives it: Envoy takes no name here. It is "" for "".
func collectorAddress(ctx context.Context, endpoint string) (string, error) {
	if endpoint == "" {
		return "", nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return "", fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT is %q, want http://host:port of OTLP over gRPC", endpoint)
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		return "", fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	return net.JoinHostPort(ips[0], u.Port()), nil
}

// A curl is a command line to paste.
type curl struct {
	what, url string
	headers   map[string]string
	body      string // "" is a GET
}

// String is the line. Nothing in it has a single quote.
func (c curl) String() string {
	var b strings.Builder
	// A proxy from the environment would not find the loopback interface.
	fmt.Fprintf(&b, "curl -si --noproxy '*' '%s'", c.url)
	for _, name := range slices.Sorted(maps.Keys(c.headers)) {
		fmt.Fprintf(&b, " -H '%s: %s'", name, c.headers[name])
	}
	if c.body != "" {
		fmt.Fprintf(&b, " -d '%s'", c.body)
	}
	return b.String()
}

// curls are one line for each kind of answer.
func (w *world) curls(g *gate) []curl {
	alice := w.newClient("alice", g.envoy.URL("/payments/mcp"), map[string]any{
		"aud": w.resource("payments"), "scope": "tools:read", "roles": []string{"developer"},
	})
	call := func(what, token, tool, arguments string) curl {
		body, headers := newest(tool, arguments)
		headers["content-type"] = "application/json"
		headers["accept"] = "application/json, text/event-stream"
		if token != "" {
			headers["authorization"] = "Bearer " + token
		}
		return curl{what: what, url: alice.endpoint, headers: headers, body: body}
	}
	return []curl{
		call("Allowed, 200: alice reads a file.", alice.wire.token, "read_file", `{"path":"README.md"}`),
		call("Denied by policy, 403: the same token, and a tool that destroys.", alice.wire.token, "delete_repo", `{"repo":"cedargate"}`),
		call("Without a token, 401 and the challenge.", "", "read_file", `{"path":"README.md"}`),
		{what: "Where to get one, 200: the metadata document.", url: w.metadata("payments")},
	}
}

// A follower writes what the processes say into files while they run.
type follower struct {
	gate        *gate
	access, log string
	lines       int // of the log that are written
}

// follow returns when ctx is done.
func (f *follower) follow(ctx context.Context) error {
	access, err := os.Create(f.access)
	if err != nil {
		return err
	}
	log, err := os.Create(f.log)
	if err != nil {
		return errors.Join(err, access.Close())
	}
	encoder := json.NewEncoder(access)
	done := make(chan error, 1)
	go func() {
		var failed error
		// No line is the one: it ends with ctx, which is no error here.
		_, _ = f.gate.envoy.WaitAccess(ctx, func(line map[string]any) bool {
			failed = encoder.Encode(line)
			return failed != nil
		})
		done <- failed
	}()
	failed := f.copyLog(ctx, log)
	return errors.Join(failed, <-done, access.Close(), log.Close())
}

// copyLog writes new lines of Cedargate's log every second.
func (f *follower) copyLog(ctx context.Context, log io.Writer) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		all := f.gate.cedargate.Log()
		for _, line := range all[f.lines:] {
			if _, err := fmt.Fprintln(log, line); err != nil {
				return err
			}
		}
		f.lines = len(all)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
