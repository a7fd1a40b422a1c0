package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// contender is a running engine and its command line.
type contender struct {
	name    string
	cli     []string
	env     []string
	daemon  *exec.Cmd // docker's; naru's is started by its command line
	stopCmd []string
}

func (c *contender) command(args ...string) *exec.Cmd {
	full := append(c.cli[:len(c.cli):len(c.cli)], args...)
	cmd := exec.Command(full[0], full[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	return cmd
}

func (c *contender) version() string {
	return text(c.command("version", "--format", "{{.Server.Version}}"))
}

func (c *contender) stop() {
	if c.stopCmd != nil {
		_ = c.command(c.stopCmd...).Run()
	}
	if c.daemon != nil {
		_ = c.daemon.Process.Signal(syscall.SIGTERM)
		_ = c.daemon.Wait()
	}
}

// rootfs is the image's only layer.
const rootfs = ".cache/images/bookworm.tar.gz"

func (c *contender) importImage(root string) error {
	_, err := timed(c.command("import", filepath.Join(root, rootfs), image))
	return err
}

// dockerFolder is where scripts/peers puts Debian's docker.io: dockerd, containerd, runc and the client.
const dockerFolder = ".cache/peers/docker-20.10"

// dockerDaemon is dockerd in a network namespace of its own, so that its bridge and rules touch nothing of the host.
func dockerDaemon(root, dir string) *exec.Cmd {
	cmd := exec.Command("unshare", "--net", "--", "sh", "-c", `ip link set lo up && exec dockerd "$@"`, "dockerd",
		"--data-root", dir+"/data", "--exec-root", dir+"/exec", "--pidfile", dir+"/pid", "--host", "unix://"+dir+"/docker.sock", "--log-level", "error")
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(root, dockerFolder, "bin")+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func startDocker(root, dir string) (*contender, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	c := &contender{
		name: "docker", daemon: dockerDaemon(root, dir),
		cli: []string{filepath.Join(root, dockerFolder, "bin/docker"), "--host", "unix://" + dir + "/docker.sock"},
	}
	if err := c.daemon.Start(); err != nil {
		return nil, err
	}
	if err := firstAnswer(dir + "/docker.sock"); err != nil {
		return nil, err
	}
	return c, c.importImage(root)
}

func startNaru(root, dir string) (*contender, error) {
	c := &contender{
		name: "naru", cli: []string{filepath.Join(root, "bin/naru")},
		env: []string{"NARU_HOME=" + dir, "NARU_CONTEXT=direct"}, stopCmd: []string{"engine", "stop"},
	}
	return c, c.importImage(root)
}

// firstAnswer waits until the API on a unix socket answers a ping.
func firstAnswer(socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/_ping", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			return resp.Body.Close()
		}
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", socket, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}
