package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./guest/engine/archive")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openRoot(t *testing.T, dir string) *Root {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	r := NewRoot(fd)
	t.Cleanup(func() { r.Close() })
	return r
}

// pack returns the archive of a folder's content, and its entries.
func pack(t *testing.T, dir string) ([]byte, map[string]*tar.Header) {
	t.Helper()
	var out bytes.Buffer
	p := NewPacker(t.Context(), &out, nil)
	fd, err := openRoot(t, dir).Dup()
	must(t, err)
	defer unix.Close(fd)
	must(t, p.Contents(fd, ""))
	must(t, p.Close())
	entries := map[string]*tar.Header{}
	for tr := tar.NewReader(bytes.NewReader(out.Bytes())); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return out.Bytes(), entries
		}
		must(t, err)
		entries[strings.TrimSuffix(hdr.Name, "/")] = hdr
	}
}

// fillTree makes one of everything.
func fillTree(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.MkdirAll(at("d/empty"), 0o751))
	must(t, os.Chmod(at("d/empty"), 0o1751|os.ModeSticky))
	must(t, os.WriteFile(at("d/file"), []byte("content"), 0o640))
	must(t, os.Lchown(at("d/file"), 4294967294, 3000000000))
	must(t, os.Link(at("d/file"), at("d/second name")))
	must(t, os.Symlink("/etc/passwd", at("absolute")))
	must(t, os.Symlink("../../..", at("d/up")))
	must(t, os.WriteFile(at("setuid"), []byte("x"), 0o755))
	must(t, os.Lchown(at("setuid"), 12, 34))
	must(t, unix.Chmod(at("setuid"), 0o4755))
	must(t, unix.Setxattr(at("setuid"), capability, []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	if err := unix.Setxattr(at("d"), "user.naru", []byte("a\x00b"), 0); err != nil && err != unix.ENOTSUP {
		t.Fatal(err)
	}
	must(t, unix.Setxattr(at("d"), "trusted.overlay.opaque", []byte("y"), 0))
	must(t, unix.Mkfifo(at("pipe"), 0o622))
	must(t, unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(at("block"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 300))))
	must(t, os.WriteFile(at("grüße-日本語-\U0001f6a2"), nil, 0o600))
	must(t, os.WriteFile(at(strings.Repeat("n", 255)), nil, 0o600))
	must(t, os.MkdirAll(at(strings.Repeat("p/", 120)+"deep"), 0o755))
	must(t, os.WriteFile(at("not utf8 \xff\xfe"), []byte("n"), 0o600))
	sparse, err := os.Create(at("sparse"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("end"), 8<<20)
	must(t, err)
	must(t, sparse.Close())
	old := time.Unix(1000000000, 0)
	must(t, os.Chtimes(at("d/file"), old, old))
	must(t, os.Chtimes(at("d"), old, old))
}

// describe is everything of a tree that an archive carries, line by line.
func describe(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		line := fmt.Sprintf("%q %o %d:%d %d", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %d %x", st.Nlink, st.Size, data[max(0, len(data)-8):])
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " " + target
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" %d", st.Rdev)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			buf := make([]byte, maxAttributes)
			found, err := readAttributes(buf,
				func(b []byte) (int, error) { return unix.Llistxattr(path, b) },
				func(name string, b []byte) (int, error) { return unix.Lgetxattr(path, name, b) })
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %q", found)
		}
		out = append(out, line)
		return nil
	}))
	return out
}

func TestRoundTrip(t *testing.T) {
	needRoot(t)
	from, to := t.TempDir(), t.TempDir()
	fillTree(t, from)
	data, entries := pack(t, from)
	must(t, Unpack(t.Context(), bytes.NewReader(data), openRoot(t, to), UnpackOptions{Dest: "/"}))
	want, got := describe(t, from), describe(t, to)
	if !slices.Equal(want, got) {
		for i := range min(len(want), len(got)) {
			if want[i] != got[i] {
				t.Errorf("want %s\n got %s", want[i], got[i])
			}
		}
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	if hdr := entries["d/second name"]; hdr.Typeflag != tar.TypeLink || hdr.Linkname != "d/file" {
		t.Errorf("second name of a file: %+v", hdr)
	}
	if _, ok := entries["d"].PAXRecords[paxAttribute+"trusted.overlay.opaque"]; ok {
		t.Error("an attribute of the overlay's is in the archive")
	}
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(to, "sparse"), &st))
	if st.Blocks*512 > 1<<20 {
		t.Errorf("sparse file takes %d bytes", st.Blocks*512)
	}
}

func TestSocketsAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, "s")}))
	if _, entries := pack(t, dir); len(entries) != 0 {
		t.Errorf("entries: %v", entries)
	}
}

