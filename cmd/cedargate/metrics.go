package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/jwks"
)

// metrics are what /metrics shows. Their names and labels are frozen by a test.
type metrics struct {
	handler            http.Handler
	decisions, reloads metric.Int64Counter
}

// newMetrics makes them. The function sources is called when they are read.
func newMetrics(sources func() map[string]*jwks.Source) (*metrics, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry),
		otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)).Meter("github.com/cedargate/cedargate")
	if err := jwks.Observe(meter, sources); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	decisions, err := meter.Int64Counter("cedargate.decisions",
		metric.WithDescription("Checks that were answered, by what was decided where and why."))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	reloads, err := meter.Int64Counter("cedargate.reloads",
		metric.WithDescription("Edits of the configuration or of policies, by what became of them."))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return &metrics{handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), decisions: decisions, reloads: reloads}, nil
}

// records is where records go.
type records interface {
	Record(ctx context.Context, r audit.Record) error
}

// counting counts the decisions and reloads that pass on their way to records.
func (m *metrics) counting(to records) records { return counted{to, m.decisions, m.reloads} }

type counted struct {
	records
	decisions, reloads metric.Int64Counter
}

// Record records r. An allow that cannot be recorded becomes a refusal, and is
// counted as one.
func (c counted) Record(ctx context.Context, r audit.Record) error {
	err := c.records.Record(ctx, r)
	if r.Event == "reload" { // it decides nothing
		c.reloads.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", r.Reason)))
		return err
	}
	if err != nil && r.Decision == "allow" {
		r.Decision, r.Layer, r.Reason = "deny", "internal", "audit_unavailable"
		if ctx.Err() != nil {
			r.Reason = "deadline"
		}
	}
	c.decisions.Add(ctx, 1, metric.WithAttributes(
		attribute.String("decision", r.Decision), attribute.String("layer", r.Layer), attribute.String("reason", r.Reason)))
	return err
}
