package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Whatever a configuration names, reading it ends: a pipe that nobody writes to
// would hold up every later edit, and with it the order to revoke a key.
func TestOnlyFilesAreRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "cedargate.yaml")
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("secret", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"secret": "s", "link": "s", "pipe": "", ".": "", "absent": ""} {
		var text []byte
		var err error
		read := make(chan struct{})
		go func() {
			defer close(read)
			text, err = beside(file)(name)
		}()
		select {
		case <-read:
		case <-time.After(5 * time.Second):
			t.Fatalf("reading %s does not end", name)
		}
		if string(text) != want || (err == nil) != (want != "") {
			t.Errorf("reading %s = %q, %v, want %q", name, text, err, want)
		}
	}
	if err := os.Rename(pipe, filepath.Join(dir, "a.cedar")); err != nil {
		t.Fatal(err)
	}
	if files, err := readPolicies(dir); err == nil {
		t.Errorf("readPolicies of a pipe = %v, want an error", files)
	}
}
