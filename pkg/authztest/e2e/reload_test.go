package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
	"github.com/cedargate/cedargate/pkg/token"
)

const queryPermit = `@id("query") permit (principal, action == MCP::Action::"tools/call", resource == MCP::Tool::"demo/query");` + "\n"

const queryForbid = `@id("closed") forbid (principal, action == MCP::Action::"tools/call", resource);` + "\n"

// replace writes a file as an editor does: beside the old one, then in its
// place.
func replace(t *testing.T, g *stack.Cedargate, name, text string) {
	t.Helper()
	file := filepath.Join(g.Dir(), name)
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// listening is a configuration that listens where g does.
func listening(g *stack.Cedargate, config []byte) string {
	return fmt.Sprintf("%s\nlisten: { grpc: %q, admin: %q }\n", config,
		"unix://"+filepath.Join(g.Dir(), "grpc.sock"), "unix://"+filepath.Join(g.Dir(), "admin.sock"))
}

// reloads gives the records of reloads, in order.
func reloads(g *stack.Cedargate) []map[string]any {
	var all []map[string]any
	for _, r := range g.Records() {
		if r["event"] == "reload" {
			all = append(all, r)
		}
	}
	return all
}

// afterReload carries out an edit and returns the record of what became of it.
func afterReload(t *testing.T, g *stack.Cedargate, edit func()) map[string]any {
	t.Helper()
	before := len(reloads(g))
	edit()
	eventually(t, "the record of a reload", func() bool { return len(reloads(g)) > before })
	return reloads(g)[before]
}

// reloaded carries out an edit that is good.
func reloaded(t *testing.T, g *stack.Cedargate, edit func()) {
	t.Helper()
	if r := afterReload(t, g, edit); r["reason"] != "reloaded" || r["policy_set"] == "" {
		t.Fatalf("the edit ended in %v, want reason reloaded", r)
	}
}

const twoIssuers = `
issuers:
  - { name: corp, issuer: %q }
  - { name: partner, issuer: %q }
servers:
  - { name: demo, resource: %s, issuers: [corp, partner] }
policies: { path: policies }
`

// An issuer that is taken out is refused with the next call of a session that is
// open; one that stays keeps its session and its keys.
func TestReloadRevokesAnIssuer(t *testing.T) {
	t.Parallel()
	corp, partner := newIssuer(t, authztest.IssuerConfig{}), newIssuer(t, authztest.IssuerConfig{})
	h := house{issuer: corp, upstream: newUpstream(t)}
	all := `permit (principal, action, resource);`
	h.cedargate = newCedargate(t, stack.CedargateConfig{
		Config: fmt.Appendf(nil, twoIssuers, corp.URL(), partner.URL(), demoResource), Files: policies(all),
	})
	h.envoy = newEnvoy(t, stack.EnvoyConfig{Authz: h.cedargate.Addr(), Upstream: h.upstream.Addr(), Routes: []stack.Route{{Path: "/mcp", Server: "demo"}}})
	stays := h.connect(t, corp.Mint(nil), "2025-06-18", "stays")
	goes := h.connect(t, partner.Mint(nil), "2025-06-18", "goes")
	list := func(s *mcp.ClientSession) error {
		_, err := s.ListTools(soon(t), nil)
		return err
	}
	if err := list(stays); err != nil {
		t.Fatalf("before the edit: %v", err)
	}
	if err := list(goes); err != nil {
		t.Fatalf("before the edit: %v", err)
	}
	fetched := corp.Fetches()
	reloaded(t, h.cedargate, func() { replace(t, h.cedargate, "cedargate.yaml", listening(h.cedargate, config(corp, ""))) })
	if err := list(goes); err == nil || !strings.Contains(err.Error(), "nauthorized") {
		t.Errorf("the next call of the revoked issuer: %v, want 401", err)
	}
	if r, err := h.cedargate.WaitRecord(soon(t), func(r map[string]any) bool { return r["reason"] == "unknown_issuer" }); err != nil {
		t.Errorf("no record of the refusal: %v, %v", r, err)
	}
	if err := list(stays); err != nil {
		t.Errorf("the call of the issuer that stays: %v", err)
	}
	if got := corp.Fetches(); got != fetched {
		t.Errorf("fetches of the issuer that stays: %+v, want still %+v", got, fetched)
	}
}

// An edit of a policy file decides the next call, within a second; what is good
// is taken whatever way it comes.
func TestReloadPolicies(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	g := newCedargate(t, stack.CedargateConfig{Config: config(issuer, ""), Files: policies(queryPermit)})
	a, token := newAsker(t, g.Addr()), issuer.Mint(nil)
	a.want(t, token, "200 permitted")
	main := filepath.Join(g.Dir(), "policies", "main.cedar")
	extra := filepath.Join(g.Dir(), "policies", "extra.cedar")
	const closed = "403 denied_by_policy"
	edits := []struct {
		name string
		do   func() error
		want string
	}{
		{"written in place", func() error { return os.WriteFile(main, []byte(queryPermit+queryForbid), 0o600) }, closed},
		{"put in its place", func() error { replace(t, g, "policies/main.cedar", queryPermit); return nil }, "200 permitted"},
		{"a new file", func() error { return os.WriteFile(extra, []byte(queryForbid), 0o600) }, closed},
		{"a file less", func() error { return os.Remove(extra) }, "200 permitted"},
		{"another directory", func() error { return swapDirectory(g, queryPermit+queryForbid) }, closed},
		{"an edit in there", func() error { return os.WriteFile(main, []byte(queryPermit), 0o600) }, "200 permitted"},
	}
	quickest := time.Hour
	for _, edit := range edits {
		start := time.Now()
		if r := afterReload(t, g, func() { check(t, edit.do()) }); r["reason"] != "reloaded" {
			t.Fatalf("%s: the edit ended in %v", edit.name, r)
		}
		quickest = min(quickest, time.Since(start))
		if got, err := a.ask(soon(t), token, edit.name, []byte(queryCall)); got != edit.want || err != nil {
			t.Errorf("%s: Check() = %q, %v, want %s", edit.name, got, err, edit.want)
		}
	}
	if quickest > time.Second {
		t.Errorf("the quickest edit took %v, want less than a second", quickest)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// swapDirectory puts another directory in the place of the policies.
func swapDirectory(g *stack.Cedargate, text string) error {
	dir := filepath.Join(g.Dir(), "policies")
	if err := os.Mkdir(dir+".new", 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir+".new", "main.cedar"), []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		return err
	}
	return os.Rename(dir+".new", dir)
}

// A configMap is a directory as Kubernetes mounts one: the files are links
// through ..data, which is swapped from one directory to the next.
type configMap struct {
	dir string
	n   int
}

func (m *configMap) publish(files map[string]string) error {
	m.n++
	version := fmt.Sprintf("..2026_%d", m.n)
	if err := os.MkdirAll(filepath.Join(m.dir, version), 0o700); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.dir, version, name), []byte(text), 0o600); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	if err := os.Symlink(version, filepath.Join(m.dir, "..data_tmp")); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(m.dir, "..data_tmp"), filepath.Join(m.dir, "..data")); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(m.dir, fmt.Sprintf("..2026_%d", m.n-1)))
}

