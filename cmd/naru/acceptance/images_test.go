package acceptance

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// testImage is an image of the tests: root file systems that scripts/images has made, one upon the other, and a small file.
type testImage struct {
	roots  []string // names in .cache/images
	entry  string   // a file of testdata/images that becomes /usr/local/bin/docker-entrypoint.sh; "" is none
	config v1.Config
	tiny   bool // in place of roots, a few of bookworm's files
}

// testImages are those of the registry. bookworm and trixie are there from the start, the others from their first use on.
var testImages = map[string]testImage{
	"bookworm": {roots: []string{"bookworm"}, config: debian("redis-server")},
	"trixie":   {roots: []string{"trixie"}, config: debian("python3")},
	"tiny":     {tiny: true, config: v1.Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{"sh"}}},
	// These behave as the official images, whose volumes, variables and habits Compose files count on.
	"postgres": {roots: []string{"bookworm", "postgres"}, entry: "postgres-entrypoint", config: v1.Config{
		Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"postgres"}, StopSignal: "SIGINT",
		Env: []string{
			"PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
			"PGDATA=/var/lib/postgresql/data",
		},
		Volumes: map[string]struct{}{"/var/lib/postgresql/data": {}}, ExposedPorts: map[string]struct{}{"5432/tcp": {}},
	}},
	"redis": {roots: []string{"bookworm"}, entry: "redis-entrypoint", config: v1.Config{
		Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"redis-server"}, WorkingDir: "/data",
		Env:     []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Volumes: map[string]struct{}{"/data": {}}, ExposedPorts: map[string]struct{}{"6379/tcp": {}},
	}},
}

func debian(program string) v1.Config {
	return v1.Config{Cmd: []string{"bash"}, Env: []string{"IMAGE_ENV=from-image"}, Labels: map[string]string{"program": program}}
}

// push makes the image and writes it to a registry.
func (i testImage) push(ref string) error {
	var layers []v1.Layer
	for _, root := range i.roots {
		layer, err := rootLayer(root)
		if err != nil {
			return err
		}
		layers = append(layers, layer)
	}
	last, err := i.lastLayer()
	if i.tiny {
		last, err = tinyLayer()
	}
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, append(layers, last)...)
	if err != nil {
		return err
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", RootFS: must(image.ConfigFile()).RootFS, History: must(image.ConfigFile()).History,
		Config: i.config,
	})
	if err != nil {
		return err
	}
	to, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(to, image)
}

// rootLayer is the layer of a root file system; it is read and hashed once in a run.
func rootLayer(name string) (v1.Layer, error) {
	layersMu.Lock()
	defer layersMu.Unlock()
	if layer, ok := layers[name]; ok {
		return layer, nil
	}
	file := filepath.Join(root, ".cache/images", name+".tar.gz")
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("%w; run `scripts/images`", err)
	}
	layer, err := tarball.LayerFromFile(file)
	if err == nil {
		layers[name] = layer
	}
	return layer, err
}

var (
	layersMu sync.Mutex // guards layers
	layers   = map[string]v1.Layer{}
)

func (i testImage) lastLayer() (v1.Layer, error) {
	path, text, mode := "etc/motd", "welcome\n", int64(0o644)
	if i.entry != "" {
		program, err := os.ReadFile(filepath.Join(root, "cmd/naru/acceptance/testdata/images", i.entry))
		if err != nil {
			return nil, err
		}
		path, text, mode = "usr/local/bin/docker-entrypoint.sh", string(program), 0o755
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return tarOf(path, text, mode), nil })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// image returns the name of a test image, pulled into w.
func (w *world) image(t *testing.T, name string) string {
	t.Helper()
	ref := registry(t) + "/" + name
	if err := inRegistry(name); err != nil {
		t.Fatalf("push %s: %v", name, err)
	}
	w.sh(t, "naru image inspect "+ref+" >/dev/null 2>&1 || naru pull -q "+ref)
	return ref
}

// inRegistry pushes an image that is not there from the start, once.
func inRegistry(name string) error {
	pushedMu.Lock()
	defer pushedMu.Unlock()
	if pushed[name] {
		return nil
	}
	err := testImages[name].push(registryAddr + "/" + name)
	pushed[name] = err == nil
	return err
}

var (
	pushedMu sync.Mutex // guards pushed
	pushed   = map[string]bool{"bookworm": true, "trixie": true}
)
