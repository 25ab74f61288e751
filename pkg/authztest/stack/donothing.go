package stack

import (
	"context"
	"errors"
	"fmt"
	"net"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// DoNothing is an ext_authz service that allows everything, at once. Cedargate's
// latency is told as a ratio to its; it listens on TCP, so let Cedargate do so
// too, where a few per cent matter.
type DoNothing struct{ server *rpcServer }

// StartDoNothing starts one on loopback.
func StartDoNothing() (*DoNothing, error) {
	server, err := serveRPC(func(s *grpc.Server) {
		authv3.RegisterAuthorizationServer(s, allowAll{})
		healthv1.RegisterHealthServer(s, health.NewServer())
	})
	if err != nil {
		return nil, fmt.Errorf("starting do-nothing check service: %w", err)
	}
	return &DoNothing{server}, nil
}

// Addr is where it listens, host:port.
func (d *DoNothing) Addr() string { return d.server.addr() }

// Close stops it.
func (d *DoNothing) Close() error { return d.server.close() }

type allowAll struct {
	authv3.UnimplementedAuthorizationServer
}

// Check allows. To Envoy a response whose status is 0 is an allow.
func (allowAll) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{Status: &status.Status{}}, nil
}

// An rpcServer is a gRPC server on loopback.
type rpcServer struct {
	server   *grpc.Server
	listener net.Listener
	served   chan struct{} // closed when Serve has returned err
	err      error
}

func serveRPC(register func(*grpc.Server)) (*rpcServer, error) {
	l, err := net.Listen("tcp", loopback)
	if err != nil {
		return nil, err
	}
	// Above any body that Envoy is configured to send.
	s := &rpcServer{server: grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20)), listener: l, served: make(chan struct{})}
	register(s.server)
	go func() {
		defer close(s.served)
		s.err = s.server.Serve(l)
	}()
	return s, nil
}

func (s *rpcServer) addr() string { return s.listener.Addr().String() }

func (s *rpcServer) close() error {
	s.server.Stop()
	<-s.served
	if errors.Is(s.err, grpc.ErrServerStopped) {
		return nil
	}
	return s.err
}