// A Kubernetes ConfigMap, with the configuration or with the policies, is taken
// when its ..data is swapped.
func TestReloadConfigMap(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	rules, settings := &configMap{dir: t.TempDir()}, &configMap{dir: t.TempDir()}
	check(t, rules.publish(map[string]string{"main.cedar": queryPermit}))
	text := strings.Replace(string(config(issuer, "")), "path: policies", "path: "+rules.dir, 1)
	g := newCedargate(t, stack.CedargateConfig{Config: []byte(text)})
	a, token := newAsker(t, g.Addr()), issuer.Mint(nil)
	a.want(t, token, "200 permitted")
	reloaded(t, g, func() { check(t, rules.publish(map[string]string{"main.cedar": queryPermit + queryForbid})) })
	a.want(t, token, "403 denied_by_policy")
	reloaded(t, g, func() { check(t, rules.publish(map[string]string{"main.cedar": queryPermit})) })
	a.want(t, token, "200 permitted")
	// The file itself becomes a link into a mount.
	other := text + "\ntrusted_hops: 1\n"
	check(t, settings.publish(map[string]string{"cedargate.yaml": listening(g, []byte(other))}))
	reloaded(t, g, func() {
		check(t, os.Remove(filepath.Join(g.Dir(), "cedargate.yaml")))
		check(t, os.Symlink(filepath.Join(settings.dir, "cedargate.yaml"), filepath.Join(g.Dir(), "cedargate.yaml")))
	})
	stranger := newIssuer(t, authztest.IssuerConfig{})
	reloaded(t, g, func() {
		text := strings.ReplaceAll(listening(g, []byte(text)), issuer.URL(), stranger.URL())
		check(t, settings.publish(map[string]string{"cedargate.yaml": text}))
	})
	a.want(t, token, "401 unknown_issuer")
	a.want(t, stranger.Mint(nil), "200 permitted")
}

