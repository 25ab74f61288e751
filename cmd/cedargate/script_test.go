package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cedargate/cedargate/pkg/authztest"
)

// TestMain lets the scripts run cedargate as a command of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cedargate": main})
}

// The command line as a person types it: testdata/script.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "../../testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"expand": expand,
			"answer": answer,
			"issuer": issuer,
			"mint":   mint,
			"hides":  hides,
			"hangup": hangup,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("OTEL_TRACES_EXPORTER", "")
			e.Values[theIssuer{}] = new(*authztest.Issuer)
			return nil
		},
	})
}

// expand replaces $WORK and $ISSUER in files: the path of a socket is absolute.
func expand(ts *testscript.TestScript, neg bool, files []string) {
	if neg || len(files) == 0 {
		ts.Fatalf("usage: expand file...")
	}
	for _, file := range files {
		text := strings.NewReplacer("$WORK", ts.Getenv("WORK"), "$ISSUER", ts.Getenv("ISSUER")).Replace(ts.ReadFile(file))
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

// hangup sends SIGHUP to what runs in the background.
func hangup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: hangup")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGHUP))
	}
}

// answer waits until the admin listener at a socket answers a path with a
// status.
func answer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: answer socket path status")
	}
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", ts.MkAbs(args[0]))
		},
	}}
	late, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := client.Get("http://cedargate" + args[1])
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == want {
				return
			}
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("%s: %v, want %d", args[1], err, want)
		}
	}
}
