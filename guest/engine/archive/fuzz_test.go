package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzUnpack: no archive makes or changes anything outside of the folder, or makes Unpack go on for ever.
func FuzzUnpack(f *testing.F) {
	if os.Getuid() != 0 {
		f.Skip("needs root: sudo go test ./guest/engine/archive")
	}
	f.Add(archiveOf(f, folder("d"), file("d/f"), hard("h", "d/f"), link("l", "../canary"), file("l/x")))
	f.Add(archiveOf(f, file("../canary/x"), link("a", "/"), hard("b", "a/etc/passwd")))
	f.Add(archiveOf(f, tar.Header{Name: "p", Typeflag: tar.TypeFifo}, tar.Header{Name: "c", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}))
	f.Add(archiveOf(f, tar.Header{Name: "x", PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b", "SCHILY.xattr.trusted.overlay.opaque": "y"}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		base := t.TempDir()
		canary, dest := filepath.Join(base, "canary"), filepath.Join(base, "dest")
		must(t, os.Mkdir(dest, 0o755))
		must(t, os.Mkdir(canary, 0o755))
		old := time.Unix(1e9, 0)
		must(t, os.Chtimes(canary, old, old))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_ = Unpack(ctx, bytes.NewReader(data), openRoot(t, dest), UnpackOptions{})
		if info, err := os.Stat(canary); err != nil || !info.ModTime().Equal(old) {
			t.Fatalf("outside has changed: %v %v", info, err)
		}
		if entries, err := os.ReadDir(base); err != nil || len(entries) != 2 {
			t.Fatalf("outside: %v %v", entries, err)
		}
		if ctx.Err() != nil {
			t.Fatal("it takes too long")
		}
	})
}

// maxFuzzed bounds how much is read of what a fuzzed archive becomes: a megabyte of zeros is a kilobyte compressed.
const maxFuzzed = 16 << 20

// FuzzDecompress: no compressed stream makes it panic.
func FuzzDecompress(f *testing.F) {
	for _, data := range compressed(f) {
		f.Add(data)
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		r, err := Decompress(bytes.NewReader(data))
		if err != nil {
			return
		}
		defer r.Close()
		_, _ = io.CopyN(io.Discard, r, maxFuzzed)
	})
}

// FuzzLookup holds the kernel's look-up and the one by hand against each other.
func FuzzLookup(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"a/b/c", "a/d"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			f.Fatal(err)
		}
	}
	for name, target := range map[string]string{"l": "/a/b", "a/up": "../..", "a/b/abs": "/", "loop": "l/../loop", "none": "/x"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			f.Fatal(err)
		}
	}
	for _, name := range []string{"l/c/../abs/a", "a/up/a/b", "loop", "none/..", "../../a//b/./c/"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		fast, slow := openRoot(t, dir), openRoot(t, dir)
		slow.byHand = true
		a, errA := fast.Lstat(name)
		b, errB := slow.Lstat(name)
		if (errA == nil) != (errB == nil) || errA == nil && (a.Mode != b.Mode || a.Size != b.Size || a.LinkTarget != b.LinkTarget) {
			t.Errorf("%q: %v %v by the kernel, %v %v by hand", name, a, errA, b, errB)
		}
	})
}
