package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func needRoot(t testing.TB) {
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./guest/engine/layer")
	}
}

// entry is one of an archive; a file holds body.
type entry struct {
	tar.Header
	body string
}

func file(name, body string) entry { return entry{tar.Header{Name: name, Mode: 0o644}, body} }

func archiveOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, e := range entries {
		if e.Typeflag == 0 {
			e.Typeflag, e.Size = tar.TypeReg, int64(len(e.body))
		}
		err := errors.Join(w.WriteHeader(&e.Header))
		if e.Size > 0 && err == nil {
			_, err = io.WriteString(w, e.body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func apply(t testing.TB, blob []byte, dir string, below ...string) (Result, error) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "blob"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(blob); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	got, rest, err := Unpack(t.Context(), Request{Blob: f, Size: int64(len(blob)), Dir: dir, Budget: DefaultBudget})
	if err != nil {
		return got, err
	}
	return got, rest.Finish(dir, below)
}

// TestApply: everything that a layer can hold arrives as it is, and the digest is that of the uncompressed layer.
func TestApply(t *testing.T) {
	needRoot(t)
	dir, below := t.TempDir(), t.TempDir()
	for _, name := range []string{"etc", "gone"} {
		if err := os.Mkdir(filepath.Join(below, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(below, "etc"), 5, 6); err != nil {
		t.Fatal(err)
	}
	xattr := map[string]string{
		"SCHILY.xattr.user.a": "1", "SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.trusted.overlay.redirect": "/x",
		"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	}
	blob := archiveOf(t,
		entry{Header: tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o1777, ModTime: time.Unix(1000, 0)}},
		entry{tar.Header{Name: "d/su", Mode: 0o4755, Uid: 7, Gid: 8, PAXRecords: xattr}, "set-uid"},
		entry{Header: tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "d/su", Mode: 0o4755, Uid: 7, Gid: 8}},
		entry{Header: tar.Header{Name: "sym", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
		entry{Header: tar.Header{Name: "null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}},
		entry{Header: tar.Header{Name: "pipe", Typeflag: tar.TypeFifo, Mode: 0o600}},
		file("etc/new", "x"), file("gone/.wh..wh..opq", ""), file("gone/in", "y"), file(".wh.away", ""),
		file(".wh.back", ""), file("back/f", "z"), file("big", strings.Repeat("\x00", 1<<20)+"end"),
	)
	got, err := apply(t, blob, dir, below)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := io.ReadAll(z)
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(plain)); got.DiffID.String() != want || got.Size != int64(len(plain)) {
		t.Errorf("got %+v, want %s of %d bytes", got, want, len(plain))
	}
	for name, want := range map[string]string{
		"d": "41777 0:0", "d/su": "104755 7:8", "hard": "104755 7:8", "null": "20666 0:0 1:3", "pipe": "10600 0:0", "etc": "40700 5:6",
		"away": "20000 0:0 0:0", "back": "40755 0:0", "sym": "120777 0:0",
	} {
		if is := mode(t, filepath.Join(dir, name)); is != want {
			t.Errorf("%s is %s, want %s", name, is, want)
		}
	}
	for name, want := range map[string]map[string]string{
		"d/su": {"user.a": "1", "user.overlay.opaque": "", "trusted.overlay.redirect": "", "security.capability": xattr["SCHILY.xattr.security.capability"]},
		"gone": {"trusted.overlay.opaque": "y"}, "back": {"trusted.overlay.opaque": "y"}, "etc": {"trusted.overlay.opaque": ""},
	} {
		for key, value := range want {
			if is := attribute(filepath.Join(dir, name), key); is != value {
				t.Errorf("%s of %s is %q, want %q", key, name, is, value)
			}
		}
	}
	if data, _ := os.ReadFile(filepath.Join(dir, "big")); len(data) != 1<<20+3 || !bytes.HasSuffix(data, []byte("end")) {
		t.Errorf("big has %d bytes", len(data))
	}
}

func mode(t *testing.T, name string) string {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		t.Error(err)
	}
	out := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	if st.Mode&unix.S_IFMT == unix.S_IFCHR {
		out += fmt.Sprintf(" %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	return out
}

func attribute(name, key string) string {
	buf := make([]byte, 100)
	n, err := unix.Lgetxattr(name, key, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// TestBudgets: what is over a budget is refused in words that name it.
func TestBudgets(t *testing.T) {
	needRoot(t)
	long := strings.Repeat("a/", 20) + "f"
	for name, c := range map[string]struct {
		change func(*Budget)
		entry  entry
		want   string
	}{
		"size":       {func(b *Budget) { b.Size = 10 }, file("f", "12345678901"), "its files are larger than 10 bytes"},
		"entries":    {func(b *Budget) { b.Entries = 1 }, file("f", ""), "it has more than 1 entries"},
		"name":       {func(b *Budget) { b.NameLength = 30 }, file(long, ""), "a name in it is longer than 30 bytes"},
		"depth":      {func(b *Budget) { b.Depth = 20 }, file(long, ""), "a name in it is deeper than 20 folders"},
		"attributes": {func(b *Budget) { b.Attributes = 5 }, entry{tar.Header{Name: "f", PAXRecords: map[string]string{"SCHILY.xattr.user.a": "1"}}, ""}, "take more than 5 bytes"},
		"link":       {func(b *Budget) { b.NameLength = 30 }, entry{Header: tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: long}}, "longer than 30 bytes"},
	} {
		r := requestOf(t, archiveOf(t, file("a", ""), c.entry))
		c.change(&r.Budget)
		if _, _, err := Unpack(t.Context(), r); err == nil || !strings.Contains(err.Error(), "the layer is refused: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestRatio: a small blob that becomes very large is refused before it has.
func TestRatio(t *testing.T) {
	needRoot(t)
	var blob bytes.Buffer
	z, _ := gzip.NewWriterLevel(&blob, gzip.BestSpeed)
	w := tar.NewWriter(z)
	const size = FreeRatio + 64<<20
	if err := w.WriteHeader(&tar.Header{Name: "zeros", Size: size, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range size / len(zeros) {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	r := requestOf(t, blob.Bytes())
	r.Budget.Ratio = 100
	if _, _, err := Unpack(t.Context(), r); err == nil || !strings.Contains(err.Error(), "more than 100 times as large") {
		t.Errorf("%v", err)
	}
}

func requestOf(t *testing.T, blob []byte) Request {
	name := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(name, blob, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return Request{Blob: f, Size: int64(len(blob)), Dir: t.TempDir(), Budget: DefaultBudget}
}

// TestCancel: the child ends with the context.
func TestCancel(t *testing.T) {
	needRoot(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, _, err := Unpack(ctx, Request{Blob: r, Size: 1, Dir: t.TempDir(), Budget: DefaultBudget}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestConfined has a child try what it must not be able to do.
func TestConfined(t *testing.T) {
	needRoot(t)
	out, err := probe(t, t.TempDir())
	if err != nil || out != "confined" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestErrno: the kernel's error comes through.
func TestErrno(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	_, err := apply(t, archiveOf(t, file("f", strings.Repeat("x", 1<<20))), dir)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
}
