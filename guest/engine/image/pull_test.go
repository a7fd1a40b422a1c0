package image

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// statuses collects the words of a pull.
type statuses struct {
	mu  sync.Mutex
	all []string
}

func (s *statuses) add(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, m.Status)
}

func (s *statuses) has(prefix string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.all {
		if strings.HasPrefix(x, prefix) {
			return true
		}
	}
	return false
}

func TestPull(t *testing.T) {
	root := t.TempDir()
	s := openTest(t, root, nil)
	reg := newTestRegistry(t)
	img := testImage(t, runtime.GOARCH,
		[]file{{name: "etc/", mode: 0o711}, {name: "etc/a", content: "one"}, {name: "etc/b", content: "bee"}},
		[]file{{name: "etc/a", content: "two"}, {name: "etc/.wh.b"}},
		[]file{{name: "etc/c", content: "sea"}})
	ref := reg.push(t, "app:1", img)
	var words statuses
	got, err := s.Pull(t.Context(), PullOptions{Name: ref.String(), Progress: words.add})
	if err != nil {
		t.Fatal(err)
	}
	config, _ := img.ConfigName()
	if got.ID != config.String() || got.Name != reg.host+"/app:1" || got.Config.Env[0] != "A=b" || len(got.RepoDigests) != 1 {
		t.Errorf("pulled %+v", got)
	}
	for path, want := range map[string]string{"etc/a": "two", "etc/b": "", "etc/c": "sea"} {
		if have := read(t, s, got.ID, path); have != want {
			t.Errorf("%s is %q, want %q", path, have, want)
		}
	}
	dirs, err := s.Layers(t.Context(), got.ID)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dirs[0], "etc")); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("a folder that the layer does not name has not the mode of the one below: %v, %v", info, err)
	}
	for _, w := range []string{"Pulling from app", "Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete", "Digest: sha256:", "Status: Downloaded newer image for "} {
		if !words.has(w) {
			t.Errorf("no %q in %q", w, words.all)
		}
	}

	before := reg.gets.Load()
	words = statuses{}
	if _, err := s.Pull(t.Context(), PullOptions{Name: ref.String(), Progress: words.add}); err != nil || !words.has("Status: Image is up to date") {
		t.Errorf("second pull: %v, %q", err, words.all)
	}
	if reg.gets.Load() != before {
		t.Error("the second pull fetched something")
	}

	// By digest, by ID and prefix, and after a restart.
	digest := got.RepoDigests[0]
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, root, nil)
	for _, name := range []string{digest, got.ID, got.ID[:20], got.ID[7:15], reg.host + "/app:1"} {
		if again, err := s.Resolve(t.Context(), name); err != nil || again.ID != got.ID {
			t.Errorf("resolve %s: %v, %v", name, again, err)
		}
	}
	if _, err := s.Resolve(t.Context(), "nothere"); !errdefs.IsNotFound(err) || err.Error() != "No such image: nothere:latest" {
		t.Errorf("unknown image: %v", err)
	}
	if read(t, s, got.ID, "etc/c") != "sea" {
		t.Error("layers are lost after a restart")
	}

	// The tag moves: the old image keeps its digest; both go without a trace.
	reg.push(t, "app:1", testImage(t, runtime.GOARCH, []file{{name: "new", content: "x"}}))
	moved, err := s.Pull(t.Context(), PullOptions{Name: ref.String()})
	if err != nil || moved.ID == got.ID {
		t.Fatalf("moved tag: %v, %v", moved, err)
	}
	if old, err := s.Resolve(t.Context(), digest); err != nil || len(old.RepoTags) != 0 {
		t.Errorf("old image after its tag moved: %+v, %v", old, err)
	}
	for _, name := range []string{ref.String(), digest} {
		if _, err := s.Delete(t.Context(), name, DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	wantEmpty(t, s)
}

func TestPullPlatforms(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg := newTestRegistry(t)
	amd := testImage(t, "amd64", []file{{name: "arch", content: "amd64"}})
	ref := reg.push(t, "multi:latest", testIndex(t, map[string]v1.Image{
		"amd64": amd, "s390x": testImage(t, "s390x", []file{{name: "arch", content: "s390x"}}),
	}))
	pull := func(arch string) (*Image, error) {
		return s.Pull(t.Context(), PullOptions{Name: ref.String(), Platform: &ocispec.Platform{OS: "linux", Architecture: arch}})
	}
	_, err := pull("arm64")
	if !errdefs.IsNotFound(err) || err.Error() != "no matching manifest for linux/arm64 in the manifest list entries" {
		t.Errorf("missing platform: %v", err)
	}
	wantEmpty(t, s)
	img, err := pull("amd64")
	if err != nil || read(t, s, img.ID, "arch") != "amd64" {
		t.Fatalf("amd64: %v, %v", img, err)
	}
	if b, _, n := leftovers(t, s); b != 3 || n != 1 { // manifest, config, layer
		t.Errorf("one platform of an index keeps %d blobs and %d snapshots", b, n)
	}
	other, err := pull("s390x")
	if err != nil || other.ID == img.ID || read(t, s, other.ID, "arch") != "s390x" {
		t.Fatalf("s390x: %v, %v", other, err)
	}
	single := reg.push(t, "single:latest", amd)
	_, err = s.Pull(t.Context(), PullOptions{Name: single.String(), Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"}})
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "does not match the specified platform (linux/arm64)") {
		t.Errorf("wrong platform: %v", err)
	}
}

func TestPullFailures(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg := newTestRegistry(t)
	img := testImage(t, runtime.GOARCH, []file{{name: "a", content: "good"}}, []file{{name: "b", content: strings.Repeat("x", 1<<20)}})
	ref := reg.push(t, "app:latest", img)
	layers, _ := img.Layers()
	layer, _ := layers[1].Digest()
	pull := func(name string) error {
		_, err := s.Pull(t.Context(), PullOptions{Name: name})
		return err
	}
	expect := func(what string, err error, is func(error) bool, text string) {
		t.Helper()
		if err == nil || !is(err) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", what, err)
		}
		wantEmpty(t, s)
	}
	expect("unknown tag", pull(reg.host+"/app:none"), errdefs.IsNotFound, "manifest for "+reg.host+"/app:none not found: manifest unknown")
	expect("bad name", pull("UPPER CASE"), errdefs.IsInvalidArgument, "invalid reference format")

	reg.setTamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	expect("no credentials", pull(ref.String()), errdefs.IsNotFound,
		"pull access denied for "+reg.host+"/app, repository does not exist or may require 'docker login'")

	reg.setTamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, layer.String()) {
			size, _ := layers[1].Size()
			_, _ = w.Write(make([]byte, size))
			return
		}
		next.ServeHTTP(w, r)
	})
	expect("tampered layer", pull(ref.String()), errdefs.IsFailedPrecondition, "filesystem layer verification failed for digest "+layer.String())
	reg.setTamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") {
			_, _ = w.Write([]byte(`{"schemaVersion":2}`))
			return
		}
		next.ServeHTTP(w, r)
	})
	if err := pull(ref.String()); err == nil {
		t.Error("a tampered manifest was taken")
	}
	wantEmpty(t, s)

	// The client goes away while a layer comes.
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	reg.setTamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, layer.String()) {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(make([]byte, 1000))
			w.(http.Flusher).Flush()
			cancel()
			<-release
			return
		}
		next.ServeHTTP(w, r)
	})
	if _, err := s.Pull(ctx, PullOptions{Name: ref.String()}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled pull: %v", err)
	}
	close(release)
	wantEmpty(t, s)

	reg.setTamper(nil)
	if err := pull(ref.String()); err != nil {
		t.Errorf("after all failures: %v", err)
	}
	if _, err := s.Delete(t.Context(), ref.String(), DeleteOptions{}); err != nil {
		t.Error(err)
	}
	wantEmpty(t, s)
	reg.Close()
	expect("registry down", pull(ref.String()), errdefs.IsUnavailable, "connection refused")
}

