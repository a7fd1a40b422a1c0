package mounted

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRemove: mounts below a folder go with it, what is in them stays.
func TestRemove(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./guest/engine/mounted")
	}
	top := t.TempDir()
	source, dir := filepath.Join(top, "source"), filepath.Join(top, "dir with space")
	precious := filepath.Join(source, "precious")
	for _, d := range []string{source, filepath.Join(dir, "a/b"), filepath.Join(dir, "c")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(precious, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	bind := func(at string) {
		t.Helper()
		if err := unix.Mount(source, filepath.Join(dir, at), "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(filepath.Join(dir, at), unix.MNT_DETACH) })
	}
	bind("a/b")
	bind("c")
	bind("c")
	if err := os.Mkdir(filepath.Join(source, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	bind("c/below")
	busy, err := os.Open(filepath.Join(dir, "a/b"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is there: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	if err := Remove(dir); err != nil {
		t.Errorf("a folder that is gone: %v", err)
	}
}
