package stack_test

import (
	"context"
	"net"
	"os"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/cedargate/cedargate/pkg/authztest/corpus"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
	"github.com/cedargate/cedargate/pkg/extauthz"
)

// The corpus: each case gives the same answer in process, over gRPC in both
// shapes of a CheckRequest, and through a real Envoy.
func TestCorpus(t *testing.T) {
	fsys := os.DirFS("../../../testdata")
	cases, err := corpus.Load(fsys, "decisions")
	if err != nil {
		t.Fatal(err)
	}
	world, err := corpus.NewWorld(fsys, "world")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { world.Close() })
	address := serveEdge(t, world)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	envoy := startEnvoy(t, world, address, cases)

	askers := []struct {
		name, level string
		ask         corpus.Asker
	}{
		{"engine", corpus.Engine, world.InProcess},
		{"grpc", corpus.GRPC, stack.AskGRPC(conn, stack.Raw)},
		{"grpc with joined headers", corpus.GRPC, stack.AskGRPC(conn, stack.Joined)},
		{"envoy", corpus.Envoy, envoy},
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			for _, a := range askers {
				if _, out := c.LeavesOut[a.level]; out {
					continue
				}
				diff, err := world.Run(t.Context(), c, a.ask)
				if err != nil {
					t.Errorf("%s: %v", a.name, err)
				} else if diff != "" {
					t.Errorf("%s: %s (-want +got):\n%s", a.name, c.Why, diff)
				}
			}
		})
	}
}

// serveEdge serves the gRPC edge over the engine of world.
func serveEdge(t *testing.T, world *corpus.World) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(extauthz.Options()...)
	authv3.RegisterAuthorizationServer(server, extauthz.New(extauthz.Config{Engine: world.Engine}))
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// startEnvoy starts an Envoy with a route for every path that a case uses, and
// a server behind it that takes whatever comes.
func startEnvoy(t *testing.T, world *corpus.World, authz string, cases []corpus.Case) corpus.Asker {
	t.Helper()
	upstream, err := stack.StartRecorder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { upstream.Close() })
	envoy, err := stack.StartEnvoy(context.Background(), stack.EnvoyConfig{
		Authz: authz, Upstream: upstream.Addr(), Routes: routes(world, cases),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { envoy.Close() })
	return stack.AskHTTP(envoy.Addr(), func() [][]byte {
		var bodies [][]byte
		for _, r := range upstream.Requests() {
			bodies = append(bodies, r.Body)
		}
		upstream.Reset()
		return bodies
	})
}

func routes(world *corpus.World, cases []corpus.Case) []stack.Route {
	seen := map[string]bool{}
	var routes []stack.Route
	add := func(path string) {
		if path != "" && !seen[path] {
			seen[path] = true
			routes = append(routes, stack.Route{Path: path})
		}
	}
	for _, s := range world.Config.Servers {
		for _, path := range s.Paths {
			add(path)
		}
	}
	for _, c := range cases {
		add(c.Request.Path)
	}
	return routes
}
