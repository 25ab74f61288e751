// Package extauthz is the Envoy edge: it serves envoy.service.auth.v3 by
// turning each CheckRequest into an authz.Request and each authz.Result into a
// CheckResponse.
package extauthz

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/mcp"
)

// MaxMessageBytes is the gRPC receive limit: above the largest body that Envoy
// may be configured to send (64 MiB) with its headers and certificate, since a
// refusal by gRPC would be an error to Envoy, and not our answer (invariant 3).
const MaxMessageBytes = 80 << 20

// A checker decides requests; *authz.Engine is one.
type checker interface {
	Check(ctx context.Context, r authz.Request) authz.Result
}

// Config is what a Server is made from. Engine is required.
type Config struct {
	Engine checker
	Tracer trace.Tracer // nil traces nothing
	Log    *slog.Logger // nil discards
}

// A Server implements envoy.service.auth.v3.Authorization. It is safe for
// concurrent use.
type Server struct {
	authv3.UnimplementedAuthorizationServer
	Config
}

// New makes a Server of c.
func New(c Config) *Server {
	if c.Tracer == nil {
		c.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{Config: c}
}

// Register adds s to the services of r, so that only this package has to know
// Envoy's types.
func (s *Server) Register(r grpc.ServiceRegistrar) { authv3.RegisterAuthorizationServer(r, s) }

// Options are the gRPC server options that this edge needs: the receive limit,
// tolerance for Envoy's keepalives (by default grpc-go answers them with
// GOAWAY), and connections that end now and then, so that a new replica gets
// its share.
func Options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.ForceServerCodecV2(newLenient()),
		grpc.MaxConcurrentStreams(10000),
		grpc.WaitForHandlers(true), // a check that is cut off is recorded all the same
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: 30 * time.Second}),
	}
}

// Check answers Envoy. It never returns an error and never an empty response,
// which Envoy would take for an allow (invariants 1 and 3).
func (s *Server) Check(ctx context.Context, in *authv3.CheckRequest) (out *authv3.CheckResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.ErrorContext(ctx, "check panicked at the edge", "panic", p, "stack", string(debug.Stack()))
			out, err = respond(authz.Result{}), nil
		}
	}()
	r := decode(in)
	ctx, span := s.Tracer.Start(parent(ctx, r.HTTP), "envoy.service.auth.v3.Authorization/Check", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	result := s.Engine.Check(ctx, r)
	audit.Annotate(span, result.Record)
	return respond(result), nil
}

// parent joins the trace of Envoy, whose context comes in the gRPC metadata.
// Only where Envoy does not trace is there nothing but what the client sent.
func parent(ctx context.Context, h mcp.HTTP) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	var w3c propagation.TraceContext
	joined := w3c.Extract(ctx, carrier(md))
	if trace.SpanContextFromContext(joined).IsValid() {
		return joined
	}
	client := propagation.MapCarrier{}
	for _, f := range h.Header {
		if f.Name == "traceparent" || f.Name == "tracestate" {
			client[f.Name] = f.Value
		}
	}
	return w3c.Extract(ctx, client)
}

// A carrier reads trace context from gRPC metadata.
type carrier metadata.MD

// Get returns the only value of key; two values are none.
func (c carrier) Get(key string) string {
	if v := metadata.MD(c).Get(key); len(v) == 1 {
		return v[0]
	}
	return ""
}

// Set does nothing: nothing is injected here.
func (carrier) Set(string, string) {}

// Keys is not needed to extract a W3C trace context.
func (carrier) Keys() []string { return nil }
