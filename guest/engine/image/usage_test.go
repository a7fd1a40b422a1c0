package image

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestUsageTruth: what the store says its layers take is what the disk says, and what images share is counted once. Deleting says
// what it gives back.
func TestUsageTruth(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg := newTestRegistry(t)
	shared := []file{{name: "dir/", content: ""}, {name: "dir/a", content: strings.Repeat("a", 100_000)}, {name: "b", content: strings.Repeat("b", 5000)}, {name: "soft", link: "b"}}
	for i := range 3 {
		own := []file{{name: "own", content: strings.Repeat("x", 10_000*(i+1))}}
		if _, err := s.Pull(t.Context(), PullOptions{Name: reg.push(t, fmt.Sprintf("app%d", i), testImage(t, "amd64", shared, own)).String()}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string) int64 {
		t.Helper()
		said, err := s.LayersSize(t.Context())
		if is := layersOnDisk(t, s); err != nil || said != is {
			t.Errorf("%s: the store says %d bytes, the disk %d, %v", when, said, is, err)
		}
		return said
	}
	all := check("after the pulls")
	list, err := s.List(t.Context(), ListOptions{Shared: true})
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	unique := int64(0)
	for _, i := range list {
		unique += i.Size - i.SharedSize
		if i.SharedSize != list[0].SharedSize || i.SharedSize == 0 {
			t.Errorf("shared: %d and %d", i.SharedSize, list[0].SharedSize)
		}
	}
	if list[0].SharedSize+unique != all {
		t.Errorf("%d shared and %d of their own are not %d", list[0].SharedSize, unique, all)
	}
	if _, err := s.Delete(t.Context(), reg.host+"/app0", DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	less := check("after a delete")
	report, err := s.Prune(t.Context(), PruneOptions{All: true})
	if err != nil || int64(report.SpaceReclaimed) != less {
		t.Errorf("prune gave back %+v of %d, %v", report, less, err)
	}
	check("after the prune")
}

// layersOnDisk asks the file system.
func layersOnDisk(t *testing.T, s *Store) (total int64) {
	t.Helper()
	roots, err := filepath.Glob(filepath.Join(s.o.Root, "snapshots/snapshots/*/fs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil {
				total += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return total
}
