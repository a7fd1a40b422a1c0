package image

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"naru/guest/engine/event"
)

// testRegistry is a registry on loopback whose answers a test can tamper with.
type testRegistry struct {
	*httptest.Server
	host   string
	tamper atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]
	gets   atomic.Int64 // of blobs and manifests
}

func newTestRegistry(t *testing.T) *testRegistry {
	t.Helper()
	reg := &testRegistry{}
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	reg.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path != "/v2/" {
			reg.gets.Add(1)
		}
		if f := reg.tamper.Load(); f != nil {
			(*f)(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(reg.Close)
	reg.host = strings.TrimPrefix(reg.URL, "http://")
	return reg
}

func (reg *testRegistry) setTamper(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	if f == nil {
		reg.tamper.Store(nil)
		return
	}
	reg.tamper.Store(&f)
}

func (reg *testRegistry) push(t *testing.T, repo string, what any) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(reg.host+"/"+repo, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(ref, what)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, what)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// file is an entry of a test layer. Content "dir" makes a folder; a link has a target.
type file struct {
	name, content, link string
	mode                int64
}

func tarOf(t *testing.T, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		switch {
		case f.link != "":
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, f.link, 0
		case strings.HasSuffix(f.name, "/"):
			h.Typeflag, h.Mode, h.Size = tar.TypeDir, 0o755, 0
		}
		if f.mode != 0 {
			h.Mode = f.mode
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, f.content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// testImage has one layer per element of layers.
func testImage(t *testing.T, arch string, layers ...[]file) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{Cmd: []string{"/bin/true"}, Env: []string{"A=b"}, Labels: map[string]string{"of": arch}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range layers {
		data := tarOf(t, files...)
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			t.Fatal(err)
		}
		img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "test"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func testIndex(t *testing.T, arches map[string]v1.Image) v1.ImageIndex {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	keys := []string{}
	for arch := range arches {
		keys = append(keys, arch)
	}
	sort.Strings(keys)
	for _, arch := range keys {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        arches[arch],
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index
}

func openTest(t *testing.T, root string, uses func(string) []Use) *Store {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./guest/engine/image")
	}
	s, err := Open(t.Context(), Options{Root: root, HelloPath: filepath.Join(root, "naru-hello"), Events: &event.Bus{}, InUse: uses})
	if err != nil {
		t.Fatal(err)
	}
	s.patience = patience{tries: 4, first: 2 * time.Millisecond, most: 2 * time.Second, stall: 2 * time.Second}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// leftovers are the blobs, unfinished downloads and snapshots on the disk.
func leftovers(t *testing.T, s *Store) (blobs, ingests, snaps int) {
	t.Helper()
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := func(pattern string) int {
		found, err := filepath.Glob(filepath.Join(s.o.Root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	return count("content/blobs/sha256/*"), count("content/ingest/*"), count("snapshots/snapshots/*")
}

func wantEmpty(t *testing.T, s *Store) {
	t.Helper()
	if b, i, n := leftovers(t, s); b+i+n != 0 {
		t.Errorf("left behind: %d blobs, %d unfinished downloads, %d snapshots", b, i, n)
		refs, _ := filepath.Glob(filepath.Join(s.o.Root, "content/ingest/*/ref"))
		for _, ref := range refs {
			data, err := os.ReadFile(ref)
			t.Logf("%q %v", data, err)
		}
	}
}

// read returns a file as an overlay of the layers shows it, "" when it is not there or whited out.
func read(t *testing.T, s *Store, id, path string) string {
	t.Helper()
	dirs, err := s.Layers(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		info, err := os.Lstat(filepath.Join(dir, path))
		if err != nil {
			continue
		}
		if info.Mode()&os.ModeCharDevice != 0 { // a whiteout
			return ""
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	return ""
}
