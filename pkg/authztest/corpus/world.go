package corpus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/policy"
	"github.com/cedargate/cedargate/pkg/token"
)

// Faults are the parts that a case can break, with what they do.
var Faults = map[string]string{
	"panic": "the token verifier panics",
	"stall": "the token verifier waits until it is given up",
	"audit": "records cannot be written",
}

// A World is what the cases are asked in: issuers that run, and an engine that
// is assembled from a configuration file as the program does it. Its clock and
// its faults are those of the case that is being asked, so one case is asked at
// a time.
type World struct {
	Engine *authz.Engine
	Config *config.Config

	issuers map[string]*authztest.Issuer
	stop    context.CancelFunc

	mu     sync.Mutex
	now    time.Time
	fault  string
	record audit.Record
	count  int
}

// placeholders are the URLs of issuers in the configuration file: ${corp}.
var placeholders = regexp.MustCompile(`\$\{([a-z0-9-]+)\}`)

// broken are the issuers that are not well; every other has one key for each of
// its algorithms.
var broken = map[string]func(*authztest.Issuer){
	"down":    func(i *authztest.Issuer) { i.Break(authztest.Down) },
	"mute":    func(i *authztest.Issuer) { i.Break(authztest.Down) },
	"rotated": (*authztest.Issuer).Rotate, // two keys for each
}

// NewWorld makes a World of the files world.yaml, those that it names, and
// policies/*.cedar below dir
// of fsys. The caller closes it.
func NewWorld(fsys fs.FS, dir string) (*World, error) {
	w := &World{issuers: map[string]*authztest.Issuer{}, stop: func() {}}
	if err := w.open(fsys, dir); err != nil {
		w.Close()
		return nil, fmt.Errorf("world: %w", err)
	}
	return w, nil
}

func (w *World) open(fsys fs.FS, dir string) error {
	text, err := fs.ReadFile(fsys, path.Join(dir, "world.yaml"))
	if err != nil {
		return err
	}
	if text, err = w.startIssuers(text); err != nil {
		return err
	}
	c, problems := config.Parse("world.yaml", text)
	if c == nil {
		return asError(problems)
	}
	files, err := policies(fsys, path.Join(dir, "policies"))
	if err != nil {
		return err
	}
	a, problems := c.Assemble(config.Parts{
		Files: files, Records: tap{w}, Now: w.Now, Log: slog.New(slog.DiscardHandler),
		ReadFile: func(name string) ([]byte, error) { return fs.ReadFile(fsys, path.Join(dir, name)) },
	})
	if a == nil {
		return asError(problems)
	}
	w.Config = c
	parts := a.Engine.Config
	parts.Tokens = breakable{w, parts.Tokens}
	if w.Engine, err = authz.New(parts); err != nil {
		return err
	}
	return w.start(a)
}

// startIssuers starts an issuer for each placeholder of a configuration, and
// fills in its URL.
func (w *World) startIssuers(text []byte) ([]byte, error) {
	names := []string{holder}
	for _, found := range placeholders.FindAllSubmatch(text, -1) {
		names = append(names, string(found[1]))
	}
	for _, name := range names {
		if w.issuers[name] != nil {
			continue
		}
		issuer, err := authztest.NewIssuer(authztest.IssuerConfig{Algorithms: []string{"ES256", "EdDSA"}, Now: w.Now})
		if err != nil {
			return nil, err
		}
		w.issuers[name] = issuer
		if change := broken[name]; change != nil {
			change(issuer)
		}
		text = bytes.ReplaceAll(text, []byte("${"+name+"}"), []byte(issuer.URL()))
	}
	return text, nil
}

// start fetches the keys of the issuers that have some.
func (w *World) start(a *config.Assembly) error {
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	deadline := time.After(10 * time.Second)
	for i, keys := range a.Keys {
		go keys.Run(ctx)
		if name := a.Config.Issuers[i].Name; name == "down" || name == "mute" {
			continue
		}
		for !keys.Ready() {
			select {
			case <-deadline:
				return fmt.Errorf("no keys of issuer %q", a.Config.Issuers[i].Name)
			case <-time.After(time.Millisecond):
			}
		}
	}
	return nil
}

// Close stops the issuers.
func (w *World) Close() error {
	w.stop()
	var errs []error
	for _, issuer := range w.issuers {
		errs = append(errs, issuer.Close())
	}
	return errors.Join(errs...)
}

// Now is the time of the case that is being asked.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Begin makes c the case that is being asked, at its time and with its fault,
// and returns what its client sends.
func (w *World) Begin(c Case) (Sent, error) {
	w.begin(c)
	s, err := w.Request(c)
	w.begin(c) // a credential may have needed checks of its own
	return s, err
}

func (w *World) begin(c Case) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.fault, w.record, w.count = c.At, c.Fault, audit.Record{}, 0
}

// end returns the record of the case, and how many there were.
func (w *World) end() (audit.Record, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.record, w.count
}

