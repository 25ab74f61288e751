package jwks_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/jwks"
)

// collect returns what a reader sees, a sorted line for each series.
func collect(t *testing.T, reader sdkmetric.Reader) string {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	var lines []string
	add := func(name string, by attribute.Set, value any) {
		lines = append(lines, fmt.Sprintf("%s{%s} %v", name, by.Encoded(attribute.DefaultEncoder()), value))
	}
	for _, m := range data.ScopeMetrics[0].Metrics {
		switch d := m.Data.(type) {
		case metricdata.Gauge[int64]:
			for _, p := range d.DataPoints {
				add(m.Name, p.Attributes, p.Value)
			}
		case metricdata.Gauge[float64]:
			for _, p := range d.DataPoints {
				add(m.Name+" "+m.Unit, p.Attributes, p.Value)
			}
		case metricdata.Sum[int64]:
			for _, p := range d.DataPoints {
				add(m.Name, p.Attributes, p.Value)
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestObserve(t *testing.T) {
	issuer, clock := newIssuer(t, authztest.IssuerConfig{}), newClock()
	corp := newSource(t, jwks.Config{Issuer: issuer.URL(), JWKSURI: issuer.JWKSURI(), Now: clock.Now})
	never := newSource(t, jwks.Config{Issuer: issuer.URL()})
	reader := sdkmetric.NewManualReader()
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	sources := map[string]*jwks.Source{"corp": corp, "never": never}
	if err := jwks.Observe(meter, func() map[string]*jwks.Source { return sources }); err != nil {
		t.Fatal(err)
	}

	wantKey(t, corp, issuer, "ES256")
	for fault, times := range map[authztest.Fault]int{authztest.Healthy: 2, authztest.Down: 3, authztest.Dropped: 4} {
		for range times {
			clock.Advance(10 * time.Second)
			issuer.Break(fault)
			corp.Key(t.Context(), "nobody", "ES256")
		}
	}
	issuer.Break(authztest.Healthy)
	for range 5 { // a burst, and two that the cool-down forbids
		corp.Key(t.Context(), "nobody", "ES256")
	}
	clock.Advance(90 * time.Second)

	want := `cedargate.issuer.fetches{issuer=corp,result=bad_answer} 3
cedargate.issuer.fetches{issuer=corp,result=empty} 0
cedargate.issuer.fetches{issuer=corp,result=no_answer} 4
cedargate.issuer.fetches{issuer=corp,result=ok} 5
cedargate.issuer.fetches{issuer=never,result=bad_answer} 0
cedargate.issuer.fetches{issuer=never,result=empty} 0
cedargate.issuer.fetches{issuer=never,result=no_answer} 0
cedargate.issuer.fetches{issuer=never,result=ok} 0
cedargate.issuer.key.age s{issuer=corp} 90
cedargate.issuer.keys{issuer=corp} 1
cedargate.issuer.keys{issuer=never} 0
cedargate.issuer.unknown_kids{issuer=corp,reason=issuer_unavailable} 7
cedargate.issuer.unknown_kids{issuer=corp,reason=key_unknown_yet} 3
cedargate.issuer.unknown_kids{issuer=corp,reason=unknown_key} 4
cedargate.issuer.unknown_kids{issuer=never,reason=issuer_unavailable} 0
cedargate.issuer.unknown_kids{issuer=never,reason=key_unknown_yet} 0
cedargate.issuer.unknown_kids{issuer=never,reason=unknown_key} 0`
	if diff := cmp.Diff(want, collect(t, reader)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	delete(sources, "corp")
	if got := collect(t, reader); strings.Contains(got, "corp") {
		t.Errorf("metrics of a source that is gone:\n%s", got)
	}
}
