package acceptance

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// island is an engine on a host of the test's own: a network namespace with two addresses on a link, and a neighbour at
// the link's other end. What runs there touches nothing of this machine's network. `$D` is the engine's command line, docker's or naru's.
type island struct {
	engine    string // "docker", "direct", "machine"
	host      int    // a process of the host's: its network and mounts are the island's
	neighbour int    // one of the neighbour's
	img       string // a Debian with python3
	env       []string
	dir       string
	conf      string // the host's resolv.conf, which names 127.0.0.1
}

// The link's addresses. The neighbour routes everything by the host: it tries to reach containers by their own addresses.
const (
	hostV4, hostMoreV4, neighbourV4 = "192.0.2.1", "192.0.2.3", "192.0.2.2"
	hostV6, hostMoreV6, neighbourV6 = "2001:db8:77::1", "2001:db8:77::3", "2001:db8:77::2"
)

const link = `ip link add up0 type veth peer name up0 netns $NEIGHBOUR
ip addr add 192.0.2.1/24 dev up0; ip addr add 192.0.2.3/24 dev up0; ip addr add 2001:db8:77::1/64 dev up0 nodad; ip addr add 2001:db8:77::3/64 dev up0 nodad
ip link set up0 up
nsenter -t $NEIGHBOUR -n sh -ec 'ip link set lo up; ip addr add 192.0.2.2/24 dev up0; ip addr add 2001:db8:77::2/64 dev up0 nodad; ip link set up0 up
ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8:77::1'
ip route add default via 192.0.2.2; ip -6 route add default via 2001:db8:77::2`

// onIslands runs f with a real dockerd and with naru in the contexts named, each on an island of its own.
func onIslands(t *testing.T, contexts []string, f func(t *testing.T, i *island)) {
	for _, name := range append([]string{"docker"}, contexts...) {
		t.Run(name, func(t *testing.T) {
			if name == "docker" && dockerBin() == "none" {
				t.Skip("no dockerd to compare with; run `scripts/peers`")
			}
			f(t, newIsland(t, name))
		})
	}
}

func newIsland(t *testing.T, name string) *island {
	t.Helper()
	i := &island{engine: name}
	if name == "docker" {
		e := startDocker(t)
		i.host, i.img, i.dir = e.pid, e.vars["IMG"], filepath.Dir(e.socket)
		i.env = []string{"D=" + filepath.Join(dockerBin(), "docker"), "DOCKER_HOST=unix://" + e.socket, "DOCKER_CONFIG=" + i.dir}
		i.connect(t)
		return i
	}
	requireBuilt(t, name)
	registry(t)
	w := newWorld(t, name)
	i.host, i.dir = namespaces(t, "--net", "--mount"), w.work
	w.prefix = i.within(i.host)
	i.connect(t)
	t.Cleanup(func() {
		if t.Failed() && w.context == "machine" {
			t.Log(w.exec(result{script: "naru machine logs | tail -n 80"}))
		}
		w.stop()
	})
	registryBeside(t, i.host)
	w.sh(t, "until exec 3<>/dev/tcp/"+strings.Replace(registryAddr, ":", "/", 1)+"; do sleep 0.05; done 2>/dev/null")
	i.img = w.image(t, "bookworm")
	i.env = append([]string{"D=naru"}, w.env...)
	return i
}

// connect makes the link and the neighbour.
func (i *island) connect(t *testing.T) {
	t.Helper()
	i.neighbour = namespaces(t, "--net")
	i.sh(t, "set -e; "+link, fmt.Sprint("NEIGHBOUR=", i.neighbour))
	i.conf = filepath.Join(i.dir, "resolv.conf")
	i.resolvConf(t, "127.0.0.1")
	i.sh(t, `nsenter --mount=/proc/$HOST/ns/mnt mount --bind "$CONF" "$(readlink -f /etc/resolv.conf)"`, fmt.Sprint("HOST=", i.host), "CONF="+i.conf)
}

// namespaces starts a process in namespaces of its own, which holds them until the test ends.
func namespaces(t *testing.T, kinds ...string) int {
	t.Helper()
	cmd := exec.Command("unshare", append(kinds, "--", "sh", "-c", "ip link set lo up; echo up; read end")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() { startLocked(cmd, started); close(ended) }()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); <-ended })
	if n, err := out.Read(make([]byte, 8)); n == 0 {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// on runs a bash script on the island's host, or its neighbour.
func (i *island) on(pid int, script string, extra ...string) result {
	w := world{work: i.dir, env: append(os.Environ(), i.env...), prefix: i.within(pid)}
	return w.exec(result{script: script, extra: append([]string{"IMG=" + i.img}, extra...)})
}

// sh runs a script on the host, which must succeed.
func (i *island) sh(t *testing.T, script string, extra ...string) string {
	t.Helper()
	r := i.on(i.host, script, extra...)
	if r.code != 0 {
		t.Fatal(r)
	}
	return strings.TrimSuffix(r.stdout, "\n")
}

// within leads a command to a process's network, and to its mounts where naru has some of its own. (In dockerd's, /proc shows other
// processes.)
func (i *island) within(pid int) []string {
	of := fmt.Sprint("/proc/", pid, "/ns/")
	if i.engine == "docker" {
		return []string{"nsenter", "--net=" + of + "net"}
	}
	// Without --wdns nsenter leaves the command in / of the mount namespace, wherever it was called.
	return []string{"nsenter", "--net=" + of + "net", "--mount=" + of + "mnt", "--wdns=" + i.dir}
}

// start runs a script that serves until the test ends, and returns its stdout.
func (i *island) start(t *testing.T, pid int, script string, env ...string) *bufio.Reader {
	t.Helper()
	argv := append(i.within(pid), "bash", "-c", script)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() { startLocked(cmd, started); close(ended) }()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	return bufio.NewReader(out)
}
