package image

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// TestSideBySide: layers that are unpacked without those below them come out as one after another: a folder that a layer only
// writes into has the owner and mode of the layers below, through several layers, and so has the root.
func TestSideBySide(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg := newTestRegistry(t)
	layers := [][]file{
		{{name: "./", mode: 0o711}, {name: "a/", mode: 0o700}, {name: "a/b/", mode: 0o1777}, {name: "a/b/first", content: "1"}},
		{{name: "a/b/second", content: "2"}},
		{{name: "a/b/third", content: "3"}, {name: "new/deep/file", content: "n"}},
		{{name: "a/", mode: 0o750}, {name: "a/b/fourth", content: "4"}},
		{{name: "a/b/fifth", content: "5"}},
	}
	for _, count := range []int{2, len(layers)} { // the second time two are there already
		ref := reg.push(t, "app", testImage(t, runtime.GOARCH, layers[:count]...)).String()
		img, err := s.Pull(t.Context(), PullOptions{Name: ref})
		if err != nil {
			t.Fatal(err)
		}
		dirs, err := s.Layers(t.Context(), img.ID)
		if err != nil {
			t.Fatal(err)
		}
		for i, dir := range dirs { // topmost first
			n := len(dirs) - i
			a := os.FileMode(0o700)
			if n >= 4 {
				a = 0o750
			}
			wantMode(t, filepath.Join(dir, "a"), a)
			wantMode(t, filepath.Join(dir, "a/b"), 0o777|os.ModeSticky)
			wantMode(t, dir, 0o711)
		}
		if got := read(t, s, img.ID, "a/b/first"); got != "1" {
			t.Errorf("the first layer's file holds %q", got)
		}
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode() &^ os.ModeDir; got != want || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("%s has mode %v, want %v", path, got, want)
	}
}

// TestSideBySideTwice: pulls at once of images that share their lower layers wait for each other, and both end right.
func TestSideBySideTwice(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg := newTestRegistry(t)
	shared := [][]file{{{name: "one", content: "1"}}, {{name: "two", content: "2"}}, {{name: "three", content: "3"}}}
	var wg sync.WaitGroup
	for _, end := range []string{"a", "b", "c", "d"} {
		ref := reg.push(t, end, testImage(t, runtime.GOARCH, append(shared[:3:3], []file{{name: "end", content: end}})...)).String()
		wg.Go(func() {
			img, err := s.Pull(t.Context(), PullOptions{Name: ref})
			if err != nil {
				t.Error(err)
				return
			}
			if got := read(t, s, img.ID, "one") + read(t, s, img.ID, "three") + read(t, s, img.ID, "end"); got != "13"+end {
				t.Errorf("%s: the image holds %q", end, got)
			}
		})
	}
	wg.Wait()
}

// TestSideBySideWrong: of an image whose third layer is not what its config says, nothing
// stays, and the error tells of that layer alone.
func TestSideBySideWrong(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	img := testImage(t, runtime.GOARCH, []file{{name: "one", content: "1"}}, []file{{name: "two", content: "2"}},
		[]file{{name: "three", content: "3"}}, []file{{name: "four", content: "4"}})
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.RootFS.DiffIDs[2] = config.RootFS.DiffIDs[1]
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	ref := newTestRegistry(t).push(t, "wrong", img).String()
	_, err = s.Pull(t.Context(), PullOptions{Name: ref})
	if err == nil || !strings.HasPrefix(err.Error(), "filesystem layer verification failed: wrong diff id") || strings.Contains(err.Error(), "\n") {
		t.Errorf("pull: %v", err)
	}
	wantEmpty(t, s)
}
