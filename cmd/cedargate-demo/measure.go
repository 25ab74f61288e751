package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

const (
	// rounds alternate between the two, so that what else the machine does
	// befalls both.
	rounds = 5
	// sequential and parallel are the numbers of calls of one round.
	sequential, parallel = 60, 200
	// callers send the parallel ones.
	callers = 8
)

// A load is what came of the calls at one gate.
type load struct {
	client *client
	took   []time.Duration // of the calls that were sent one by one
	calls  int             // of those that were sent in parallel
	busy   time.Duration   // all rounds of the latter
}

// measures times the same call here, and at a gate whose check service allows
// everything without looking. The times are shown and not judged: they are
// those of a machine that runs all the rest too.
func (s *story) measures(ctx context.Context) (err error) {
	nothing, err := stack.StartDoNothing()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, nothing.Close()) }()
	bare, err := s.world.envoy(ctx, nothing.Addr())
	if err != nil {
		return err
	}
	ours := &load{client: s.world.newClient("alice", s.endpoint("payments"), s.aliceAt("payments"))}
	theirs := &load{client: s.world.newClient("alice", bare.URL("/payments/mcp"), s.aliceAt("payments"))}
	before := len(s.world.payments.Calls())
	for range rounds {
		if err := errors.Join(ours.round(ctx), theirs.round(ctx)); err != nil {
			return err
		}
	}
	s.say("\nread_file through Envoy, and the same with a check that does nothing:")
	s.show("", fmt.Sprintf("%10s %10s %10s", "p50", "p99", "calls/s"))
	s.show("cedargate", ours.figures())
	s.show("nothing", theirs.figures())
	s.show("added", fmt.Sprintf("%10v %10v", ours.quantile(50)-theirs.quantile(50), ours.quantile(99)-theirs.quantile(99)))
	s.state("upstream", called(len(s.world.payments.Calls())-before, nil), called(2*rounds*(sequential+parallel), nil))
	return nil
}

// round sends the calls of one round.
func (l *load) round(ctx context.Context) error {
	l.client.wire.begin()
	for range sequential {
		start := time.Now()
		if err := l.call(ctx); err != nil {
			return err
		}
		l.took = append(l.took, time.Since(start))
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range callers {
		group.Go(func() error {
			for range parallel / callers {
				if err := l.call(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	l.calls += parallel
	l.busy += time.Since(start)
	return err
}

// call sends one call, which must be answered with 200.
func (l *load) call(ctx context.Context) error {
	body, headers := newest("read_file", `{"path":"README.md"}`)
	got, err := l.client.post(ctx, body, headers)
	if err == nil && got.status != 200 {
		err = fmt.Errorf("call answered %d: %s", got.status, got.body)
	}
	return err
}

// quantile is the time that p of a hundred calls took at most.
func (l *load) quantile(p int) time.Duration {
	sorted := slices.Sorted(slices.Values(l.took))
	return sorted[(len(sorted)-1)*p/100].Round(10 * time.Microsecond)
}

func (l *load) figures() string {
	return fmt.Sprintf("%10v %10v %10.0f", l.quantile(50), l.quantile(99), float64(l.calls)/l.busy.Seconds())
}