func (w *World) fails(fault string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault == fault
}

func (w *World) server(name string) (authz.Server, error) {
	i := slices.IndexFunc(w.Config.Servers, func(s config.Server) bool { return s.Name == name })
	if i < 0 {
		return authz.Server{}, fmt.Errorf("the world has no server %q", name)
	}
	return w.Config.Servers[i].Server, nil
}

// Request is what the client of c sends. The usual headers are those of an MCP
// client.
func (w *World) Request(c Case) (Sent, error) {
	server, err := w.server(c.Server)
	if err != nil {
		return Sent{}, err
	}
	body, err := c.Request.body()
	if err != nil {
		return Sent{}, err
	}
	header, err := w.header(c, server, body)
	if err != nil {
		return Sent{}, err
	}
	r := authz.Request{
		HTTP: mcp.HTTP{
			Method: or(c.Request.Method, "POST"), Header: header, Body: body, Size: int64(len(body)),
			TwoBodies: c.Request.TwoBodies, TwoHeaders: c.Request.TwoHeaders,
		},
		Host:   or(c.Request.Host, server.Hosts[0]),
		Path:   or(c.Request.Path, server.Paths[0]),
		Source: or(c.Request.Source, "127.0.0.1"),
	}
	if c.Request.Size != nil {
		r.HTTP.Size = *c.Request.Size
	}
	if c.Request.Extension != nil {
		r.Server, r.Named = *c.Request.Extension, true
	}
	return Sent{r, c.Request.Route}, nil
}

// AllowedCalls are what benchmarks ask: the calls of tools that cases allow, at
// the usual time and of a usual size. They are allowed until another case is
// asked.
func (w *World) AllowedCalls(cases []Case) ([]authz.Request, error) {
	var calls []authz.Request
	for _, c := range cases {
		e := c.Expect
		if e.Action != "tools/call" || e.Reason != "permitted" || !c.At.Equal(usualTime) || c.Request.Pad != nil {
			continue
		}
		s, err := w.Begin(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		calls = append(calls, s.Checked())
	}
	return calls, nil
}

func (w *World) header(c Case, server authz.Server, body []byte) ([]mcp.Field, error) {
	header := []mcp.Field{{Name: "accept", Value: "application/json, text/event-stream"}}
	if len(body) > 0 {
		header = append(header,
			mcp.Field{Name: "content-type", Value: "application/json"},
			mcp.Field{Name: "content-length", Value: fmt.Sprint(len(body))})
	}
	credential, err := w.authorization(c, server)
	if err != nil {
		return nil, err
	}
	for _, value := range credential {
		header = append(header, mcp.Field{Name: "authorization", Value: value})
	}
	if c.Proof != "" {
		proof, err := w.proof(c, server, strings.Join(credential, ""))
		if err != nil {
			return nil, err
		}
		header = append(header, mcp.Field{Name: "dpop", Value: proof})
	}
	for _, line := range c.Request.Header {
		if name, ok := strings.CutPrefix(line, "-"); ok {
			header = slices.DeleteFunc(header, func(f mcp.Field) bool { return f.Name == strings.ToLower(name) })
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("header %q has no colon", line)
		}
		field := mcp.Field{Name: strings.ToLower(name), Value: strings.TrimPrefix(value, " ")}
		if field.Name == "content-type" || field.Name == "content-length" {
			header = slices.DeleteFunc(header, func(f mcp.Field) bool { return f.Name == field.Name })
		}
		header = append(header, field)
	}
	return header, nil
}

// A tap keeps the last record, unless records cannot be written.
type tap struct{ w *World }

// Record keeps r, or fails as the case wants it.
func (t tap) Record(_ context.Context, r audit.Record) error {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	t.w.record = r
	t.w.count++
	if t.w.fault == "audit" {
		return errors.New("no space left on device")
	}
	return nil
}

// breakable is a verifier that can panic or stall.
type breakable struct {
	w *World
	verifier
}

type verifier interface {
	Verify(ctx context.Context, c token.Credential, accept token.Accept) (token.Claims, error)
}

// Verify verifies, or fails as the case wants it.
func (b breakable) Verify(ctx context.Context, c token.Credential, accept token.Accept) (token.Claims, error) {
	if b.w.fails("panic") {
		panic("as the case wants it")
	}
	if b.w.fails("stall") {
		<-ctx.Done()
		return token.Claims{}, ctx.Err()
	}
	return b.verifier.Verify(ctx, c, accept)
}

func policies(fsys fs.FS, dir string) ([]policy.File, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.cedar"))
	if err != nil {
		return nil, err
	}
	var files []policy.File
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		files = append(files, policy.File{Name: path.Base(name), Text: text})
	}
	return files, nil
}

func asError(problems []config.Problem) error {
	var all []error
	for _, p := range problems {
		if !p.Advice {
			all = append(all, errors.New(p.String()))
		}
	}
	return errors.Join(all...)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
