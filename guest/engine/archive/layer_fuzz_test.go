package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzLayer: no layer changes anything outside of its folder, or goes on for ever.
func FuzzLayer(f *testing.F) {
	if os.Getuid() != 0 {
		f.Skip("needs root: sudo go test ./guest/engine/archive")
	}
	f.Add(archiveOf(f, folder("d"), file("d/f"), hard("h", "d/f"), link("l", "../canary"), file("l/x"), file(".wh.d"), file("d/.wh..wh..opq")))
	f.Add(archiveOf(f, file(".wh.a"), file("a/b"), file(".wh..."), link("b", "/nowhere"), file("b/c/d")))
	f.Add(archiveOf(f, file("../canary/.wh.x"), link("a", "/"), hard("b", "a/etc/passwd"), file("a/.wh.etc")))
	f.Add(archiveOf(f, tar.Header{Name: "c", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, file("c/x")))
	f.Add(archiveOf(f, tar.Header{Name: "x", PAXRecords: map[string]string{"SCHILY.xattr.user.overlay.a": "b"}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		base := t.TempDir()
		canary, dest := filepath.Join(base, "canary"), filepath.Join(base, "dest")
		must(t, os.Mkdir(dest, 0o755))
		must(t, os.Mkdir(canary, 0o755))
		old := time.Unix(1e9, 0)
		must(t, os.Chtimes(canary, old, old))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		r := openRoot(t, dest)
		report, err := ApplyLayer(ctx, bytes.NewReader(data), r, LayerBudget{Size: 64 << 20, Entries: 1000, NameLength: 4095, Depth: 100, Attributes: 64 << 10})
		if err == nil && report.Entries > 1000 {
			t.Errorf("%d entries", report.Entries)
		}
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
