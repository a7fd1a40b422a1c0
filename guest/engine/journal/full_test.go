package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDisk: nothing new can be recorded, but what is there can be changed and deleted, which is what makes room.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts a small tmpfs: sudo go test ./guest/engine/journal")
	}
	dir := t.TempDir()
	must(t, unix.Mount("naru", dir, "tmpfs", 0, "size=512k"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "state.journal")
	j := open(t, path)
	big := value{Text: string(bytes.Repeat([]byte("x"), 4000))}
	for _, id := range []string{"a", "b", "c"} {
		must(t, j.Put("k", id, big, true))
	}
	if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	var refused error
	for i := 0; i < 30 && refused == nil; i++ {
		refused = j.Put("k", string(rune('A'+i)), big, true)
	}
	if !errors.Is(refused, unix.ENOSPC) {
		t.Errorf("new objects on a full disk: %v", refused)
	}
	must(t, j.Put("k", "a", value{N: 7}, true))
	must(t, j.Delete("k", "b", true))
	must(t, j.Delete("k", "c", true))
	must(t, os.Remove(filepath.Join(dir, "fill")))
	must(t, j.Put("k", "new", value{N: 8}, true))
	must(t, j.Close())
	got := all(t, open(t, path), "k")
	if got["a"].N != 7 || got["new"].N != 8 || got["b"].Text != "" || got["c"].Text != "" {
		t.Errorf("after the disk was full: %d objects, a is %d", len(got), got["a"].N)
	}
}
