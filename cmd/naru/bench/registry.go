package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/klauspost/compress/gzip"
)

// localRegistry is CNCF distribution, Debian's docker-registry, on loopback.
type localRegistry struct {
	addr string
	cmd  *exec.Cmd
}

func startRegistry(root, dir string) (*localRegistry, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	_ = l.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	config := "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: " + dir + "/data}}\nhttp: {addr: '" + addr + "', relativeurls: true}\n"
	if err := os.WriteFile(dir+"/config.yml", []byte(config), 0o600); err != nil {
		return nil, err
	}
	r := &localRegistry{addr: addr, cmd: exec.Command(filepath.Join(root, ".cache/peers/docker-registry/bin/docker-registry"), "serve", dir+"/config.yml")}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return r, c.Close()
		}
		if time.Since(start) > 20*time.Second {
			r.stop()
			return nil, fmt.Errorf("registry: %w", err)
		}
	}
}

func (r *localRegistry) stop() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// requestCounter stands before a registry.
type requestCounter struct {
	*httptest.Server
	n atomic.Int64
}

func countRequests(addr string) *requestCounter {
	c := &requestCounter{}
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.n.Add(1)
		to.ServeHTTP(w, r)
	}))
	return c
}

// imageKind is an image to be made: layers of files, all of the same size.
type imageKind struct {
	name          string
	layers, files int // of each layer
	size          int // of each file, bytes
}

var (
	oneLarge     = imageKind{"1 × 300 MB", 1, 30, 10_000_000}
	twentyLayers = imageKind{"20 × 20 MB", 20, 10, 2_000_000}
	manyFiles    = imageKind{"60,000 files", 1, 60_000, 1_000}
)

// push makes the image and brings it into the registry. Its bytes are those of the test image's files, so that they compress
// as programs and texts do: to about two fifths. Which, the seed says.
func (k imageKind) push(root, addr, repo string, seed uint64) (string, error) {
	ref, err := name.ParseReference(addr+"/"+repo, name.Insecure)
	if err != nil {
		return "", err
	}
	src, err := plainBytes(filepath.Join(root, rootfs))
	if err != nil {
		return "", err
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return "", err
	}
	at := rand.New(rand.NewPCG(1, seed))
	for i := range k.layers {
		data, err := k.layer(src, i, at)
		if err != nil {
			return "", err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			return "", err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return "", err
		}
	}
	return addr + "/" + repo, remote.Write(ref, img)
}

// layer is a compressed layer whose files are pieces of src.
func (k imageKind) layer(src []byte, n int, at *rand.Rand) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for i := range k.files {
		start := at.IntN(len(src) - k.size)
		h := &tar.Header{Name: fmt.Sprintf("l%d/d%d/f%d", n, i/100, i), Mode: 0o644, Size: int64(k.size), Typeflag: tar.TypeReg, ModTime: time.Unix(1_700_000_000, 0)}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(src[start : start+k.size]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func plainBytes(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
