package archive

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSmallFiles: small files that are completed beside the unpacker come out as if one were complete before the next is made,
// also where names come again, links lead to them and large ones are between them.
func TestSmallFiles(t *testing.T) {
	needRoot(t)
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(h tar.Header, content string) {
		t.Helper()
		h.Size, h.ModTime = int64(len(content)), time.Unix(1_600_000_000, 0)
		must(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, content)
		must(t, err)
	}
	reg := func(name string, mode int64) tar.Header {
		return tar.Header{Name: name, Mode: mode, Uid: 7, Gid: 8, Typeflag: tar.TypeReg}
	}
	for i := range 300 {
		add(reg(fmt.Sprint("d/f", i), 0o4755), fmt.Sprint("first ", i))
		add(reg(fmt.Sprint("d/f", i), 0o640), strings.Repeat("x", i*400)) // up to 120 kB
		add(tar.Header{Name: fmt.Sprint("d/h", i), Linkname: fmt.Sprint("d/f", i), Typeflag: tar.TypeLink, Mode: 0o640, Uid: 7, Gid: 8}, "")
		add(reg(fmt.Sprint("d/s", i), 0o4711), "s")
	}
	add(reg("d/f1", 0o600), "last")                                            // h1 stays what it was
	add(tar.Header{Name: "d/f2", Mode: 0o700, Typeflag: tar.TypeDir}, "")      // in the place of a file
	add(reg("d/f2/in", 0o600), "in")                                           // and into it
	add(tar.Header{Name: "d", Mode: 0o755, Typeflag: tar.TypeDir, Uid: 9}, "") // its time is set at the end
	must(t, w.Close())
	dir := t.TempDir()
	report, err := ApplyLayer(t.Context(), &buf, openRoot(t, dir), LayerBudget{})
	must(t, err)
	if report.Entries != 1204 {
		t.Errorf("%d entries", report.Entries)
	}
	want := func(name, content string, mode os.FileMode, uid uint32) {
		t.Helper()
		data, err := os.ReadFile(dir + "/" + name)
		must(t, err)
		info, err := os.Stat(dir + "/" + name)
		must(t, err)
		if string(data) != content || info.Mode() != mode || info.Sys().(*syscall.Stat_t).Uid != uid || info.ModTime().Unix() != 1_600_000_000 {
			t.Errorf("%s: %d bytes, %v, %v", name, len(data), info.Mode(), info.ModTime())
		}
	}
	for i := range 300 {
		if i != 1 && i != 2 {
			want(fmt.Sprint("d/f", i), strings.Repeat("x", i*400), 0o640, 7)
		}
		want(fmt.Sprint("d/h", i), strings.Repeat("x", i*400), 0o640, 7)
		want(fmt.Sprint("d/s", i), "s", 0o711|os.ModeSetuid, 7)
	}
	want("d/f1", "last", 0o600, 7)
	want("d/f2/in", "in", 0o600, 7)
	if info, err := os.Stat(dir + "/d"); err != nil || info.ModTime().Unix() != 1_600_000_000 {
		t.Errorf("the folder's time: %v %v", info, err)
	}
}

// TestSmallFilesFull: a disk that is full while small files are written is told of, with the name of one.
func TestSmallFilesFull(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i := range 100 {
		must(t, w.WriteHeader(&tar.Header{Name: fmt.Sprint("f", i), Mode: 0o644, Size: 4096, Typeflag: tar.TypeReg}))
		_, err := w.Write(make([]byte, 4096))
		must(t, err)
	}
	must(t, w.Close())
	_, err := ApplyLayer(t.Context(), &buf, openRoot(t, dir), LayerBudget{})
	if err == nil || !strings.Contains(err.Error(), "unpack /f") || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("%v", err)
	}
}
