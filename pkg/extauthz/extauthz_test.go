package extauthz_test

import (
	"context"
	"encoding/json"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/extauthz"
	"github.com/cedargate/cedargate/pkg/mcp"
)

// An engine answers what it is told to, and keeps what it was asked.
type engine struct {
	result authz.Result
	panics bool
	asked  authz.Request
}

func (e *engine) Check(_ context.Context, r authz.Request) authz.Result {
	e.asked = r
	if e.panics {
		panic("as the test wants it")
	}
	return e.result
}

func check(t *testing.T, e *engine, in *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	out, err := extauthz.New(extauthz.Config{Engine: e}).Check(t.Context(), in)
	if err != nil {
		t.Fatalf("Check: %v: a gRPC error may be an allow to Envoy", err)
	}
	return out
}

// denies tells whether Envoy takes out for a denial with this status.
func denies(out *authv3.CheckResponse, status int) bool {
	return out != nil && out.GetStatus().GetCode() != int32(codes.OK) && out.GetOkResponse() == nil &&
		int(out.GetDeniedResponse().GetStatus().GetCode()) == status
}

func TestInvariant01ZeroValuesDeny(t *testing.T) {
	if out := check(t, &engine{}, &authv3.CheckRequest{}); !denies(out, 503) {
		t.Errorf("Check with the zero Result = %v, want a denial with 503", out)
	}
	for _, status := range []int{-1, 0, 1, 100, 202, 204, 302, 418, 429, 500, 502, 599, 999} {
		out := check(t, &engine{result: authz.Result{Status: status, Body: []byte("{}")}}, nil)
		if !denies(out, 503) || !json.Valid([]byte(out.GetDeniedResponse().GetBody())) {
			t.Errorf("Check with status %d = %v, want a denial with 503", status, out)
		}
	}
	for _, status := range []int{200, 400, 401, 403, 404, 405, 413, 415, 503} {
		if out := check(t, &engine{result: authz.Result{Status: status}}, nil); !denies(out, status) {
			t.Errorf("Check with status %d = %v, want a denial with it", status, out)
		}
	}
	allowed := check(t, &engine{result: authz.Result{Allowed: true, Status: 200}}, nil)
	if allowed.GetStatus().GetCode() != int32(codes.OK) || allowed.GetOkResponse() == nil || allowed.GetDeniedResponse() != nil {
		t.Errorf("Check with an allow = %v, want an ok_response", allowed)
	}
}

func TestInvariant03NoGRPCError(t *testing.T) {
	for _, in := range []*authv3.CheckRequest{nil, {}, {Attributes: &authv3.AttributeContext{}}, request(nil)} {
		if out := check(t, &engine{panics: true}, in); !denies(out, 503) {
			t.Errorf("Check of %v with a panic = %v, want a denial with 503", in, out)
		}
		if out := check(t, &engine{}, in); !denies(out, 503) {
			t.Errorf("Check of %v = %v, want a denial with 503", in, out)
		}
	}
}

// request is a CheckRequest as envoy/envoy.yaml makes Envoy send it, changed.
func request(change func(*authv3.AttributeContext)) *authv3.CheckRequest {
	a := &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "192.0.2.1"},
		}}},
		ContextExtensions: map[string]string{"cedargate.server": "github"},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "POST", Path: "/mcp?x=1", Host: "mcp.example.com", Size: 2, RawBody: []byte("{}"),
			HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
				{Key: ":authority", RawValue: []byte("mcp.example.com")},
				{Key: "accept", RawValue: []byte("a")},
				{Key: "accept", RawValue: []byte("b")},
				{Key: "X-Bytes", RawValue: []byte{0xff}},
				{Key: "value", Value: "v"},
			}},
		}},
	}
	if change != nil {
		change(a)
	}
	return &authv3.CheckRequest{Attributes: a}
}

