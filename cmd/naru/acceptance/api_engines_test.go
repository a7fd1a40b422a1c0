package acceptance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// naruAPI is naru's engine in a context, with the same API version in the prefix as dockerd where there is one.
func naruAPI(t *testing.T, name string, docker *apiEngine) *apiEngine {
	t.Helper()
	w := inContext(t, name)
	img := w.image(t, "bookworm")
	e := newAPIEngine(name, strings.TrimPrefix(w.sh(t, "naru context inspect -f '{{.Socket}}' "+name), "unix://"))
	e.prepare(t, img, filepath.Join(w.work, "api"))
	if docker != nil {
		e.version = docker.newest
	}
	e.vars["V"] = e.version
	t.Cleanup(func() {
		for _, n := range []string{"UP", "EXITED", "CREATED"} {
			e.ask("DELETE /containers/$"+n+"?force=1&v=1", e.vars, nil)
		}
	})
	return e
}

// dockerBin is the folder of the dockerd to compare with: the newer one of scripts/peers where it runs, else the older. Empty when there
// is none.
func dockerBin() string {
	if dir := os.Getenv("NARU_TEST_DOCKER"); dir != "" {
		return dir
	}
	for _, name := range []string{"docker-28", "docker-20.10"} {
		dir := filepath.Join(peersFolder, name, "bin")
		if _, err := os.Stat(filepath.Join(dir, "dockerd")); err == nil {
			return dir
		}
	}
	return "none"
}

// dockerNamespaces runs dockerd where it touches nothing of the host: its own network, mounts, processes, /run, and a /sys that shows
// that network. When unshare dies, so does everything in there.
const dockerNamespaces = `set -e
mkdir cgroup && mount --rbind /sys/fs/cgroup cgroup && mount -t sysfs sysfs /sys && mount --move cgroup /sys/fs/cgroup
mount -t tmpfs tmpfs /run
ip link set lo up
exec docker-init -- dockerd "$@"`

// startDocker starts dockerd and pulls the image, or returns nil where there is none to start.
func startDocker(t *testing.T) *apiEngine {
	t.Helper()
	bin := dockerBin()
	if bin == "none" {
		return nil
	}
	reg := registry(t)
	dir, err := os.MkdirTemp(base, "docker")
	if err != nil {
		t.Fatal(err)
	}
	cgroup := filepath.Base(base) + "-" + filepath.Base(dir) // a name that nobody else has
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--",
		"sh", "-c", dockerNamespaces, "dockerd",
		"--data-root", dir+"/data", "--exec-root", dir+"/exec", "--pidfile", dir+"/pid", "--host", "unix://"+dir+"/docker.sock",
		"--cgroup-parent", cgroup, "--log-level", "warn")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+filepath.Join(peersFolder, "docker-20.10/bin")+":"+os.Getenv("PATH"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	ended := make(chan error, 1)
	started := make(chan error, 1)
	go func() { startLocked(cmd, started); ended <- nil }()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	e := newAPIEngine("docker", dir+"/docker.sock")
	t.Cleanup(func() { stopDocker(t, cmd, dir, cgroup, ended) })
	if err := e.firstAnswer(ended); err != nil {
		out, _ := os.ReadFile(dir + "/log")
		t.Fatalf("dockerd: %v\n%s", err, out)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(children), &e.pid); err != nil {
		t.Fatal(err)
	}
	registryBeside(t, e.pid)
	// The registry may not listen yet, for which dockerd answers 500.
	pull := step{call: "POST //images/create?fromImage=" + reg + "/bookworm&tag=latest", status: 200, until: true}
	if a := e.askStep(pull, nil); a.err != nil || a.status != 200 {
		t.Fatalf("pull into dockerd: %d %s %v", a.status, a.body, a.err)
	}
	e.prepare(t, reg+"/bookworm", filepath.Join(dir, "binds"))
	e.vars["V"] = e.version
	return e
}

// firstAnswer waits until dockerd serves.
func (e *apiEngine) firstAnswer(ended <-chan error) error {
	for end := time.Now().Add(time.Minute); ; {
		a := e.ask("GET //_ping", nil, nil)
		switch {
		case a.err == nil:
			return nil
		case !errors.Is(a.err, syscall.ENOENT) && !errors.Is(a.err, syscall.ECONNREFUSED), time.Now().After(end):
			return a.err
		}
		select {
		case <-ended:
			return errors.New("it has ended")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// registryBeside serves the registry's images once more at the same address, within a process's network.
func registryBeside(t *testing.T, pid int) {
	t.Helper()
	cmd := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", pid),
		filepath.Join(peersFolder, "docker-registry/bin/docker-registry"), "serve", filepath.Join(base, "registry/config.yml"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go startLocked(cmd, started)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
}

// stopDocker ends dockerd with its containers, and removes what it leaves in the cgroup hierarchies.
func stopDocker(t *testing.T, cmd *exec.Cmd, dir, cgroup string, ended <-chan error) {
	pid, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err == nil {
		var init int
		fmt.Sscan(string(pid), &init)
		err = syscall.Kill(init, syscall.SIGTERM)
	}
	if err != nil {
		t.Logf("stop dockerd: %v", err)
		_ = cmd.Process.Kill()
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		<-ended
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/" + cgroup, "/sys/fs/cgroup/" + cgroup} {
		found, _ := filepath.Glob(pattern) // the pattern is right
		for _, top := range found {
			removeCgroups(top)
		}
	}
}

// removeCgroups removes empty cgroups, the lowest first.
func removeCgroups(top string) {
	var dirs []string
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = os.Remove(dirs[i])
	}
}
