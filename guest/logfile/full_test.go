package logfile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDisk: what does not fit is dropped, the log stays readable, and it goes on when there is room again.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs a small tmpfs: sudo go test ./guest/logfile -run TestFullDisk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	w, err := NewWriter(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		w.Write(Stdout, bytes.Repeat([]byte("0123456789\n"), 300))
	}
	if w.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.Write(Stdout, []byte("again\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got := read(t, path, everything)
	if n := len(got); n == 0 || n+int(w.Dropped()) != 1201 || got[n-1] != "again\n" {
		t.Errorf("%d entries, %d dropped, the last of %.50q", n, w.Dropped(), fmt.Sprint(got))
	}
}
