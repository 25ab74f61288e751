package stack_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// A scripted check service answers what a test wants, and keeps what it is
// asked last.
type scripted struct {
	authv3.UnimplementedAuthorizationServer
	ok    *authv3.OkHttpResponse
	asked atomic.Pointer[authv3.AttributeContext]
}

func (s *scripted) Check(_ context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	s.asked.Store(r.GetAttributes())
	return &authv3.CheckResponse{Status: &status.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: s.ok}}, nil
}

// behind starts Envoy with a check service that answers ok.
func behind(t *testing.T, ok *authv3.OkHttpResponse) (*scripted, *stack.Envoy, *stack.Recorder) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := &scripted{ok: ok}, grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, s)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	recorder := start(t, stack.StartRecorder)
	return s, envoy(t, stack.EnvoyConfig{Authz: l.Addr().String(), Upstream: recorder.Addr()}), recorder
}

// What Cedargate judges is what the server gets: bytes as bytes, each header
// line for itself, and the server that the route names.
func TestEnvoyAsksAboutTheVeryRequest(t *testing.T) {
	check, e, _ := behind(t, &authv3.OkHttpResponse{})
	const body = "{\"a\":\"\xff\xfe\"}"
	req, err := http.NewRequestWithContext(soon(t), http.MethodPost, e.URL("/mcp?q"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Mcp-Session-Id": {"one", "two"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	attributes := check.asked.Load()
	asked := attributes.GetRequest().GetHttp()
	if got := string(asked.GetRawBody()); got != body || asked.GetBody() != "" || asked.GetSize() != int64(len(body)) {
		t.Errorf("Check has raw_body %q, body %q, size %d, want the bytes alone", got, asked.GetBody(), asked.GetSize())
	}
	if got := attributes.GetContextExtensions()["cedargate.server"]; got != "demo" || asked.GetPath() != "/mcp?q" {
		t.Errorf("Check names server %q and path %q, want demo and /mcp?q", got, asked.GetPath())
	}
	var sessions []string
	for _, h := range asked.GetHeaderMap().GetHeaders() {
		if h.GetKey() == "mcp-session-id" {
			sessions = append(sessions, string(h.GetRawValue()))
		}
	}
	if diff := cmp.Diff([]string{"one", "two"}, sessions); diff != "" || len(asked.GetHeaders()) != 0 {
		t.Errorf("Check has %d joined headers, and lines of one name (-want +got):\n%s", len(asked.GetHeaders()), diff)
	}
}

// Cedargate may name the caller and take the token away, and nothing else.
func TestEnvoyObeysOnlyOurOwnHeaders(t *testing.T) {
	set := func(name, value string) *authv3.OkHttpResponse {
		return &authv3.OkHttpResponse{Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: name, Value: value}}}}
	}
	tests := []struct {
		name   string
		ok     *authv3.OkHttpResponse
		status int
		served string // principal and authorization that the server sees
	}{
		{"names the caller", set("x-cedargate-principal", "User/corp/alice"), 200, "User/corp/alice Bearer t"},
		{"takes the token away", &authv3.OkHttpResponse{HeadersToRemove: []string{"authorization"}}, 200, " "},
		{"takes a look-alike away", &authv3.OkHttpResponse{HeadersToRemove: []string{"x_cedargate_principal"}}, 200, " Bearer t"},
		{"writes a cookie", set("cookie", "admin=1"), 500, ""},
		{"writes the path", set(":path", "/admin"), 500, ""},
		{"removes a header of the client", &authv3.OkHttpResponse{HeadersToRemove: []string{"content-type"}}, 500, ""},
		{"breaks a line", set("x-cedargate-principal", "a\r\nx-admin: 1"), 500, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, e, server := behind(t, tt.ok)
			req, err := http.NewRequestWithContext(soon(t), http.MethodPost, e.URL("/mcp"), strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"Authorization": {"Bearer t"}, "Content-Type": {"application/json"}}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			served := ""
			for _, r := range server.Requests() {
				served += r.Header.Get("X-Cedargate-Principal") + " " + r.Header.Get("Authorization")
			}
			if resp.StatusCode != tt.status || served != tt.served {
				t.Errorf("POST = %d and the server sees %q, want %d and %q", resp.StatusCode, served, tt.status, tt.served)
			}
		})
	}
}
