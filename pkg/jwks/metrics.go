package jwks

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observe makes the instruments of m that show sources, by the name that each
// has there, in the attribute "issuer":
//
//   - cedargate.issuer.keys: keys that can verify a signature now
//   - cedargate.issuer.key.age: seconds since the last good fetch; absent
//     before the first
//   - cedargate.issuer.fetches: fetches that have ended, by "result", of which
//     each is there from the start
//   - cedargate.issuer.unknown_kids: requests for which there was no key, by
//     "reason", likewise
//
// The counters of a new Source begin at zero. The function sources is called at
// each collection, concurrently with everything else.
func Observe(m metric.Meter, sources func() map[string]*Source) error {
	var o observer
	var errs [4]error
	o.keys, errs[0] = m.Int64ObservableGauge("cedargate.issuer.keys",
		metric.WithDescription("Keys of the issuer that can verify a signature now."))
	o.age, errs[1] = m.Float64ObservableGauge("cedargate.issuer.key.age", metric.WithUnit("s"),
		metric.WithDescription("Time since the last good fetch of the issuer's keys."))
	o.fetches, errs[2] = m.Int64ObservableCounter("cedargate.issuer.fetches",
		metric.WithDescription("Fetches of the issuer's keys, by result."))
	o.unknown, errs[3] = m.Int64ObservableCounter("cedargate.issuer.unknown_kids",
		metric.WithDescription("Requests for which the issuer had no key, by the reason that was answered."))
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	_, err := m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		for name, s := range sources() {
			o.observe(to, name, s)
		}
		return nil
	}, o.keys, o.age, o.fetches, o.unknown)
	return err
}

// An observer has the instruments.
type observer struct {
	keys             metric.Int64ObservableGauge
	age              metric.Float64ObservableGauge
	fetches, unknown metric.Int64ObservableCounter
}

func (o observer) observe(to metric.Observer, name string, s *Source) {
	state := s.State()
	issuer := attribute.String("issuer", name)
	to.ObserveInt64(o.keys, int64(state.Keys), metric.WithAttributes(issuer))
	if !state.Fetched.IsZero() {
		to.ObserveFloat64(o.age, s.now().Sub(state.Fetched).Seconds(), metric.WithAttributes(issuer))
	}
	for _, result := range []string{FetchOK, FetchEmpty, FetchNoAnswer, FetchBadAnswer} {
		to.ObserveInt64(o.fetches, int64(state.Fetches[result]), metric.WithAttributes(issuer, attribute.String("result", result)))
	}
	for _, reason := range []string{UnknownKey, KeyUnknownYet, IssuerUnavailable} {
		to.ObserveInt64(o.unknown, int64(state.Unknown[reason]), metric.WithAttributes(issuer, attribute.String("reason", reason)))
	}
}
