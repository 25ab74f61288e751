package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/authztest/corpus"
	"github.com/cedargate/cedargate/pkg/mcp"
)

// A Shape is one of the forms in which proxies write a CheckRequest.
type Shape byte

// The shapes.
const (
	Raw    Shape = iota // header_map and raw_body: Envoy as envoy/envoy.yaml sets it up
	Joined              // headers as a map and body as a string: Istio and Envoy Gateway
)

// AskGRPC asks the ext_authz service at conn as a proxy does. A gRPC error, and
// a response without an answer in it, are errors: Envoy would not take them for
// a refusal.
func AskGRPC(conn grpc.ClientConnInterface, shape Shape) corpus.Asker {
	client := authv3.NewAuthorizationClient(conn)
	return func(ctx context.Context, s corpus.Sent) (corpus.Answer, error) {
		response, err := client.Check(ctx, CheckRequest(s.Checked(), shape))
		if err != nil {
			return corpus.Answer{}, fmt.Errorf("check: %w", err)
		}
		a, err := readResponse(response)
		a.Upstream = forwarded(s, response.GetOkResponse())
		return a, err
	}
}

func forwarded(s corpus.Sent, ok *authv3.OkHttpResponse) http.Header {
	var set []mcp.Field
	for _, option := range ok.GetHeaders() {
		set = append(set, mcp.Field{Name: option.GetHeader().GetKey(), Value: option.GetHeader().GetValue()})
	}
	return s.Forwarded(set, ok.GetHeadersToRemove())
}

func readResponse(response *authv3.CheckResponse) (corpus.Answer, error) {
	a := corpus.Answer{Header: http.Header{}}
	if response.GetStatus() == nil {
		return a, errors.New("the response has no status: Envoy takes it for an allow")
	}
	if response.GetDynamicMetadata().GetFields()["cedargate"] == nil {
		return a, errors.New("the response has no dynamic metadata")
	}
	if codes.Code(response.GetStatus().GetCode()) == codes.OK {
		a.Allowed = true
		if response.GetOkResponse() == nil {
			return a, errors.New("an allow without an ok_response")
		}
		return a, nil
	}
	denied := response.GetDeniedResponse()
	if denied == nil {
		return a, errors.New("a denial without a denied_response")
	}
	a.Status, a.Body = int(denied.GetStatus().GetCode()), []byte(denied.GetBody())
	for _, option := range denied.GetHeaders() {
		//lint:ignore SA1019 it is the word that counts for a denial
		if option.GetAppend().GetValue() {
			return a, fmt.Errorf("header %q of a denial is appended: Envoy drops it", option.GetHeader().GetKey())
		}
		a.Header.Add(option.GetHeader().GetKey(), option.GetHeader().GetValue())
	}
	return a, nil
}

// CheckRequest is r as a proxy asks it.
func CheckRequest(r authz.Request, shape Shape) *authv3.CheckRequest {
	req := &authv3.AttributeContext_HttpRequest{
		Method: r.HTTP.Method,
		Host:   r.Host,
		Path:   r.Path,
		Scheme: "http",
		Size:   r.HTTP.Size,
	}
	pseudo := []mcp.Field{{Name: ":authority", Value: r.Host}, {Name: ":method", Value: r.HTTP.Method}, {Name: ":path", Value: r.Path}}
	lines := append(pseudo, r.HTTP.Header...)
	if shape == Raw || r.HTTP.TwoHeaders {
		req.HeaderMap = headerMap(lines)
	}
	if shape == Joined || r.HTTP.TwoHeaders {
		req.Headers = joinHeaders(lines)
	}
	if shape == Raw || r.HTTP.TwoBodies {
		req.RawBody = r.HTTP.Body
	}
	if shape == Joined || r.HTTP.TwoBodies {
		req.Body = string(r.HTTP.Body)
	}
	in := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: req},
		Source:  &authv3.AttributeContext_Peer{Address: socketAddress(r.Source)},
	}}
	if r.Named {
		in.Attributes.ContextExtensions = map[string]string{"cedargate.server": r.Server}
	}
	return in
}

func headerMap(lines []mcp.Field) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for _, f := range lines {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: f.Name, RawValue: []byte(f.Value)})
	}
	return m
}

// joinHeaders joins the lines of one name as Envoy does.
func joinHeaders(lines []mcp.Field) map[string]string {
	m := map[string]string{}
	for _, f := range lines {
		if before, there := m[f.Name]; there {
			m[f.Name] = before + "," + f.Value
		} else {
			m[f.Name] = f.Value
		}
	}
	return m
}

func socketAddress(address string) *corev3.Address {
	if address == "" {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/run/peer.sock"}}}
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 40000},
	}}}
}
