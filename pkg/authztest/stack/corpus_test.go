package stack_test

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
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
	cases, world := theCorpus(t)
	address := serveEdge(t, world)
	conn := dial(t, address)
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
				// The first level that differs is told alone: the next ones
				// would say the same.
				diff, err := world.Run(t.Context(), c, a.ask)
				if err != nil {
					t.Fatalf("%s: %v", a.name, err)
				} else if diff != "" {
					t.Fatalf("%s: %s (-want +got):\n%s", a.name, c.Why, diff)
				}
			}
		})
	}
}

func theCorpus(tb testing.TB) ([]corpus.Case, *corpus.World) {
	tb.Helper()
	cases, world, err := corpus.Open(os.DirFS("../../../testdata"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { world.Close() })
	return cases, world
}

func dial(tb testing.TB, address string) *grpc.ClientConn {
	tb.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

// serveEdge serves the gRPC edge over the engine of world.
func serveEdge(tb testing.TB, world *corpus.World) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := grpc.NewServer(extauthz.Options()...)
	extauthz.New(extauthz.Config{Engine: world.Engine}).Register(server)
	go server.Serve(listener)
	tb.Cleanup(server.Stop)
	return listener.Addr().String()
}

// startEnvoy starts an Envoy with the routes that the cases need, and a server
// behind it that takes whatever comes.
func startEnvoy(t *testing.T, world *corpus.World, authz string, cases []corpus.Case) corpus.Asker {
	t.Helper()
	upstream, err := stack.StartRecorder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { upstream.Close() })
	r := routing{seen: map[stack.Route]bool{}, set: map[string]any{
		// Half a second is enough, but not for a machine that does other things.
		stack.ExtAuthzPath + "/grpc_service/timeout": "1s",
		// As envoy/envoy.yaml says for a server with a header for API keys.
		stack.ExtAuthzPath + "/decoder_header_mutation_rules/allow_expression/regex": "^(x[-_]cedargate[-_].*|authorization|x-api-key)$",
	}}
	r.add(t, world, cases)
	envoy, err := stack.StartEnvoy(context.Background(), stack.EnvoyConfig{
		Authz: authz, Upstream: upstream.Addr(), Routes: r.routes, Set: r.set,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { envoy.Close() })
	return stack.AskHTTP(envoy.Addr(), func() []stack.Request {
		defer upstream.Reset()
		return upstream.Requests()
	})
}

// A routing collects routes. Those that a case takes another way than the usual
// one come first, and take only requests that say so.
type routing struct {
	routes []stack.Route
	set    map[string]any
	seen   map[stack.Route]bool
}

func (r *routing) add(t *testing.T, world *corpus.World, cases []corpus.Case) {
	t.Helper()
	usual := map[string]bool{}
	for _, c := range cases {
		if _, out := c.LeavesOut[corpus.Envoy]; out {
			continue
		}
		s, err := world.Request(c)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		path, _, _ := strings.Cut(s.Path, "?")
		if s.Via() == "" {
			usual[path] = true
		} else {
			r.special(s, path)
		}
	}
	for path := range usual {
		r.routes = append(r.routes, stack.Route{Path: path})
	}
}

// special adds the route of s, which is not the usual one.
func (r *routing) special(s corpus.Sent, path string) {
	route := stack.Route{Path: path, Server: s.Server}
	key := route
	key.Upstream = s.Via()
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	at := stack.ManagerPath + "/route_config/virtual_hosts/0/routes/"
	match := []any{map[string]any{"name": corpus.ViaHeader, "string_match": map[string]any{"exact": s.Via()}}}
	call, metadata := at+strconv.Itoa(2*len(r.routes)), at+strconv.Itoa(2*len(r.routes)+1)
	r.set[call+"/match/headers"], r.set[metadata+"/match/headers"] = match, match
	r.routes = append(r.routes, route)
	if settings := buffering[s.Route]; settings != nil {
		r.set[call+"/typed_per_filter_config"] = map[string]any{"envoy.filters.http.ext_authz": map[string]any{
			"@type":          "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
			"check_settings": settings,
		}}
	}
}

// buffering are the mistakes of an operator that a case can meet.
var buffering = map[string]map[string]any{
	corpus.Unbuffered: {"disable_request_body_buffering": true},
	corpus.Partial: {"with_request_body": map[string]any{
		"max_request_bytes": corpus.PartialBytes, "allow_partial_message": true, "pack_as_bytes": true,
	}},
}

// Every action of the schema, status, reason and kind of credential has a case
// that is asked behind Envoy.
func TestCorpusCoverage(t *testing.T) {
	cases, err := corpus.Load(os.DirFS("../../../testdata"), "decisions")
	if err != nil {
		t.Fatal(err)
	}
	reached := corpus.Coverage(cases, corpus.Envoy)
	for _, wanted := range corpus.Wanted() {
		if !reached[wanted] {
			t.Errorf("no case behind Envoy for: %s", wanted)
		}
	}
}

// BenchmarkCheck asks over gRPC what the corpus allows of tools/call in turn,
// of Cedargate and of a service that does nothing: what counts is the ratio.
func BenchmarkCheck(b *testing.B) {
	cases, world := theCorpus(b)
	calls, err := world.AllowedCalls(cases)
	if err != nil {
		b.Fatal(err)
	}
	var asked []*authv3.CheckRequest
	for _, r := range calls {
		asked = append(asked, stack.CheckRequest(r, stack.Raw))
	}
	nothing, err := stack.StartDoNothing()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nothing.Close() })
	for _, service := range []struct{ name, address string }{
		{"service=nothing", nothing.Addr()},
		{"service=cedargate", serveEdge(b, world)},
	} {
		b.Run(service.name, func(b *testing.B) {
			client := authv3.NewAuthorizationClient(dial(b, service.address))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				response, err := client.Check(b.Context(), asked[i%len(asked)])
				if err != nil || response.GetStatus().GetCode() != 0 {
					b.Fatalf("Check() = %v, %v, want an allow", response, err)
				}
			}
		})
	}
}