// An edit that is broken in any way changes nothing, and says so everywhere: log
// with the place, records, readiness. The next good one is taken.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	g := newCedargate(t, stack.CedargateConfig{Config: config(issuer, ""), Files: policies(queryPermit)})
	a, token := newAsker(t, g.Addr()), issuer.Mint(nil)
	good := listening(g, config(issuer, ""))
	edits := []struct{ name, file, text, want string }{
		{"no YAML", "cedargate.yaml", good + "}", "cedargate.yaml:"},
		{"empty", "cedargate.yaml", "", "cedargate.yaml:1:1"},
		{"an unknown field", "cedargate.yaml", good + "polices: {}\n", "polices: unknown field"},
		{"another address", "cedargate.yaml", strings.Replace(good, "grpc.sock", "other.sock", 1), "listen.grpc: changes from"},
		{"another audit file", "cedargate.yaml", good + "audit: { path: a.jsonl }\n", "audit.path: changes from stdout to a.jsonl, which takes a restart"},
		{"no policy directory", "cedargate.yaml", strings.Replace(good, "path: policies", "path: nowhere", 1), "reading policies: "},
		{"no Cedar", "policies/main.cedar", queryPermit + "permit (", "main.cedar:2:"},
		{"a forbid that could not fire", "policies/main.cedar", queryPermit + `forbid (principal, action, resource == MCP::Tool::"dmo/query");`, "main.cedar:2:1"},
		{"no policies", "policies/main.cedar", "// later\n", "there are no policies any more, 1 stay in effect"},
	}
	for _, edit := range edits {
		r := afterReload(t, g, func() { replace(t, g, edit.file, edit.text) })
		if detail, _ := r["detail"].(string); r["reason"] != "reload_refused" || !strings.Contains(detail, edit.want) || r["policy_set"] == nil {
			t.Errorf("%s: the record is %v, want reload_refused with %q", edit.name, r, edit.want)
		}
		a.want(t, token, "200 permitted")
		waitLog(t, g, strings.ReplaceAll(edit.want, `"`, `\"`))
		status, body, err := g.Admin(soon(t), "/readyz?verbose")
		if status != 200 || !strings.Contains(body, "REFUSED") || !strings.Contains(body, edit.want) || err != nil {
			t.Errorf("%s: /readyz?verbose = %d %q, %v, want 200 and %q", edit.name, status, body, err, edit.want)
		}
		if _, body, err := g.Admin(soon(t), "/metrics"); !strings.Contains(body, `cedargate_reloads_total{reason="reload_refused"}`) || err != nil {
			t.Errorf("%s: /metrics = %q, %v, want the reload", edit.name, body, err)
		}
		reloaded(t, g, func() {
			replace(t, g, "cedargate.yaml", good)
			replace(t, g, "policies/main.cedar", queryPermit)
		})
		if _, body, err := g.Admin(soon(t), "/readyz?verbose"); strings.Contains(body, "REFUSED") || err != nil {
			t.Errorf("%s, repaired: /readyz?verbose = %q, %v, want nothing refused", edit.name, body, err)
		}
	}
}

