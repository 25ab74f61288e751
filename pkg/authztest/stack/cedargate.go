package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// CedargateConfig says how the real binary is run.
type CedargateConfig struct {
	// Config is the configuration as YAML. What it lacks of listen is added:
	// Unix sockets. Required.
	Config []byte
	// Files are written beside the configuration, by relative path, so that
	// `policies: { path: policies }` finds "policies/main.cedar".
	Files map[string][]byte
	// Collector receives its spans; "" turns tracing off.
	Collector string
	// Env is added to the environment.
	Env []string
	// Binary is one that is built already; "" builds this checkout.
	Binary string
	// Unready waits for /healthz only: for a run whose issuer does not answer.
	Unready bool
}

// A Cedargate is a running cedargate.
type Cedargate struct {
	process     *process
	dir         string
	edge, admin string
}

// StartCedargate builds the binary, if need be, and runs it.
func StartCedargate(ctx context.Context, c CedargateConfig) (*Cedargate, error) {
	dir, err := os.MkdirTemp("", "cedargate")
	if err != nil {
		return nil, fmt.Errorf("starting cedargate: %w", err)
	}
	g := &Cedargate{dir: dir}
	if err := g.start(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("starting cedargate: %w", err), g.discard())
	}
	return g, nil
}

func (g *Cedargate) start(ctx context.Context, c CedargateConfig) error {
	config, err := g.write(c)
	if err != nil {
		return err
	}
	binary := c.Binary
	if binary == "" {
		b, err := build(ctx)
		if err != nil {
			return err
		}
		defer b.release()
		binary = b.path
	}
	cmd := exec.Command(binary, "serve", "--config", config)
	cmd.Env = environment(c)
	if g.process, err = start(cmd); err != nil {
		return err
	}
	path := "/readyz"
	if c.Unready {
		path = "/healthz"
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return g.process.ready(ctx, func() error {
		status, body, err := g.Admin(ctx, path)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s answered %d: %s", path, status, body)
		}
		return err
	})
}

// write puts the configuration and the files into the directory.
func (g *Cedargate) write(c CedargateConfig) (string, error) {
	d := parse(c.Config)
	if find(d.root, []string{"listen"}) == nil {
		d.set("listen", map[string]string{})
	}
	address := func(name string) string {
		path := "listen/" + name
		if find(d.root, strings.Split(path, "/")) == nil {
			d.set(path, "unix://"+filepath.Join(g.dir, name+".sock"))
		}
		return d.at(path).Value
	}
	g.edge, g.admin = address("grpc"), address("admin")
	text, err := d.bytes()
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	config := filepath.Join(g.dir, "cedargate.yaml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return "", err
	}
	for name, text := range c.Files {
		file := filepath.Join(g.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return "", err
		}
	}
	return config, nil
}

// environment is ours without what would make a run depend on who runs it.
func environment(c CedargateConfig) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OTEL_") {
			env = append(env, v)
		}
	}
	if c.Collector != "" {
		env = append(env,
			"OTEL_TRACES_EXPORTER=otlp",
			"OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
			"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+c.Collector,
			"OTEL_BSP_SCHEDULE_DELAY=50")
	}
	return append(env, c.Env...)
}

// Addr is where Envoy asks, for EnvoyConfig.Authz and for a gRPC client.
func (g *Cedargate) Addr() string { return g.edge }

// Dir is where the configuration and its files are.
func (g *Cedargate) Dir() string { return g.dir }

// Admin asks the admin listener for path.
func (g *Cedargate) Admin(ctx context.Context, path string) (status int, body string, err error) {
	network, address := "tcp", g.admin
	if p, ok := strings.CutPrefix(g.admin, "unix://"); ok {
		network, address = "unix", p
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://cedargate"+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// Records returns the decision records so far.
func (g *Cedargate) Records() []map[string]any { return g.process.stdout.objects() }

// WaitRecord returns the first record, past or to come, that want accepts.
func (g *Cedargate) WaitRecord(ctx context.Context, want func(map[string]any) bool) (map[string]any, error) {
	return g.process.stdout.wait(ctx, want)
}

// Log returns the operator's log so far.
func (g *Cedargate) Log() []string {
	all, _ := g.process.stderr.since(0)
	return all
}

// Signal sends sig: SIGSTOP and SIGCONT make it slow, SIGKILL an outage.
func (g *Cedargate) Signal(sig syscall.Signal) error { return g.process.signal(sig) }

// Close stops it by SIGTERM and returns its exit code; -1 means that a signal
// ended it. An error says that the code is not 0.
func (g *Cedargate) Close() (code int, err error) {
	err = g.process.close()
	return g.process.exitCode(), errors.Join(err, os.RemoveAll(g.dir))
}

// discard clears up after a start that failed.
func (g *Cedargate) discard() error {
	if g.process == nil {
		return os.RemoveAll(g.dir)
	}
	_, err := g.Close()
	return err
}

// A built is the binary of this checkout. Until release no other test process
// builds it anew, which would find it in use or put a half of it there.
type built struct {
	path string
	lock *os.File
}

func build(ctx context.Context) (*built, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "bin", "stack")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	b := &built{filepath.Join(dir, "cedargate"), lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", b.path, "./cmd/cedargate")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		b.release()
		return nil, fmt.Errorf("building cedargate: %w: %s", err, bytes.TrimSpace(out))
	}
	return b, nil
}

// release lets others build. Closing the file gives up its lock.
func (b *built) release() { _ = b.lock.Close() }
