package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The rows that have a gate.
const (
	coldBuild   = "build, 12 steps, cold"
	cachedBuild = "build, 12 steps, cached"
)

// buildSteps is a build of twelve steps: the folder comes in at the eighth.
var buildSteps = "FROM " + image + `
ARG PACKAGE=naru
ENV LANG=C.UTF-8
RUN echo one >/one
RUN mkdir -p /srv/a /srv/b && echo two >/srv/a/two
RUN python3 -c 'print(2 ** 1000)' >/srv/three
RUN useradd -m four || echo four >/srv/four
RUN head -c 3000000 /dev/zero >/srv/five
WORKDIR /srv/app
COPY . .
RUN ls -R . | sort >/srv/list
RUN cat */file* | sha256sum >/srv/sum
RUN rm -r /srv/b && chmod -R go-w /srv/a
RUN echo twelve >/srv/twelve
CMD ["cat", "/srv/sum"]
`

// bigSteps takes a large folder in.
var bigSteps = "FROM " + image + "\nCOPY . /srv\nRUN ls /srv | wc -l >/count\n"

// builder is an engine with a folder of its own to build from.
type builder struct {
	*contender
	context string
	turn    int
}

// buildCases compare builds by both command lines, whose buildx is the same, with BuildKit in both engines.
func buildCases(root, dir string) []engineCase {
	small, big := contextSize{100, 10 << 10}, contextSize{1024, 1 << 20}
	return []engineCase{
		{name: coldBuild, run: func(n int) (row, error) {
			return buildRow(root, dir, coldBuild, buildSteps, small, n, (*builder).cold)
		}},
		{name: cachedBuild, run: func(n int) (row, error) {
			return buildRow(root, dir, cachedBuild, buildSteps, small, 3*n, (*builder).cached)
		}},
		{name: "build, 12 steps, one file changed", run: func(n int) (row, error) {
			return buildRow(root, dir, "build, 12 steps, one file changed", buildSteps, small, n, (*builder).changed)
		}},
		{name: "build, 1 GiB, one file changed", run: func(n int) (row, error) {
			return buildRow(root, dir, "build, 1 GiB, one file changed", bigSteps, big, min(n, 3), (*builder).changed)
		}},
	}
}

// contextSize is how many files there are in a context, and how many bytes are in each.
type contextSize struct{ files, bytes int }

// buildRow starts both engines, builds once, and times what measure does.
func buildRow(root, dir, name, dockerfile string, size contextSize, n int, measure func(*builder) (time.Duration, error)) (row, error) {
	at, err := os.MkdirTemp(dir, "b")
	if err != nil {
		return row{}, err
	}
	defer os.RemoveAll(at)
	docker, err := startNewDocker(root, filepath.Join(at, "d"))
	if err != nil {
		return row{}, err
	}
	defer docker.stop()
	naru, err := startNaru(root, filepath.Join(at, "n"))
	if err != nil {
		return row{}, err
	}
	defer naru.stop()
	both := [2]*builder{{contender: naru}, {contender: docker}}
	for i, b := range both {
		b.context = filepath.Join(at, fmt.Sprint("context", i))
		if err := b.fill(dockerfile, size); err != nil {
			return row{}, err
		}
		if _, err := b.cached(); err != nil {
			return row{}, err
		}
	}
	return byTurns(name, "docker "+docker.version(), n,
		func() (time.Duration, error) { return measure(both[0]) },
		func() (time.Duration, error) { return measure(both[1]) })
}

// fill makes the folder.
func (b *builder) fill(dockerfile string, size contextSize) error {
	if err := os.MkdirAll(b.context, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.context, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	data := make([]byte, size.bytes)
	for i := range size.files {
		for j := 0; j < len(data); j += 512 {
			copy(data[j:], fmt.Sprint("file ", i, " at ", j))
		}
		path := filepath.Join(b.context, fmt.Sprint("d", i/100), fmt.Sprint("file", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) build(flags ...string) (time.Duration, error) {
	return timed(b.command(append(append([]string{"build", "-q", "-t", "built"}, flags...), b.context)...))
}

func (b *builder) cached() (time.Duration, error) { return b.build() }

func (b *builder) cold() (time.Duration, error) { return b.build("--no-cache") }

// changed builds after one file of the folder was changed.
func (b *builder) changed() (time.Duration, error) {
	b.turn++
	if err := os.WriteFile(filepath.Join(b.context, "d0", "file0"), []byte(strings.Repeat(fmt.Sprint("turn ", b.turn, "\n"), 100)), 0o644); err != nil {
		return 0, err
	}
	return b.build()
}

// newDockerNamespaces gives dockerd a /sys that shows its own network.
const newDockerNamespaces = `set -e
mkdir -p cgroup && mount --rbind /sys/fs/cgroup cgroup && mount -t sysfs sysfs /sys && mount --move cgroup /sys/fs/cgroup
mount -t tmpfs tmpfs /run
ip link set lo up
exec dockerd "$@"`

// startNewDocker starts the newer dockerd in namespaces of its own, and its command line with our buildx.
func startNewDocker(root, dir string) (*contender, error) {
	bin := filepath.Join(root, newDockerFolder, "bin")
	if _, err := os.Stat(filepath.Join(bin, "dockerd")); err != nil {
		return nil, fmt.Errorf("no dockerd of version 28 runs here: %w", err)
	}
	plugins := filepath.Join(dir, "config", "cli-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(filepath.Join(root, "bin/docker-buildx"), filepath.Join(plugins, "docker-buildx")); err != nil {
		return nil, err
	}
	daemon := exec.Command("unshare", "--net", "--mount", "--", "sh", "-c", newDockerNamespaces, "dockerd",
		"--data-root", dir+"/data", "--exec-root", dir+"/exec", "--pidfile", dir+"/pid", "--host", "unix://"+dir+"/docker.sock", "--log-level", "error")
	daemon.Env = append(os.Environ(), "PATH="+bin+":"+filepath.Join(root, dockerFolder, "bin")+":"+os.Getenv("PATH"))
	daemon.Dir, daemon.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	c := &contender{
		name: "docker", daemon: daemon, cli: []string{filepath.Join(bin, "docker"), "--host", "unix://" + dir + "/docker.sock"},
		env: []string{"DOCKER_CONFIG=" + filepath.Join(dir, "config")},
	}
	if err := daemon.Start(); err != nil {
		return nil, err
	}
	if err := firstAnswer(dir + "/docker.sock"); err != nil {
		c.stop()
		return nil, err
	}
	return c, c.importImage(root)
}
