package shares

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestParseInfoOfThisKernel: what this kernel writes of a watch leads back to the inode.
func TestParseInfoOfThisKernel(t *testing.T) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	dir := t.TempDir()
	want := map[uint64]bool{}
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.InotifyAddWatch(fd, path, unix.IN_CREATE); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		want[st.Ino] = true
	}
	for _, w := range watchesOf(uint32(os.Getpid()), anyMount(t, dir)) {
		if !want[w.ino] {
			t.Errorf("inode %d is not watched", w.ino)
		}
		delete(want, w.ino)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

func anyMount(t *testing.T, dir string) map[uint64]*shareMount {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return map[uint64]*shareMount{st.Dev: {path: dir}}
}

func FuzzParseInfo(f *testing.F) {
	f.Add([]byte("inotify wd:1 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:7e9e0000640d1b6d\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, w := range parseInfo(data) {
			if w.ino == 0 || strings.Count(string(data), "notify") == 0 {
				t.Errorf("%+v of %q", w, data)
			}
		}
	})
}
