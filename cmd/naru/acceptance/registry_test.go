package acceptance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
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
	for _, image := range []string{"bookworm", "trixie"} {
		if err := testImages[image].push(addr + "/" + image); err != nil {
			return "", fmt.Errorf("push %s: %w", image, err)
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
