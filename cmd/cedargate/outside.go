package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/policy"
)

// newLog makes the operator's log, and the level that it obeys.
func newLog(c config.Log, w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(c.Level)
	options := &slog.HandlerOptions{Level: level}
	if c.Text {
		return slog.New(slog.NewTextHandler(w, options)), level
	}
	return slog.New(slog.NewJSONHandler(w, options)), level
}

// announce says what is served, a line for each part, and what an operator
// should know of the configuration.
func announce(log *slog.Logger, a *config.Assembly, files []policy.File, advice problems) {
	for _, p := range advice {
		log.Warn("configuration", "problem", p.String(), "hint", p.Hint)
	}
	for _, i := range a.Config.Issuers {
		log.Info("issuer", "name", i.Name, "issuer", i.Identifier)
	}
	for _, w := range a.Config.Workloads {
		log.Info("workload", "name", w.Name, "trust_domain", w.TrustDomain, "dns_domain", w.DNSDomain, "xfcc", w.Forwarded)
	}
	for _, s := range a.Config.Servers {
		log.Info("server", "name", s.Name, "resource", s.Resource, "hosts", s.Hosts, "paths", s.Paths,
			"issuers", s.Issuers, "api_keys", s.APIKeys, "workloads", s.Workloads, "anonymous", s.Anonymous)
	}
	for _, f := range files {
		log.Info("policy file", "name", f.Name, "bytes", len(f.Text))
	}
}

// stdoutPath is the audit.path that means standard output.
const stdoutPath = "stdout"

// lost reports whether w throws away what is written to it. Standard output
// does when the process was started with it closed, or by a supervisor that
// drops it: then every write of a record succeeds, and nobody has it.
func lost(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	got, err := f.Stat()
	null, nullErr := os.Stat(os.DevNull)
	return err == nil && nullErr == nil && os.SameFile(got, null)
}

// openAudit opens where records go. Records are appended to a file that only
// its owner reads.
func openAudit(path, file string, stdout io.Writer) (io.WriteCloser, error) {
	if path == stdoutPath {
		return unclosed{stdout}, nil
	}
	f, err := os.OpenFile(besides(file, path), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, hinted{fmt.Errorf("opening audit file: %w", err), "audit.path is relative to the configuration file; without a record nothing is allowed"}
	}
	return f, nil
}

// unclosed leaves a stream open that is not ours to close.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// listen opens both listeners, or none.
func listen(c *config.Config) (edge, admin net.Listener, err error) {
	if edge, err = listenAt("listen.grpc", c.GRPC); err != nil {
		return nil, nil, err
	}
	if admin, err = listenAt("listen.admin", c.Admin); err != nil {
		return nil, nil, errors.Join(err, edge.Close())
	}
	return edge, admin, nil
}

func listenAt(field string, a config.Address) (net.Listener, error) {
	if a.Network == "unix" {
		if err := removeStale(a.Address); err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
	}
	l, err := net.Listen(a.Network, a.Address)
	if err != nil {
		return nil, hinted{fmt.Errorf("%s: %w", field, err), listenHint(a, err)}
	}
	return l, nil
}

// listenHint says what to do about an address that cannot be listened on.
func listenHint(a config.Address, err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "this process may not open " + a.Address
	case errors.Is(err, fs.ErrNotExist):
		return "make the directory of " + a.Address + " first"
	case errors.Is(err, syscall.EINVAL) && a.Network == "unix":
		return "the path of a socket has at most about 100 bytes: choose a shorter one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine does not have the address " + a.Address
	case errors.Is(err, syscall.EADDRINUSE) && a.Network == "unix":
		return "a file that is no socket is in the way: remove " + a.Address
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process holds " + a.Address
	}
	return "is the address meant to be one of this machine?"
}

// removeStale removes a socket that nobody listens on any more, as a process
// that was killed leaves it.
func removeStale(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil // net.Listen makes it, or says what is in the way
	}
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("%s: another process listens there", path), conn.Close())
	}
	return os.Remove(path)
}

// tracing makes a tracer by the standard OTEL_* variables; with none of them
// set nothing is exported. What the exporter says goes to log. The returned
// function sends what is left.
func tracing(ctx context.Context, auditPath string, log *slog.Logger) (trace.Tracer, func(), error) {
	if !exporterWanted() {
		return nil, func() {}, nil
	}
	if os.Getenv("OTEL_TRACES_EXPORTER") == "console" && auditPath == stdoutPath {
		return nil, nil, hinted{
			errors.New("tracing: the exporter console would write spans between the records on stdout"),
			"let audit.path name a file, or use another OTEL_TRACES_EXPORTER",
		}
	}
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("tracing", "error", err) }))
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, nil, hinted{fmt.Errorf("tracing: %w", err), "OTEL_TRACES_EXPORTER is otlp, console or none, OTEL_EXPORTER_OTLP_PROTOCOL is grpc or http/protobuf"}
	}
	who, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "cedargate"), attribute.String("service.version", version())),
		resource.WithFromEnv()) // last, so that OTEL_SERVICE_NAME wins
	if err != nil {
		return nil, nil, fmt.Errorf("tracing: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(who))
	flush := func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = provider.Shutdown(late) // spans are help, not records: a lost one stops nothing
	}
	return provider.Tracer("github.com/cedargate/cedargate"), flush, nil
}

func exporterWanted() bool {
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}
