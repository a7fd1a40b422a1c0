package server

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// TestEngineKilled: containers go on without the engine; ends, logs, policies and networks are as if nothing had been.
func TestEngineKilled(t *testing.T) {
	d := startDaemon(t)
	dir := t.TempDir()
	bind := func(hc container.HostConfig) *container.HostConfig {
		hc.Binds = []string{dir + ":/d"}
		return &hc
	}
	ticking := d.up("ticking", nil, "tick")
	ending := d.up("ending", bind(container.HostConfig{}), "until", "/d/go", "5")
	removed := d.up("removed", bind(container.HostConfig{AutoRemove: true}), "until", "/d/go", "6")
	again := d.up("again", bind(container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 1}}), "until", "/d/go", "7")
	created := d.create("created", nil, container.Config{Cmd: []string{"exit", "0"}})
	before := d.inspect(ticking)
	must(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600)) // the ends race with the kill: both orders must do
	d.killEngine()

	for id, want := range map[string]int{ending: 5, again: 7} {
		d.eventually("end of "+id, func() bool { return d.inspect(id).State.Status == "exited" })
		if s := d.inspect(id).State; s.ExitCode != want {
			t.Errorf("exit code %d, want %d", s.ExitCode, want)
		}
	}
	if c := d.inspect(again); c.RestartCount != 1 {
		t.Errorf("restarted %d times", c.RestartCount)
	}
	d.eventually("removal", func() bool {
		_, err := d.ContainerInspect(t.Context(), removed, client.ContainerInspectOptions{})
		return cerrdefs.IsNotFound(err)
	})
	after := d.inspect(ticking)
	if !after.State.Running || after.State.Pid != before.State.Pid || after.State.StartedAt != before.State.StartedAt ||
		after.NetworkSettings.Networks["bridge"].IPAddress != before.NetworkSettings.Networks["bridge"].IPAddress {
		t.Errorf("running container: before %+v, after %+v", before.State, after.State)
	}
	_, err := d.ContainerStart(t.Context(), created, client.ContainerStartOptions{})
	must(t, err)
	_, err = d.ContainerStop(t.Context(), ticking, client.ContainerStopOptions{})
	must(t, err)
	if s := d.inspect(ticking).State; s.ExitCode != 3 {
		t.Errorf("stopped by the new engine: %+v", s)
	}
	for i, line := range strings.Split(strings.TrimSpace(strings.TrimPrefix(d.logs(ticking, client.ContainerLogsOptions{}), "ready\n")), "\n") {
		if line != fmt.Sprint("tick ", i) {
			t.Fatalf("log line %d is %q", i, line)
		}
	}
}

// TestShutdown: the end of the engine is the end of the containers, and nothing of them stays on the host; what a
// policy wants runs again with the next engine.
func TestShutdown(t *testing.T) {
	d := startDaemon(t)
	d.up("plain", nil, "wait")
	d.up("always", &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "always"}}, "wait")
	stopped := d.up("stopped", &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "unless-stopped"}}, "wait")
	for _, name := range []string{"plain", "always", "stopped"} {
		d.ready(name)
	}
	_, err := d.ContainerStop(t.Context(), stopped, client.ContainerStopOptions{})
	must(t, err)
	d.stop()
	for what, command := range map[string]string{
		"links": "ip -o link", "nft tables": "nft list tables", "mounts": "cat /proc/mounts",
		"cgroups": "find /sys/fs/cgroup -maxdepth 3 -type d", "processes": "ps -eo args",
	} {
		out, err := exec.Command("sh", "-c", command).Output()
		must(t, err)
		for _, line := range strings.Split(string(out), "\n") {
			if strings.Contains(line, d.name) || strings.Contains(line, d.home) {
				t.Errorf("%s: left behind: %s", what, line)
			}
		}
	}
	d.start()
	d.eventually("start of what always runs", func() bool { return d.inspect("always").State.Running })
	if s := d.inspect("plain").State; s.Status != "exited" || s.ExitCode != 3 {
		t.Errorf("plain: %+v", s)
	}
	if s := d.inspect("stopped").State; s.Running {
		t.Errorf("stopped by the user: %+v", s)
	}
}
