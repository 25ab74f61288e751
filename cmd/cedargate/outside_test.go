package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Only the null device throws records away.
func TestLost(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "records.jsonl")
	for path, want := range map[string]bool{os.DevNull: true, file: false} {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got := lost(f); got != want {
			t.Errorf("lost(%s) = %t, want %t", path, got, want)
		}
	}
}
