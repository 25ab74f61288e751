package extauthz

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/mcp"
)

// mayLeave are the statuses that may leave (contract §1), with the gRPC code
// that is logged beside each. Envoy would pass any other number on.
var mayLeave = map[int]codes.Code{
	200: codes.FailedPrecondition, // the metadata document: a denial to Envoy
	400: codes.InvalidArgument,
	401: codes.Unauthenticated,
	403: codes.PermissionDenied,
	404: codes.NotFound,
	405: codes.Unimplemented,
	413: codes.ResourceExhausted,
	415: codes.InvalidArgument,
	503: codes.Unavailable,
}

// respond is the only maker of a CheckResponse. What it makes always has a
// status and an answer for the client or the server; it allows only what says
// so, and turns everything that must not leave into a 503.
func respond(r authz.Result) *authv3.CheckResponse {
	if r.Allowed {
		return &authv3.CheckResponse{
			Status: &status.Status{Code: int32(codes.OK)},
			HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
				Headers:         options(r.Upstream),
				HeadersToRemove: r.Remove,
			}},
			DynamicMetadata: dynamicMetadata(r.Record),
		}
	}
	code, ok := mayLeave[r.Status]
	if !ok {
		code = codes.Unavailable
		r.Status = 503
		r.Record.Decision, r.Record.Layer, r.Record.Reason = "deny", "internal", "internal"
		r.Header = []mcp.Field{
			{Name: "content-type", Value: "application/json"},
			{Name: "cache-control", Value: "no-store"},
			{Name: "retry-after", Value: "1"},
		}
		r.Body = []byte(`{"jsonrpc":"2.0","error":{"code":503,"message":"not decided","data":{"reason":"internal"}}}`)
	}
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(code), Message: r.Record.Reason},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(r.Status)},
			Headers: options(r.Header),
			Body:    strings.ToValidUTF8(string(r.Body), "\uFFFD"),
		}},
		DynamicMetadata: dynamicMetadata(r.Record),
	}
}

// options overwrites in both words that Envoy knows for it: which of the two
// counts depends on the list (envoy.md §2.2). An appended header would let the
// client's copy survive.
func options(fields []mcp.Field) []*corev3.HeaderValueOption {
	out := make([]*corev3.HeaderValueOption, len(fields))
	for i, f := range fields {
		out[i] = &corev3.HeaderValueOption{
			Header: &corev3.HeaderValue{Key: f.Name, Value: f.Value},
			//lint:ignore SA1019 it is the word that counts for ok_response.headers
			Append:       wrapperspb.Bool(false),
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}
	}
	return out
}

// dynamicMetadata is what later filters, rate limits and the access log see
// (contract §6): strings alone, on allow and on denial.
func dynamicMetadata(r audit.Record) *structpb.Struct {
	fields := map[string]*structpb.Value{}
	for key, value := range audit.Metadata(r) {
		fields[key] = structpb.NewStringValue(strings.ToValidUTF8(value, "\uFFFD"))
	}
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		"cedargate": structpb.NewStructValue(&structpb.Struct{Fields: fields}),
	}}
}
