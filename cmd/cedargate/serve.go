package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/extauthz"
)

// grace bounds how long requests in flight may take to end after SIGTERM.
const grace = 10 * time.Second

func serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Answer Envoy until SIGTERM",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), file, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// serve builds every part in the order of their dependence, serves until ctx
// is done, and stops: health says NOT_SERVING, requests in flight end, then
// records and spans are flushed.
func serve(ctx context.Context, file string, stdout, stderr io.Writer) (err error) {
	seen := fingerprintOf(file) // before it is read, so that no later edit is taken for this one
	c, files, advice, err := read(file)
	if err != nil {
		return err
	}
	log, level := newLog(c.Log, stderr)
	sink, err := openAudit(c.AuditPath, file, stdout)
	if err != nil {
		return err
	}
	written := audit.New(sink)
	defer func() { err = errors.Join(err, written.Close(), sink.Close()) }()
	live := &reloader{file: file, log: log, level: level}
	shown, err := newMetrics(live.keysByName)
	if err != nil {
		return err
	}
	live.records = shown.counting(written)
	a, advice, err := assemble(c, config.Parts{Files: files, Records: live.records, ReadFile: beside(file), Log: log}, advice)
	if err != nil {
		return err
	}
	tracer, flush, err := tracing(ctx, c.AuditPath, log)
	if err != nil {
		return err
	}
	defer flush()
	edge, admin, err := listen(c)
	if err != nil {
		return err
	}
	announce(log, a, files, advice)
	if c.AuditPath == stdoutPath && lost(stdout) {
		log.Warn("stdout is closed or the null device: every decision record is lost", "hint", "let audit.path name a file")
	}
	log.Info("serving", "grpc", edge.Addr().String(), "admin", admin.Addr().String(), "policy_set", a.Policies.Hash(), "version", version())
	live.begin(a, seen)
	server := grpc.NewServer(extauthz.Options()...)
	extauthz.New(extauthz.Config{Engine: live, Tracer: tracer, Log: log}).Register(server)
	return serveUntil(ctx, parts{live: live, shown: shown, server: server, edge: edge, admin: admin, log: log})
}

// parts are what runs.
type parts struct {
	live        *reloader
	shown       *metrics
	server      *grpc.Server
	edge, admin net.Listener
	log         *slog.Logger
}

// serveUntil runs p until ctx is done or a part fails.
func serveUntil(ctx context.Context, p parts) error {
	alive := health.NewServer() // says SERVING: it depends on neither keys nor policies (contract §7)
	healthv1.RegisterHealthServer(p.server, alive)
	admin := &http.Server{Handler: adminHandler(p.live, p.shown), ReadHeaderTimeout: 5 * time.Second}

	group, ctx := errgroup.WithContext(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	group.Go(func() error { p.live.run(ctx, hangup); return nil })
	group.Go(func() error {
		if err := admin.Serve(p.admin); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("admin listener: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		if err := p.server.Serve(p.edge); err != nil {
			return fmt.Errorf("grpc listener: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		p.log.Info("stopping", "grace", grace.String())
		alive.Shutdown()
		stopServer(p.server)
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return admin.Shutdown(late)
	})
	return group.Wait()
}

// stopServer lets requests in flight end, for at most the grace.
func stopServer(s *grpc.Server) {
	cut := time.AfterFunc(grace, s.Stop)
	defer cut.Stop()
	s.GracefulStop()
}