// TestPullDiskFull fills the disk while pulling: a clear error, no image, and the space back.
func TestPullDiskFull(t *testing.T) {
	root := t.TempDir()
	if os.Getuid() == 0 {
		if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=12m"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
	}
	s := openTest(t, root, nil)
	reg := newTestRegistry(t)
	noise := make([]byte, 8<<20)
	rand.Read(noise)
	ref := reg.push(t, "big", testImage(t, runtime.GOARCH, []file{{name: "noise", content: string(noise)}}))
	if _, err := s.Pull(t.Context(), PullOptions{Name: ref.String()}); err == nil || err.Error() != "write image: no space left on device" {
		t.Errorf("pull: %v", err)
	}
	if _, err := s.Resolve(t.Context(), ref.String()); !errdefs.IsNotFound(err) {
		t.Errorf("resolve: %v", err)
	}
	wantEmpty(t, s)
	small := reg.push(t, "small", testImage(t, runtime.GOARCH, []file{{name: "a", content: "b"}}))
	if _, err := s.Pull(t.Context(), PullOptions{Name: small.String()}); err != nil {
		t.Errorf("pull of a small image afterwards: %v", err)
	}
	// Not a byte is left: removing works still.
	filler, err := os.Create(filepath.Join(root, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1 << 16, 1} {
		for err = nil; err == nil; {
			_, err = filler.Write(noise[:size])
		}
	}
	_ = filler.Close()
	if _, err := s.Delete(t.Context(), small.String(), DeleteOptions{}); err != nil {
		t.Errorf("delete on a full disk: %v", err)
	}
	wantEmpty(t, s)
}

// TestOpenAfterCrash opens a store whose process died in the middle of a pull.
func TestOpenAfterCrash(t *testing.T) {
	root := t.TempDir()
	s := openTest(t, root, nil)
	ctx, _, err := s.leased(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.writeBlob(ctx, "x", []byte("orphan"), nil); err != nil {
		t.Fatal(err)
	}
	w, err := s.content.Writer(ctx, content.WithRef("half"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte("half"))
	if _, err := s.snaps.Prepare(ctx, "extract-1 x", ""); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if b, i, n := leftovers(t, s); b != 1 || i != 1 || n != 1 {
		t.Fatalf("a running pull lost content: %d %d %d", b, i, n)
	}
	_ = s.Close()
	wantEmpty(t, openTest(t, root, nil))
}

// TestRealRegistry pulls from CNCF distribution, Debian's docker-registry.
func TestRealRegistry(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	addr := startRegistry(t, "")
	reg := &testRegistry{host: addr}
	ref := reg.push(t, "team/app:1", testIndex(t, map[string]v1.Image{
		runtime.GOARCH: testImage(t, runtime.GOARCH, []file{{name: "a", content: "real"}}),
	}))
	img, err := s.Pull(t.Context(), PullOptions{Name: ref.String()})
	if err != nil || read(t, s, img.ID, "a") != "real" {
		t.Fatalf("%v, %v", img, err)
	}
	again, err := s.Pull(t.Context(), PullOptions{Name: img.RepoDigests[0]})
	if err != nil || again.ID != img.ID {
		t.Errorf("by digest: %v, %v", again, err)
	}
	if _, err := s.Pull(t.Context(), PullOptions{Name: addr + "/nothing"}); !errdefs.IsNotFound(err) {
		t.Errorf("unknown repository: %v", err)
	}
}

// TestPullConfined unpacks a layer that tries to write outside its folder.
func TestPullConfined(t *testing.T) {
	root := t.TempDir()
	s := openTest(t, root, nil)
	reg := newTestRegistry(t)
	outside := filepath.Join(root, "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	ref := reg.push(t, "evil:latest", testImage(t, runtime.GOARCH,
		[]file{{name: "abs", link: outside}, {name: "abs/one", content: "x"}},
		[]file{{name: "abs/two", content: "x"}}))
	if _, err := s.Pull(t.Context(), PullOptions{Name: ref.String()}); err != nil {
		t.Errorf("not confined but refused: %v", err)
	}
	ref = reg.push(t, "worse:latest", testImage(t, runtime.GOARCH, []file{{name: "../../../../../../" + outside + "/three", content: "x"}}))
	if _, err := s.Pull(t.Context(), PullOptions{Name: ref.String()}); err == nil || !strings.Contains(err.Error(), "invalid entry name") {
		t.Errorf("a name that leads out: %v", err)
	}
	if found, _ := os.ReadDir(outside); len(found) != 0 {
		t.Errorf("a layer wrote %s outside its folder", found[0].Name())
	}
}

// TestPullTogether pulls images that share layers at once: each layer is unpacked right and once.
func TestPullTogether(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg := newTestRegistry(t)
	base := []file{{name: "base", content: strings.Repeat("b", 1<<20)}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, n := range []string{"one", "two", "three", "one"} {
		ref := reg.push(t, n, testImage(t, runtime.GOARCH, base, []file{{name: n, content: n}}))
		wg.Go(func() {
			img, err := s.Pull(ctx, PullOptions{Name: ref.String()})
			if err != nil {
				t.Errorf("pull %s: %v", n, err)
				return
			}
			if read(t, s, img.ID, n) != n || len(read(t, s, img.ID, "base")) != 1<<20 {
				t.Errorf("%s is not whole", n)
			}
		})
	}
	wg.Wait()
	if _, _, n := leftovers(t, s); n != 4 {
		t.Errorf("%d snapshots, want 4", n)
	}
}
