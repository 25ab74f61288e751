package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/cedargate/cedargate/pkg/config"
)

const (
	// An edit is read once nothing has happened for quiet, and at the latest
	// after busy.
	quiet = 100 * time.Millisecond
	busy  = 400 * time.Millisecond
	// slowPoll finds what no event tells of: network file systems, a link to a
	// file elsewhere. fastPoll stands in where there are no events at all.
	slowPoll = 10 * time.Second
	fastPoll = 500 * time.Millisecond
)

// A fingerprint is the hash of everything that a configuration is read from.
type fingerprint [sha256.Size]byte

// fingerprintOf reads file, and the policies and files it names. What cannot be read counts
// too, so that an edit that ends in an error is tried once.
func fingerprintOf(file string) fingerprint {
	h := sha256.New()
	text, err := os.ReadFile(file)
	fmt.Fprintf(h, "%q %v\n", text, err)
	if c, _ := config.Parse(file, text); c != nil {
		files, err := readPolicies(besides(file, c.PolicyPath))
		for _, f := range files {
			fmt.Fprintf(h, "%q %q\n", f.Name, f.Text)
		}
		fmt.Fprintln(h, err)
		for _, name := range c.Files() {
			text, err := beside(file)(name)
			fmt.Fprintf(h, "%q %q %v\n", name, text, err)
		}
	}
	return fingerprint(h.Sum(nil))
}

// run keeps what serves in step with the files until ctx is done. A value of
// hangup reloads at once. It is to be called once.
func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	r.keys.start(ctx, r.serving.Load().Keys)
	defer r.keys.wait()
	w := newWatch(r.log)
	defer w.close()
	w.follow(r.places())
	w.touch() // something may have changed since the files were read
	for {
		settled := true
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			r.log.Info("reloading: SIGHUP")
			settled = r.reload(ctx, true)
		case e := <-w.events:
			if e.Op != fsnotify.Chmod && e.Name != r.auditFile() {
				w.touch()
			}
			continue
		case err := <-w.errors:
			r.log.Warn("watching the configuration", "error", err)
			w.touch()
			continue
		case <-w.due.C:
			settled = r.turn(ctx, w)
		case <-w.poll.C:
			settled = r.turn(ctx, w)
		}
		if w.follow(r.places()) || !settled {
			w.touch()
		}
	}
}

// turn reloads if something has changed. Directories that have been replaced
// are followed first, so that no change falls between the reading and the next
// event.
func (r *reloader) turn(ctx context.Context, w *watch) (settled bool) {
	w.first = time.Time{}
	w.follow(r.places())
	return r.reload(ctx, false)
}

// auditFile is where records go: writing them is no edit.
func (r *reloader) auditFile() string {
	return besides(r.file, r.serving.Load().Config.AuditPath)
}

// places are the directories where an edit of the files shows: those of the
// file, of the policies and of other files it names, as named and as links lead
// there, and the one above the policies, where they may be replaced as a whole.
// A file may name others than those that serve.
func (r *reloader) places() []string {
	policies, files := []string{besides(r.file, r.serving.Load().Config.PolicyPath)}, []string{r.file}
	if text, err := os.ReadFile(r.file); err == nil {
		if c, _ := config.Parse(r.file, text); c != nil {
			policies = append(policies, besides(r.file, c.PolicyPath))
			for _, name := range c.Files() {
				files = append(files, besides(r.file, name))
			}
		}
	}
	var dirs []string
	for _, file := range files {
		dirs = append(dirs, filepath.Dir(file))
		if real, err := filepath.EvalSymlinks(file); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, dir := range policies {
		dirs = append(dirs, dir, filepath.Dir(filepath.Clean(dir)))
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dirs = append(dirs, real)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// A watch tells when something happens in directories. Without help from the
// system it only looks again and again.
type watch struct {
	log    *slog.Logger
	notify *fsnotify.Watcher // nil: there is none
	events chan fsnotify.Event
	errors chan error
	poll   *time.Ticker
	due    *time.Timer // fires when it is time to read
	first  time.Time   // of the events that wait for due; zero: none

	followed map[string]fs.FileInfo
}

func newWatch(log *slog.Logger) *watch {
	w := &watch{log: log, due: time.NewTimer(time.Hour), followed: map[string]fs.FileInfo{}}
	w.due.Stop()
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no events from the file system: looking for edits again and again", "error", err, "every", fastPoll)
		w.poll = time.NewTicker(fastPoll)
		return w
	}
	w.notify, w.events, w.errors = notify, notify.Events, notify.Errors
	w.poll = time.NewTicker(slowPoll)
	return w
}

func (w *watch) close() {
	w.poll.Stop()
	w.due.Stop()
	if w.notify != nil {
		_ = w.notify.Close() // nothing is left to be told
	}
}

// touch notes that something has happened.
func (w *watch) touch() {
	now := time.Now()
	if w.first.IsZero() {
		w.first = now
	}
	w.due.Reset(min(quiet, max(0, w.first.Add(busy).Sub(now))))
}

// follow watches dirs, and no others. A directory that has been replaced is
// another one. It tells whether there is a new one.
func (w *watch) follow(dirs []string) (fresh bool) {
	if w.notify == nil {
		return false
	}
	for dir := range w.followed {
		if !slices.Contains(dirs, dir) {
			w.drop(dir)
		}
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		before := w.followed[dir]
		if err == nil && before != nil && os.SameFile(before, info) {
			continue
		}
		w.drop(dir)
		if err != nil {
			continue // the directory above tells when it is there
		}
		if err := w.notify.Add(dir); err != nil {
			w.log.Warn("no events from a directory: looking for edits again and again", "directory", dir, "error", err, "every", fastPoll)
			w.poll.Reset(fastPoll)
			continue
		}
		w.followed[dir], fresh = info, true
	}
	return fresh
}

func (w *watch) drop(dir string) {
	if _, ok := w.followed[dir]; ok {
		_ = w.notify.Remove(dir) // it may be gone already
		delete(w.followed, dir)
	}
}