// SIGHUP reloads at once, whether anything has changed or not.
func TestReloadByHangup(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	g := newCedargate(t, stack.CedargateConfig{Config: config(issuer, ""), Files: policies(queryPermit)})
	reloaded(t, g, func() { check(t, g.Signal(syscall.SIGHUP)) })
	newAsker(t, g.Addr()).want(t, issuer.Mint(nil), "200 permitted")
}

// Fifty edits under load fail and delay no check: each is decided with the
// policies before or after an edit, and the keys of the issuer stay.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	settings := func(hops int) []byte {
		return config(issuer, fmt.Sprintf("trusted_hops: %d\naudit: { path: audit.jsonl }", hops))
	}
	g := newCedargate(t, stack.CedargateConfig{Config: settings(0), Files: policies(queryPermit)})
	a, token := newAsker(t, g.Addr()), issuer.Mint(nil)
	a.want(t, token, "200 permitted")
	fetched := issuer.Fetches()
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() { askUntil(ctx, t, a, token) })
	}
	for n := range 50 {
		if n%2 == 0 {
			replace(t, g, "policies/main.cedar", fmt.Sprintf("// %d\n%s", n, queryPermit))
		} else {
			replace(t, g, "cedargate.yaml", listening(g, settings(n%30)))
		}
		check(t, g.Signal(syscall.SIGHUP))
		eventually(t, "the edit", func() bool { return strings.Count(strings.Join(g.Log(), "\n"), "configuration reloaded") > n })
	}
	stop()
	callers.Wait()
	if got := issuer.Fetches(); got != fetched {
		t.Errorf("fetches: %+v, want still %+v", got, fetched)
	}
}

// askUntil asks a few hundred times a second until ctx is done; every answer
// must be an allow.
func askUntil(ctx context.Context, t *testing.T, a asker, token string) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := a.ask(t.Context(), token, "load", []byte(queryCall))
		if got != "200 permitted" || err != nil {
			t.Errorf("during a reload: Check() = %q, %v, want 200 permitted", got, err)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// An API key that is taken out is refused with the next call of a session that
// is open.
func TestReloadRevokesAKey(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t, authztest.IssuerConfig{})
	key := token.NewAPIKey()
	with := func(keys string) []byte {
		text := strings.Replace(string(config(issuer, "")), "    issuers: [corp]\n    tools:", "    issuers: [corp]\n    api_keys: ["+keys+"]\n    tools:", 1)
		return fmt.Appendf(nil, "%s\napi_keys:\n  - { name: ci-bot, hash: %q }\n  - { name: other, hash: %q }\n", text, token.HashOf(key), token.HashOf("another"))
	}
	h := house{issuer: issuer, upstream: newUpstream(t)}
	h.cedargate = newCedargate(t, stack.CedargateConfig{Config: with("ci-bot, other"), Files: policies(`permit (principal, action, resource);`)})
	h.envoy = newEnvoy(t, stack.EnvoyConfig{Authz: h.cedargate.Addr(), Upstream: h.upstream.Addr(), Routes: []stack.Route{{Path: "/mcp", Server: "demo"}}})
	session := h.connect(t, key, "2025-06-18", "ci")
	if _, err := session.ListTools(soon(t), nil); err != nil {
		t.Fatalf("before the edit: %v", err)
	}
	reloaded(t, h.cedargate, func() { replace(t, h.cedargate, "cedargate.yaml", listening(h.cedargate, with("other"))) })
	if _, err := session.ListTools(soon(t), nil); err == nil || !strings.Contains(err.Error(), "nauthorized") {
		t.Errorf("the next call with the revoked key: %v, want 401", err)
	}
}
