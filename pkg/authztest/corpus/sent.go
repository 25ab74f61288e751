package corpus

import (
	"bytes"
	"net/http"
	"slices"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/mcp"
)

// The routes of a proxy that is not set up as envoy/envoy.yaml says.
const (
	// Unbuffered forwards no body: buffering is off on the route.
	Unbuffered = "unbuffered"
	// Partial forwards the first PartialBytes of a body and says so.
	Partial = "partial"

	PartialBytes = 1000
)

// A Sent is a request as a client sends it, and the way that it takes.
type Sent struct {
	authz.Request
	Route string // "", Unbuffered or Partial
}

// ViaHeader is the header by which a proxy under test finds the route for Via.
const ViaHeader = "x-corpus-route"

// Via names the way of s: "" for the usual one.
func (s Sent) Via() string {
	if s.Named {
		return "server=" + s.Server
	}
	return s.Route
}

// Checked is what the proxy asks about s: Envoy adds its peer to
// x-forwarded-for, and forwards as much of the body as the route says.
func (s Sent) Checked() authz.Request {
	r := s.Request
	r.HTTP.Header = slices.Clone(r.HTTP.Header)
	add := func(name, value string) { r.HTTP.Header = append(r.HTTP.Header, field(name, value)) }
	if r.Source != "" {
		add("x-forwarded-for", r.Source)
	}
	switch {
	case s.Route == Unbuffered:
		r.HTTP.Body, r.HTTP.Size = nil, 0
	case s.Route == Partial && len(r.HTTP.Body) > PartialBytes:
		r.HTTP.Body = bytes.Clone(r.HTTP.Body[:PartialBytes])
		add("x-envoy-auth-partial-body", "true")
	}
	return r
}

// Forwarded are the headers that the server behind the proxy gets of s when the
// answer sets and removes these.
func (s Sent) Forwarded(set []mcp.Field, remove []string) http.Header {
	h := http.Header{}
	for _, f := range s.HTTP.Header {
		if !slices.Contains(remove, f.Name) {
			h.Add(f.Name, f.Value)
		}
	}
	for _, f := range set {
		h.Set(f.Name, f.Value)
	}
	return h
}
