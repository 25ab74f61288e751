package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/policy"
)

//go:embed world
var embedded embed.FS

// worldFS is a directory of the configuration and policies that come with the
// demo.
func worldFS(dir string) fs.FS {
	sub, err := fs.Sub(embedded, "world/"+dir)
	if err != nil {
		panic(err) // only a path that is not valid
	}
	return sub
}

// A world is what stands around the gates.
type world struct {
	issuer    *authztest.Issuer
	github    *stack.Upstream     // the MCP server of the versions with sessions
	payments  *stack.Upstream     // the one without, also behind both offices
	login     *stack.OIDCProvider // where people sign in; nil where nobody can
	noLogin   error               // why nobody can
	collector *stack.Collector
	traces    string // where spans go: the collector's address, or another one's
	address   string // host:port of the first gate's Envoy, which the resources are named after
	dir       string // for sockets and files
	opened    time.Time
	closers   []func() error // in the order of the start
}

// newWorld starts what stands around the gates. Spans go to traces, or where it
// is empty to a collector of the world.
func newWorld(traces string) (*world, error) {
	w := &world{traces: traces, opened: time.Now()}
	if err := w.start(); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) start() (err error) {
	if w.dir, err = os.MkdirTemp("", "demo"); err != nil {
		return err
	}
	w.onClose(func() error { return os.RemoveAll(w.dir) })
	if w.issuer, err = authztest.NewIssuer(authztest.IssuerConfig{}); err != nil {
		return err
	}
	w.onClose(w.issuer.Close)
	if w.github, err = stack.StartUpstream(); err != nil {
		return err
	}
	w.onClose(w.github.Close)
	if w.payments, err = stack.StartUpstream(); err != nil {
		return err
	}
	w.onClose(w.payments.Close)
	if w.collector, err = stack.StartCollector(); err != nil {
		return err
	}
	w.onClose(w.collector.Close)
	if w.traces == "" {
		w.traces = w.collector.Addr()
	}
	return nil
}

func (w *world) onClose(f func() error) { w.closers = append(w.closers, f) }

// close stops everything, what was started last first.
func (w *world) close() error {
	var failed []error
	for _, f := range slices.Backward(w.closers) {
		failed = append(failed, f())
	}
	w.closers = nil
	return errors.Join(failed...)
}

// routes leads each protected server to its MCP server.
func (w *world) routes() []stack.Route {
	routes := []stack.Route{
		{Path: "/github/mcp", Server: "github", Upstream: w.github.Addr()},
		{Path: "/payments/mcp", Server: "payments", Upstream: w.payments.Addr()},
		{Path: "/morning/mcp", Server: "morning", Upstream: w.payments.Addr()},
		{Path: "/night/mcp", Server: "night", Upstream: w.payments.Addr()},
	}
	if w.login != nil {
		routes = append(routes, stack.Route{Path: "/library/mcp", Server: "library", Upstream: w.payments.Addr()})
	}
	return routes
}

// resource is the identifier of a protected server: the URL that clients have.
func (w *world) resource(server string) string {
	return "http://" + w.address + "/" + server + "/mcp"
}

// A gateConfig says how a gate differs from another.
type gateConfig struct {
	policies fs.FS
	extra    string // more of the configuration, as YAML
	login    bool   // with the server where people sign in, and its policies
}

// A gate is one Envoy with one Cedargate behind it.
type gate struct {
	envoy     *stack.Envoy
	cedargate *stack.Cedargate
	texts     map[string]string // of the policies, by id
	servers   []config.Server
}

// open starts a gate, which lives as long as the world. The first one gives the
// resources their names. Envoy comes first: the system chooses its port, which
// the configuration of Cedargate contains.
func (w *world) open(ctx context.Context, c gateConfig) (*gate, error) {
	socket := "unix://" + filepath.Join(w.dir, fmt.Sprintf("check%d.sock", len(w.closers)))
	envoy, err := w.envoy(ctx, socket)
	if err != nil {
		return nil, err
	}
	if w.address == "" {
		w.address = envoy.Addr()
	}
	text, err := w.config(socket, c)
	if err != nil {
		return nil, err
	}
	g := &gate{envoy: envoy}
	policies := []fs.FS{c.policies}
	if c.login {
		policies = append(policies, worldFS("login"))
	}
	files, err := g.load(text, policies...)
	if err != nil {
		return nil, err
	}
	g.cedargate, err = stack.StartCedargate(ctx, stack.CedargateConfig{Config: text, Files: files, Collector: w.traces})
	if err != nil {
		return nil, err
	}
	w.onClose(func() error {
		_, err := g.cedargate.Close()
		return err
	})
	return g, nil
}

// envoy starts an Envoy that asks at authz.
func (w *world) envoy(ctx context.Context, authz string) (*stack.Envoy, error) {
	e, err := stack.StartEnvoy(ctx, stack.EnvoyConfig{Authz: authz, Collector: w.traces, Routes: w.routes()})
	if err != nil {
		return nil, err
	}
	w.onClose(e.Close)
	return e, nil
}

// config is the configuration of Cedargate for this run.
func (w *world) config(socket string, c gateConfig) ([]byte, error) {
	text, err := fs.ReadFile(embedded, "world/cedargate.yaml")
	if err != nil {
		return nil, err
	}
	if c.login {
		text = withLogin(text, w.login.URL())
	}
	changed := strings.NewReplacer(
		"http://127.0.0.1:9000", w.issuer.URL(),
		"127.0.0.1:10000", w.address,
		"Etc/GMT-9", zoneAt(w.opened, 9),
		"Etc/GMT-2", zoneAt(w.opened, 2),
	).Replace(string(text))
	return []byte(changed + "listen: { grpc: \"" + socket + "\" }\n" + c.extra), nil
}

// zoneAt is a time zone where it is hour o'clock at t. Its sign is the other
// way round, as POSIX wants it: Etc/GMT-9 is nine hours ahead of UTC. There are
// zones from -14 to +12.
func zoneAt(t time.Time, hour int) string {
	ahead := hour - t.UTC().Hour()
	if ahead < -12 {
		ahead += 24
	}
	return fmt.Sprintf("Etc/GMT%+d", -ahead)
}

// load reads configuration and policies as Cedargate does, for what the
// transcript quotes, and returns the files to give to it.
func (g *gate) load(text []byte, policies ...fs.FS) (map[string][]byte, error) {
	c, problems := config.Parse("cedargate.yaml", text)
	if c == nil {
		return nil, fmt.Errorf("configuration: %v", problems)
	}
	files := map[string][]byte{}
	var sources []policy.File
	for _, dir := range policies {
		names, err := fs.Glob(dir, "*.cedar")
		if err == nil && len(names) == 0 {
			err = errors.New("policies: no *.cedar files in the directory")
		}
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if files["policies/"+name], err = fs.ReadFile(dir, name); err != nil {
				return nil, err
			}
			sources = append(sources, policy.File{Name: name, Text: files["policies/"+name]})
		}
	}
	set, found := policy.Load(policy.Config{Files: sources, Servers: c.PolicyServers(), Issuers: c.PolicyIssuers()})
	if set == nil {
		return nil, fmt.Errorf("policies: %v", found)
	}
	g.texts, g.servers = map[string]string{}, c.Servers
	for _, info := range set.Policies() {
		g.texts[info.ID] = info.Text
	}
	return files, nil
}
