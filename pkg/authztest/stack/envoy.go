package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Paths into the bootstrap, for EnvoyConfig.Set.
const (
	// ManagerPath is the HTTP connection manager.
	ManagerPath = "static_resources/listeners/0/filter_chains/0/filters/0/typed_config"
	// ExtAuthzPath is the ext_authz filter.
	ExtAuthzPath = ManagerPath + "/http_filters/name=envoy.filters.http.ext_authz/typed_config"
	// SizeLimitPath is the body_size_limit filter, which stands before it.
	SizeLimitPath = ManagerPath + "/http_filters/name=envoy.filters.http.body_size_limit"

	routesPath   = ManagerPath + "/route_config/virtual_hosts/0/routes"
	clustersPath = "static_resources/clusters"
)

// EnvoyConfig says how envoy/envoy.yaml is changed for a run. Addresses are
// host:port or unix:///path.
type EnvoyConfig struct {
	// Authz is the check service. Required.
	Authz string
	// Upstream is the MCP server of the routes that name none.
	Upstream string
	// Collector receives Envoy's spans; "" turns tracing off.
	Collector string
	// Routes replace those of envoy.yaml; empty leaves them: /mcp to Upstream,
	// as the server "demo".
	Routes []Route
	// Version is one that envoy/install.sh pins; "" is its default.
	Version string
	// Set changes single settings at last: a path such as ExtAuthzPath +
	// "/failure_mode_allow" to a value, or to nil, which removes it. Use it
	// where a test shows what a mistake of the operator does.
	Set map[string]any
}

// A Route leads one exact path to a server.
type Route struct {
	Path     string
	Server   string // for cedargate.server; "" leaves the extension out
	Upstream string // host:port; "" is EnvoyConfig.Upstream
}

// An Envoy is a running Envoy.
type Envoy struct {
	process     *process
	dir         string
	admin, addr string
}

// StartEnvoy installs Envoy, if need be, and starts it.
func StartEnvoy(ctx context.Context, c EnvoyConfig) (*Envoy, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, fmt.Errorf("starting envoy: %w", err)
	}
	binary, err := installEnvoy(ctx, root, c.Version)
	if err != nil {
		return nil, fmt.Errorf("installing envoy: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(root, "envoy", "envoy.yaml"))
	if err != nil {
		return nil, fmt.Errorf("starting envoy: %w", err)
	}
	bootstrap, err := c.bootstrap(text)
	if err != nil {
		return nil, fmt.Errorf("bootstrap of envoy: %w", err)
	}
	dir, err := os.MkdirTemp("", "envoy")
	if err != nil {
		return nil, fmt.Errorf("starting envoy: %w", err)
	}
	e := &Envoy{dir: dir}
	if err := e.start(ctx, binary, bootstrap); err != nil {
		return nil, errors.Join(fmt.Errorf("starting envoy: %w", err), e.Close())
	}
	return e, nil
}

func installEnvoy(ctx context.Context, root, version string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(root, "envoy", "install.sh"))
	if version != "" {
		cmd.Args = append(cmd.Args, version)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

func (e *Envoy) start(ctx context.Context, binary string, bootstrap []byte) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	config, adminFile := filepath.Join(e.dir, "envoy.yaml"), filepath.Join(e.dir, "admin")
	if err := os.WriteFile(config, bootstrap, 0o600); err != nil {
		return err
	}
	// Without --disable-hot-restart a second Envoy cannot start; access logs
	// are otherwise written every ten seconds.
	p, err := start(exec.Command(binary, "-c", config, "--admin-address-path", adminFile,
		"--disable-hot-restart", "--concurrency", "1", "-l", "warn", "--file-flush-interval-msec", "20"))
	if err != nil {
		return err
	}
	e.process = p
	return p.ready(ctx, func() error {
		admin, err := os.ReadFile(adminFile)
		if err != nil {
			return err
		}
		if e.admin = string(admin); e.admin == "" {
			return errors.New("admin address is not written yet")
		}
		if _, err := e.Admin(ctx, "/ready"); err != nil {
			return err
		}
		e.addr, err = e.listener(ctx)
		return err
	})
}

// listener asks which port the system chose.
func (e *Envoy) listener(ctx context.Context) (string, error) {
	body, err := e.Admin(ctx, "/listeners?format=json")
	if err != nil {
		return "", err
	}
	var answer struct {
		Listeners []struct {
			Address struct {
				Socket struct {
					Port int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", err
	}
	if len(answer.Listeners) != 1 || answer.Listeners[0].Address.Socket.Port == 0 {
		return "", fmt.Errorf("listeners are %s, want one with a port", body)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(answer.Listeners[0].Address.Socket.Port)), nil
}

// Addr is where clients connect, host:port.
func (e *Envoy) Addr() string { return e.addr }

// URL is that of path, for clients.
func (e *Envoy) URL(path string) string { return "http://" + e.addr + path }

// Admin asks Envoy's admin interface; path may have a query.
func (e *Envoy) Admin(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("admin %s answered %d: %s", path, resp.StatusCode, body)
	}
	return body, err
}

// Stats returns Envoy's counters and gauges, such as
// "http.mcp.ext_authz.cedargate.denied".
func (e *Envoy) Stats(ctx context.Context) (map[string]int64, error) {
	body, err := e.Admin(ctx, "/stats?format=json&type=All")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Stats []struct {
			Name  string
			Value json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("stats of envoy: %w", err)
	}
	stats := make(map[string]int64, len(answer.Stats))
	for _, s := range answer.Stats {
		// Text readouts and histograms are not numbers.
		if n, err := strconv.ParseInt(string(s.Value), 10, 64); err == nil {
			stats[s.Name] = n
		}
	}
	return stats, nil
}

// AccessLog returns the access log so far, one object for each request that
// has ended. Envoy writes it with a delay: see WaitAccess.
func (e *Envoy) AccessLog() []map[string]any { return e.process.stdout.objects() }

// WaitAccess returns the first access-log line, past or to come, that want
// accepts.
func (e *Envoy) WaitAccess(ctx context.Context, want func(map[string]any) bool) (map[string]any, error) {
	return e.process.stdout.wait(ctx, want)
}

// Log returns the last lines of Envoy's own log.
func (e *Envoy) Log() string { return e.process.stderr.tail() }

// Close stops Envoy. An error says that it did not end well.
func (e *Envoy) Close() error {
	var err error
	if e.process != nil {
		err = e.process.close()
	}
	return errors.Join(err, os.RemoveAll(e.dir))
}
