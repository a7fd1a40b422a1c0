package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// registry starts Debian's docker-registry (CNCF distribution) on loopback at the first call and pushes the test
// images. It returns "127.0.0.1:PORT".
func registry(t *testing.T) string {
	t.Helper()
	registryOnce.Do(func() { registryAddr, registryErr = startRegistry() })
	if registryErr != nil {
		t.Fatal(registryErr)
	}
	return registryAddr
}

var (
	registryOnce sync.Once
	registryAddr string
	registryErr  error
)

const registryConfig = `version: 0.1
storage:
  filesystem:
    rootdirectory: %s
http:
  addr: %s
log:
  level: error
`

func startRegistry() (string, error) {
	dir := filepath.Join(base, "registry")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return "", err
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return "", err
	}
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, registryConfig, filepath.Join(dir, "data"), addr), 0o644); err != nil {
		return "", err
	}
	binary := filepath.Join(peersFolder, "docker-registry/bin/docker-registry")
	if _, err := os.Stat(binary); err != nil {
		return "", fmt.Errorf("%w; run `scripts/peers`", err)
	}
	log, err := os.Create(filepath.Join(dir, "log")) // each blob that is not there yet is an error to it
	if err != nil {
		return "", err
	}
	defer log.Close()
	cmd := exec.Command(binary, "serve", config)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // TestMain's thread lives as long as the tests
	started := make(chan error, 1)
	go startLocked(cmd, started)
	if err := <-started; err != nil {
		return "", err
	}
	if err := answers("http://" + addr + "/v2/"); err != nil {
		return "", err
	}
	for _, image := range []struct{ name, program string }{{"bookworm", "redis-server"}, {"trixie", "python3"}} {
		if err := push(addr+"/"+image.name, filepath.Join(root, ".cache/images", image.name+".tar.gz"), image.program); err != nil {
			return "", fmt.Errorf("push %s: %w", image.name, err)
		}
	}
	return addr, nil
}

// answers waits until url is served.
func answers(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			return resp.Body.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// push makes an image of two layers: the root file system and one small file.
func push(ref, rootfs, label string) error {
	if _, err := os.Stat(rootfs); err != nil {
		return fmt.Errorf("%w; run `scripts/images`", err)
	}
	system, err := tarball.LayerFromFile(rootfs)
	if err != nil {
		return err
	}
	motd, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return tarOf("etc/motd", "welcome\n", 0o644), nil })
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, system, motd)
	if err != nil {
		return err
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", RootFS: must(image.ConfigFile()).RootFS, History: must(image.ConfigFile()).History,
		Config: v1.Config{Cmd: []string{"bash"}, Env: []string{"IMAGE_ENV=from-image"}, Labels: map[string]string{"program": label}},
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

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// image returns the name of a test image, pulled into w.
func (w *world) image(t *testing.T, name string) string {
	t.Helper()
	ref := strings.Join([]string{registry(t), name}, "/")
	w.sh(t, "naru image inspect "+ref+" >/dev/null 2>&1 || naru pull -q "+ref)
	return ref
}