func TestDecode(t *testing.T) {
	want := func(change func(*authz.Request)) authz.Request {
		r := authz.Request{Host: "mcp.example.com", Path: "/mcp?x=1", Server: "github", Named: true, Source: "192.0.2.1"}
		r.HTTP = mcp.HTTP{Method: "POST", Body: []byte("{}"), Size: 2, Header: []mcp.Field{
			{Name: "accept", Value: "a"}, {Name: "accept", Value: "b"}, {Name: "x-bytes", Value: "\xff"}, {Name: "value", Value: "v"},
		}}
		change(&r)
		return r
	}
	joined := map[string]string{":path": "/mcp", "b": "2", "a": "1,2"}
	tests := []struct {
		why    string
		change func(*authv3.AttributeContext)
		want   authz.Request
	}{
		{"raw", nil, want(func(*authz.Request) {})},
		{
			"as a map and a string",
			func(a *authv3.AttributeContext) {
				h := a.GetRequest().GetHttp()
				h.HeaderMap, h.Headers, h.RawBody, h.Body = nil, joined, nil, "{}"
			},
			want(func(r *authz.Request) {
				r.HTTP.Joined = true
				r.HTTP.Header = []mcp.Field{{Name: "a", Value: "1,2"}, {Name: "b", Value: "2"}}
			}),
		},
		{
			"both bodies",
			func(a *authv3.AttributeContext) { a.GetRequest().GetHttp().Body = "[]" },
			want(func(r *authz.Request) { r.HTTP.TwoBodies = true }),
		},
		{
			"both headers",
			func(a *authv3.AttributeContext) { a.GetRequest().GetHttp().Headers = map[string]string{"a": "1"} },
			want(func(r *authz.Request) {
				r.HTTP.TwoHeaders = true
				r.HTTP.Header = append(r.HTTP.Header, mcp.Field{Name: "a", Value: "1"})
			}),
		},
		{
			"no extension",
			func(a *authv3.AttributeContext) { a.ContextExtensions = nil },
			want(func(r *authz.Request) { r.Server, r.Named = "", false }),
		},
		{
			"an empty extension is one",
			func(a *authv3.AttributeContext) { a.ContextExtensions["cedargate.server"] = "" },
			want(func(r *authz.Request) { r.Server = "" }),
		},
		{
			"a unix socket has no address",
			func(a *authv3.AttributeContext) {
				a.GetSource().Address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/x"}}}
			},
			want(func(r *authz.Request) { r.Source = "" }),
		},
		{
			"a listener within Envoy is no unix socket",
			func(a *authv3.AttributeContext) {
				a.GetSource().Address = &corev3.Address{Address: &corev3.Address_EnvoyInternalAddress{
					EnvoyInternalAddress: &corev3.EnvoyInternalAddress{},
				}}
			},
			want(func(r *authz.Request) { r.Source = "unknown" }),
		},
		{
			"no peer is no unix socket",
			func(a *authv3.AttributeContext) { a.Source = nil },
			want(func(r *authz.Request) { r.Source = "unknown" }),
		},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			e := &engine{}
			check(t, e, request(test.change))
			if diff := cmp.Diff(test.want, e.asked); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

// Every header overwrites, in both words: an appended one would let the
// client's copy survive.
func TestEncodeOverwrites(t *testing.T) {
	fields := []mcp.Field{{Name: "a", Value: "1"}}
	allowed := check(t, &engine{result: authz.Result{Allowed: true, Upstream: fields, Remove: []string{"authorization"}}}, nil)
	denied := check(t, &engine{result: authz.Result{Status: 403, Header: fields}}, nil)
	for _, options := range [][]*corev3.HeaderValueOption{allowed.GetOkResponse().GetHeaders(), denied.GetDeniedResponse().GetHeaders()} {
		if len(options) != 1 {
			t.Fatalf("headers = %v, want one", options)
		}
		o := options[0]
		//lint:ignore SA1019 it is the word that counts for ok_response.headers
		if o.Append == nil || o.Append.GetValue() || o.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("option = %v, want an overwrite", o)
		}
	}
	if diff := cmp.Diff([]string{"authorization"}, allowed.GetOkResponse().GetHeadersToRemove()); diff != "" {
		t.Errorf("headers_to_remove (-want +got):\n%s", diff)
	}
}

func TestDynamicMetadata(t *testing.T) {
	record := audit.Record{Decision: "deny", Reason: "no_permit", Layer: "authorization", Principal: "User/corp/alice", Tool: "re\xfffund", DecisionID: "d"}
	for _, result := range []authz.Result{{Status: 403, Record: record}, {Allowed: true, Record: record}} {
		got := check(t, &engine{result: result}, nil).GetDynamicMetadata().AsMap()["cedargate"]
		want := map[string]any{
			"decision": "deny", "reason": "no_permit", "layer": "authorization", "principal": "User/corp/alice", "client": "",
			"server": "", "method": "", "action": "", "tool": "re\uFFFDfund", "uri": "", "decision_id": "d",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
	}
}

// What had to be replaced is a denial to the access log and to later filters
// too, whatever the record of the broken result says.
func TestMetadataOfReplacedAnswers(t *testing.T) {
	allowed := audit.Record{Decision: "allow", Reason: "permitted", Layer: "authorization", DecisionID: "d"}
	for _, e := range []*engine{{}, {panics: true}, {result: authz.Result{Status: 418, Record: allowed}}} {
		got := check(t, e, nil).GetDynamicMetadata().GetFields()["cedargate"].GetStructValue().AsMap()
		if len(got) != 11 || got["decision"] != "deny" || got["reason"] != "internal" || got["layer"] != "internal" {
			t.Errorf("metadata = %v, want all of a denial for an internal reason", got)
		}
	}
}

// The parent of a check's span is Envoy's, from the gRPC metadata; only where
// there is none is it what the client sent.
func TestParent(t *testing.T) {
	const (
		envoys  = "00-11111111111111111111111111111111-2222222222222222-01"
		clients = "00-33333333333333333333333333333333-4444444444444444-01"
	)
	tests := []struct {
		why      string
		metadata metadata.MD
		header   string
		want     string // trace id; "" is a trace of its own
	}{
		{"Envoy traces", metadata.Pairs("traceparent", envoys), clients, "11111111111111111111111111111111"},
		{"Envoy does not trace", nil, clients, "33333333333333333333333333333333"},
		{"two are none", metadata.Pairs("traceparent", envoys, "traceparent", clients), "", ""},
		{"nobody traces", nil, "", ""},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			spans := tracetest.NewSpanRecorder()
			provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans))
			s := extauthz.New(extauthz.Config{Engine: &engine{}, Tracer: provider.Tracer("test")})
			in := request(func(a *authv3.AttributeContext) {
				if test.header != "" {
					h := a.GetRequest().GetHttp()
					h.HeaderMap.Headers = append(h.HeaderMap.Headers, &corev3.HeaderValue{Key: "traceparent", RawValue: []byte(test.header)})
				}
			})
			if _, err := s.Check(metadata.NewIncomingContext(t.Context(), test.metadata), in); err != nil {
				t.Fatal(err)
			}
			ended := spans.Ended()
			if len(ended) != 1 {
				t.Fatalf("%d spans, want one for a check", len(ended))
			}
			got := ended[0].SpanContext().TraceID().String()
			if ended[0].Parent().IsValid() != (test.want != "") || test.want != "" && got != test.want {
				t.Errorf("trace id %s, parent %v; want trace id %q", got, ended[0].Parent().IsValid(), test.want)
			}
		})
	}
}
