package stack

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// A Span is one span that a Collector received. Ids are hex digits.
type Span struct {
	Service, Name             string
	TraceID, SpanID, ParentID string
	Attributes                map[string]string // lists as in ["a" "b"]
	Links                     []string          // trace ids
	Failed                    bool              // its status is an error
	Kind                      string            // "SPAN_KIND_SERVER", …
}

// A Collector receives spans over OTLP/gRPC.
type Collector struct {
	collectorv1.UnimplementedTraceServiceServer
	server *rpcServer

	mu    sync.Mutex
	spans []Span
	more  chan struct{} // closed, and replaced, when spans arrive
}

// StartCollector starts one on loopback.
func StartCollector() (*Collector, error) {
	c := &Collector{more: make(chan struct{})}
	server, err := serveRPC(func(s *grpc.Server) { collectorv1.RegisterTraceServiceServer(s, c) })
	if err != nil {
		return nil, fmt.Errorf("starting collector: %w", err)
	}
	c.server = server
	return c, nil
}

// Addr is where it listens, host:port.
func (c *Collector) Addr() string { return c.server.addr() }

// Close stops it. What it received stays.
func (c *Collector) Close() error { return c.server.close() }

// Export implements the OTLP trace service.
func (c *Collector) Export(_ context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.GetResourceSpans() {
		service := texts(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, newSpan(service, s))
			}
		}
	}
	close(c.more)
	c.more = make(chan struct{})
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// Spans returns what has arrived so far.
func (c *Collector) Spans() []Span {
	spans, _ := c.now()
	return spans
}

// Wait returns the first span, past or to come, that want accepts.
func (c *Collector) Wait(ctx context.Context, want func(Span) bool) (Span, error) {
	for {
		spans, more := c.now()
		if i := slices.IndexFunc(spans, want); i >= 0 {
			return spans[i], nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Span{}, fmt.Errorf("no such span among %d: %w", len(spans), ctx.Err())
		}
	}
}

func (c *Collector) now() ([]Span, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans), c.more
}

func newSpan(service string, s *tracev1.Span) Span {
	span := Span{
		Service:    service,
		Name:       s.GetName(),
		TraceID:    hex.EncodeToString(s.GetTraceId()),
		SpanID:     hex.EncodeToString(s.GetSpanId()),
		ParentID:   hex.EncodeToString(s.GetParentSpanId()),
		Attributes: texts(s.GetAttributes()),
		Failed:     s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR,
		Kind:       s.GetKind().String(),
	}
	for _, link := range s.GetLinks() {
		span.Links = append(span.Links, hex.EncodeToString(link.GetTraceId()))
	}
	return span
}

func texts(attributes []*commonv1.KeyValue) map[string]string {
	m := make(map[string]string, len(attributes))
	for _, a := range attributes {
		m[a.GetKey()] = text(a.GetValue())
	}
	return m
}

func text(v *commonv1.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *commonv1.AnyValue_StringValue:
		return v.StringValue
	case *commonv1.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	case *commonv1.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *commonv1.AnyValue_DoubleValue:
		return fmt.Sprint(v.DoubleValue)
	case *commonv1.AnyValue_ArrayValue:
		var list []string
		for _, element := range v.ArrayValue.GetValues() {
			list = append(list, text(element))
		}
		return fmt.Sprintf("%q", list)
	}
	return ""
}
