package image

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestRemoveTree: a tree of many folders goes, deep ones too, and what its links lead to stays.
func TestRemoveTree(t *testing.T) {
	canary := filepath.Join(t.TempDir(), "canary")
	root := filepath.Join(t.TempDir(), "root")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(canary, 0o755))
	must(os.WriteFile(canary+"/file", nil, 0o644))
	for i := range 30 {
		dir := fmt.Sprintf("%s/d%d/e/f", root, i)
		must(os.MkdirAll(dir, 0o755))
		must(os.Symlink(canary, dir+"/link"))
		must(os.Symlink(canary, fmt.Sprintf("%s/d%d/link", root, i)))
		for j := range 50 {
			must(os.WriteFile(fmt.Sprintf("%s/%d", dir, j), nil, 0))
		}
	}
	must(os.MkdirAll(root+strings.Repeat("/deep", 300), 0o700))
	must(os.Symlink(canary, root+"/link"))
	removeTree(root)
	if _, err := os.Lstat(root); !os.IsNotExist(err) {
		t.Errorf("the tree is still there: %v", err)
	}
	if _, err := os.Stat(canary + "/file"); err != nil {
		t.Error(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	must(os.Symlink(canary, link))
	removeTree(link)
	if _, err := os.Stat(canary + "/file"); err != nil {
		t.Errorf("through a link: %v", err)
	}
}

// TestLayerUsage: the size in the database, found before the commit, is that of the files.
func TestLayerUsage(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	ref := newTestRegistry(t).push(t, "app", testImage(t, runtime.GOARCH,
		[]file{{name: "a", content: strings.Repeat("x", 100_000)}}, []file{{name: "b/c", content: "y"}})).String()
	img, err := s.Pull(t.Context(), PullOptions{Name: ref})
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := s.Layers(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	sizes, err := s.layerSizes(s.context(t.Context()), img.DiffIDs)
	if err != nil {
		t.Fatal(err)
	}
	for i, dir := range dirs { // topmost first
		want, err := usageOf(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := sizes[len(sizes)-1-i]; got == 0 || max(got-want.Size, want.Size-got) > 64<<10 { // it is not exact before the disk has it

			t.Errorf("layer %s takes %d bytes, the database says %d", dir, want.Size, got)
		}
	}
}
