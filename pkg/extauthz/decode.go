package extauthz

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/token"
)

// ServerExtension is the context extension that names the protected server.
const ServerExtension = "cedargate.server"

// decode reads a CheckRequest in any of the shapes that Envoy, Istio and Envoy
// Gateway send: body or raw_body, headers or header_map. It cannot fail: what
// is absent or ambiguous fails in the steps that need it.
func decode(in *authv3.CheckRequest) authz.Request {
	attributes := in.GetAttributes()
	req := attributes.GetRequest().GetHttp()
	r := authz.Request{
		HTTP: mcp.HTTP{
			Method:    req.GetMethod(),
			Size:      req.GetSize(),
			TwoBodies: req.GetBody() != "" && len(req.GetRawBody()) > 0,
		},
		Host:   req.GetHost(),
		Path:   req.GetPath(),
		Source: peer(attributes.GetSource().GetAddress()),
		Peer: token.Peer{
			Principal:   attributes.GetSource().GetPrincipal(),
			Certificate: attributes.GetSource().GetCertificate(),
		},
	}
	r.HTTP.Body = req.GetRawBody()
	if len(r.HTTP.Body) == 0 {
		r.HTTP.Body = []byte(req.GetBody())
	}
	decodeHeaders(&r.HTTP, req)
	r.Server, r.Named = attributes.GetContextExtensions()[ServerExtension]
	return r
}

// peer is the address of the proxy's peer; "" for a unix socket. Any other one
// without an IP address, such as a listener within Envoy, is unknown, not
// absent: absence would let a forbid on sourceIp sleep.
func peer(a *corev3.Address) string {
	if a.GetPipe() != nil {
		return ""
	}
	return cmp.Or(a.GetSocketAddress().GetAddress(), "unknown")
}

func decodeHeaders(h *mcp.HTTP, req *authv3.AttributeContext_HttpRequest) {
	list, joined := req.GetHeaderMap().GetHeaders(), req.GetHeaders()
	h.TwoHeaders = len(list) > 0 && len(joined) > 0
	h.Joined = len(list) == 0
	for _, line := range list {
		addHeader(h, line.GetKey(), valueOf(line))
	}
	for _, name := range slices.Sorted(maps.Keys(joined)) {
		addHeader(h, name, joined[name])
	}
}

// addHeader leaves out pseudo headers: they have fields of their own.
func addHeader(h *mcp.HTTP, name, value string) {
	if !strings.HasPrefix(name, ":") {
		h.Header = append(h.Header, mcp.Field{Name: strings.ToLower(name), Value: value})
	}
}

func valueOf(line *corev3.HeaderValue) string {
	if raw := line.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return line.GetValue()
}
