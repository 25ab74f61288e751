// Package stack starts the real parts around Cedargate, for tests and for the
// demo: Envoy, MCP servers, a trace collector and the cedargate binary itself.
//
// Every Start function returns once its part answers, or an error within a
// deadline; the part then lives until Close, whatever becomes of the context.
// Everything listens on loopback addresses or Unix sockets, on ports that the
// system chooses. Every method is safe for concurrent use.
package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// startTime bounds the start of a part, on a machine that is busy.
	startTime = 30 * time.Second
	// stopTime bounds a polite stop; then the part is killed. It lies above
	// the ten seconds that cedargate grants to requests in flight.
	stopTime = 15 * time.Second
	// probeEvery is the time between two looks at a part that starts.
	probeEvery = 10 * time.Millisecond
)

// loopback is where every part listens.
const loopback = "127.0.0.1:0"

// until calls probe, now and then, until it returns nil or ctx is done. The
// error is that of the last probe.
func until(ctx context.Context, probe func() error) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// moduleRoot returns the checkout that the working directory lies in.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte("module github.com/cedargate/cedargate\n")) {
			return dir, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no checkout of cedargate around %s", start)
		}
	}
}