// TestPipeDoesNotBlock: nothing waits for a writer, neither of a pipe that is there nor of one that takes a file's place.
func TestPipeDoesNotBlock(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mkfifo(filepath.Join(dir, "p"), 0o600))
	r := openRoot(t, dir)
	st, err := r.Lstat("/p")
	must(t, err)
	if st.Mode&os.ModeNamedPipe == 0 {
		t.Errorf("mode %v", st.Mode)
	}
	p := NewPacker(t.Context(), io.Discard, nil)
	fd, err := r.Dup()
	must(t, err)
	defer unix.Close(fd)
	regular := unix.Stat_t{Mode: unix.S_IFREG | 0o600, Nlink: 1}
	if err := p.file(fd, "p", "p", &regular); !vanished(err) {
		t.Errorf("a pipe in the place of a file: %v", err)
	}
}

// TestLookups holds openat2 and the look-up by hand against each other.
func TestLookups(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.MkdirAll(at("a/b"), 0o755))
	must(t, os.WriteFile(at("a/b/f"), []byte("f"), 0o644))
	for name, target := range map[string]string{
		"abs": "/a/b", "a/rel": "b", "up": "../../../a", "a/b/top": "/", "loop": "loop", "dangling": "/a/none/x", "file": "/a/b/f", "dot": "a/.",
	} {
		must(t, os.Symlink(target, at(name)))
	}
	fast, slow := openRoot(t, dir), openRoot(t, dir)
	slow.byHand = true
	for _, name := range []string{
		"", ".", "/", "..", "/..", "a", "/a/", "abs", "abs/", "abs/f", "abs/.", "a/rel/f", "up/b/f", "up/../a", "a/b/top/a/b/f", "a/b/../b/f", "loop", "loop/x",
		"dangling", "dangling/", "file", "file/", "file/.", "file/..", "a/b/f/", "none", "none/..", "../../etc/passwd", "/proc/self/root", "dot/b", "abs/../../a/b",
	} {
		for _, flags := range []int{unix.O_PATH, unix.O_PATH | unix.O_NOFOLLOW, unix.O_RDONLY | unix.O_DIRECTORY, unix.O_RDONLY} {
			a, errA := fast.Open(name, flags)
			b, errB := slow.Open(name, flags)
			if errA != errB {
				t.Errorf("%q with %#x: %v by the kernel, %v by hand", name, flags, errA, errB)
			}
			if errA == nil && errB == nil {
				x, _ := fstatat(a, "")
				y, _ := fstatat(b, "")
				if inodeOf(&x) != inodeOf(&y) {
					t.Errorf("%q with %#x: two different files", name, flags)
				}
			}
			unix.Close(a)
			unix.Close(b)
		}
	}
	for name, want := range map[string]string{
		"abs": "/a/b", "up": "/a", "dangling": "/a/none/x", "a/b/top": "/", "file": "/a/b/f", "none/x": "/none/x", "/": "/",
	} {
		if got, err := fast.Resolve(name); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestClean(t *testing.T) {
	for name, want := range map[string]string{
		"/etc": "/etc", "etc": "/etc", "/etc/": "/etc/", "/etc/.": "/etc/.", "/": "/", "/.": "/.", ".": "/.", "/a/../b/": "/b/", "../x": "/x", "//": "/",
	} {
		if got := Clean(name); got != want {
			t.Errorf("Clean(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestEndedContext(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "f"), make([]byte, 3<<20), 0o600))
	data, _ := pack(t, dir)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	if err := Unpack(ctx, bytes.NewReader(data), openRoot(t, t.TempDir()), UnpackOptions{}); err != io.ErrClosedPipe {
		t.Errorf("unpack: %v", err)
	}
	fd, err := openRoot(t, dir).Dup()
	must(t, err)
	defer unix.Close(fd)
	if err := NewPacker(ctx, io.Discard, nil).Contents(fd, ""); err != io.ErrClosedPipe {
		t.Errorf("pack: %v", err)
	}
}

// TestMountPointStays: what is mounted is neither removed nor taken away, whatever takes its name.
func TestMountPointStays(t *testing.T) {
	needRoot(t)
	dir, other := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "d/m"), 0o755))
	must(t, os.WriteFile(filepath.Join(other, "kept"), nil, 0o600))
	must(t, unix.Mount(other, filepath.Join(dir, "d/m"), "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(filepath.Join(dir, "d/m"), 0)) })
	for _, name := range []string{"d/m", "d"} {
		err := Unpack(t.Context(), bytes.NewReader(archiveOf(t, file(name))), openRoot(t, dir), UnpackOptions{Dest: "/"})
		if err == nil || !strings.Contains(err.Error(), "device or resource busy") {
			t.Errorf("a file in the place of %s: %v", name, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "d/m/kept")); err != nil {
		t.Error(err)
	}
}
