package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/policy"
)

// recordTime bounds how long an edit waits for its record: the order to revoke
// a key is obeyed even when the disk is full.
const recordTime = time.Second

// A reloader serves the last good edit of the files. Everything that serves is
// one immutable assembly behind one pointer: a check sees all of an edit or
// nothing of it, and waits for none.
type reloader struct {
	file    string
	records records
	log     *slog.Logger
	level   *slog.LevelVar // of log
	keys    *fetchers

	serving atomic.Pointer[config.Assembly]
	outcome atomic.Pointer[outcome]

	seen fingerprint // of the last edit that was tried; owned by run
}

// An outcome is what became of the last edit.
type outcome struct {
	at, since time.Time // of this outcome; of the assembly that serves
	err       error     // why the edit was refused; nil: it serves
}

// begin lets a serve, which was made of the files when they had the fingerprint
// seen.
func (r *reloader) begin(a *config.Assembly, seen fingerprint) {
	r.keys, r.seen = newFetchers(), seen
	r.serving.Store(a)
	now := time.Now()
	r.outcome.Store(&outcome{at: now, since: now})
}

// Check decides with what serves now, and to its end with that.
func (r *reloader) Check(ctx context.Context, request authz.Request) authz.Result {
	return r.serving.Load().Engine.Check(ctx, request)
}

// reload tries the files if they are not those of the last try, or if forced. It
// returns false if they changed while they were read: then nothing was tried.
func (r *reloader) reload(ctx context.Context, forced bool) (settled bool) {
	sum := fingerprintOf(r.file)
	if sum == r.seen && !forced {
		return true
	}
	a, files, advice, err := r.build()
	if fingerprintOf(r.file) != sum {
		return false
	}
	r.seen = sum
	if err != nil {
		r.refuse(ctx, err)
		return true
	}
	r.take(ctx, a, files, advice)
	return true
}

// build makes an assembly of the files, or says why there can be none beside
// the one that serves.
func (r *reloader) build() (a *config.Assembly, files []policy.File, advice problems, err error) {
	// A bug in the reading of a file must not end a process that serves well.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading the configuration: panic: %v: %s", p, debug.Stack())
		}
	}()
	c, files, advice, err := read(r.file)
	if err != nil {
		return nil, nil, nil, err
	}
	serving := r.serving.Load()
	if found := c.NeedsRestart(serving.Config); len(found) > 0 {
		return nil, nil, nil, problems(found)
	}
	a, advice, err = assemble(c, config.Parts{Files: files, Records: r.records, ReadFile: beside(r.file), Log: r.log, Before: serving}, advice)
	if err != nil {
		return nil, nil, nil, err
	}
	if lost := a.LosesPolicies(serving); lost != nil {
		return nil, nil, nil, problems{*lost}
	}
	return a, files, advice, nil
}

// take lets a serve. New issuers get a moment to bring their keys before the
// first token comes.
func (r *reloader) take(ctx context.Context, a *config.Assembly, files []policy.File, advice problems) {
	r.keys.start(ctx, a.Keys)
	r.keys.settle(ctx, a.Keys)
	r.level.Set(a.Config.Log.Level)
	r.serving.Store(a)
	r.keys.stopOthers(a.Keys)
	now := time.Now()
	r.outcome.Store(&outcome{at: now, since: now})

	announce(r.log, a, files, advice)
	r.log.Info("configuration reloaded", "policy_set", a.Policies.Hash())
	detail := fmt.Sprintf("%d issuers, %d servers, %d policies", len(a.Config.Issuers), len(a.Config.Servers), len(a.Policies.Policies()))
	r.record(ctx, "reloaded", detail)
}

// refuse says, loudly, why an edit does not serve. What serves stays.
func (r *reloader) refuse(ctx context.Context, err error) {
	r.outcome.Store(&outcome{at: time.Now(), since: r.outcome.Load().since, err: err})
	for _, p := range asProblems(err) {
		r.log.Error("configuration", "problem", p.String(), "hint", p.Hint)
	}
	r.log.Error("configuration refused, the last good one stays in effect", "error", err.Error())
	r.record(ctx, "reload_refused", reasons(err))
}

// record keeps what became of an edit among the decisions it changes.
func (r *reloader) record(ctx context.Context, reason, detail string) {
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	err := r.records.Record(ctx, audit.Record{
		Time: time.Now(), Event: "reload", Layer: "internal", Reason: reason,
		PolicySet: r.serving.Load().Policies.Hash(), Detail: detail,
	})
	if err != nil {
		r.log.Error("record not written", "event", "reload", "error", err)
	}
}

// report writes, for a person, what became of the last edit.
func (r *reloader) report(w io.Writer) {
	o, a := r.outcome.Load(), r.serving.Load()
	fmt.Fprintf(w, "configuration: policy set %s in effect since %s\n", a.Policies.Hash(), o.since.UTC().Format(time.RFC3339))
	if o.err == nil {
		return
	}
	fmt.Fprintf(w, "configuration: the edit read at %s is REFUSED: %s\n", o.at.UTC().Format(time.RFC3339), reasons(o.err))
}

// asProblems returns the problems in err that have places.
func asProblems(err error) problems {
	found, _ := errors.AsType[problems](err)
	var refused problems
	for _, p := range found {
		if !p.Advice {
			refused = append(refused, p)
		}
	}
	return refused
}

// reasons writes err on one line.
func reasons(err error) string {
	var all []string
	for _, p := range asProblems(err) {
		all = append(all, p.String())
	}
	if len(all) == 0 {
		return strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return strings.Join(all, "; ")
}
