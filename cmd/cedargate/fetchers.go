package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cedargate/cedargate/pkg/jwks"
)

// settleTime is how long an edit waits for the keys of issuers it adds: with
// the rest of a reload it stays below a second.
const settleTime = 400 * time.Millisecond

// fetchers fetch keys in the background, one for each source that serves. They
// are for one goroutine.
type fetchers struct {
	running map[*jwks.Source]context.CancelFunc
	done    sync.WaitGroup
}

func newFetchers() *fetchers {
	return &fetchers{running: map[*jwks.Source]context.CancelFunc{}}
}

// start starts those of keys that do not run yet. They run until ctx is done,
// or another edit stops them.
func (f *fetchers) start(ctx context.Context, keys []*jwks.Source) {
	for _, source := range keys {
		if f.running[source] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		f.running[source] = cancel
		f.done.Go(func() { source.Run(ctx) })
	}
}

// settle waits for each source that has no keys yet, but only a moment: an
// issuer that is down delays nobody's edit.
func (f *fetchers) settle(ctx context.Context, keys []*jwks.Source) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	waiting := func(s *jwks.Source) bool { return !s.Ready() && s.State().Failure == nil }
	for slices.ContainsFunc(keys, waiting) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// stopOthers stops the sources that are not among keys.
func (f *fetchers) stopOthers(keys []*jwks.Source) {
	for source, cancel := range f.running {
		if !slices.Contains(keys, source) {
			cancel()
			delete(f.running, source)
		}
	}
}

// wait returns when all have ended.
func (f *fetchers) wait() {
	f.stopOthers(nil)
	f.done.Wait()
}
