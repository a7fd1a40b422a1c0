package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	stdnet "net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"naru/guest/engine/event"
	"naru/guest/engine/journal"
)

// TestMain runs the tests of root in a network and a mount namespace of their own, so that the host's rules are not touched.
func TestMain(m *testing.M) {
	const marker = "NARU_NETWORK_TEST_INSIDE"
	if os.Getuid() != 0 {
		os.Exit(m.Run())
	}
	if os.Getenv(marker) == "" {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), marker+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	lo, err := netlink.LinkByName("lo")
	must(err)
	must(netlink.LinkSetUp(lo))
	os.Exit(m.Run())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: run `sudo go test ./guest/engine/network`")
	}
}

// world is a Manager on a fresh folder, and what it takes to open it again.
type world struct {
	t     testing.TB
	m     *Manager
	store *journal.Journal
	opts  Options
}

func newWorld(t testing.TB, mode string) *world {
	t.Helper()
	needRoot(t)
	dir, err := os.MkdirTemp("", "naru-net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	store, err := journal.Open(filepath.Join(dir, "journal"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var b [3]byte
	_, _ = rand.Read(b[:])
	w := &world{t: t, store: store, opts: Options{
		Name: "ntest" + hex.EncodeToString(b[:]), Run: filepath.Join(dir, "run"), Mode: mode, Store: store,
		Events: &event.Bus{}, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}}
	w.start()
	t.Cleanup(func() {
		if err := w.m.Teardown(context.Background()); err != nil {
			t.Errorf("teardown: %v", err)
		}
	})
	return w
}

func (w *world) start(running ...string) {
	w.t.Helper()
	m, err := Open(context.Background(), w.opts)
	if err == nil {
		err = m.Restore(context.Background(), running)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = m
}

func (w *world) attach(id string, ports network.PortMap) *Sandbox {
	w.t.Helper()
	s, err := w.m.Attach(context.Background(), Request{ContainerID: id, Name: id, Mode: "bridge", Ports: ports})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) detach(id string) {
	w.t.Helper()
	if err := w.m.Detach(context.Background(), id); err != nil {
		w.t.Fatal(err)
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// publish is a PortMap of one port.
func publish(port, hostIP, hostPort string) network.PortMap {
	b := network.PortBinding{HostPort: hostPort}
	if hostIP != "" {
		b.HostIP = netip.MustParseAddr(hostIP)
	}
	return network.PortMap{network.MustParsePort(port): {b}}
}

// in runs fn on a thread inside the network namespace at path, "" for the test's own.
func in[T any](t testing.TB, path string, fn func() (T, error)) T {
	t.Helper()
	v, err := tryIn(path, fn)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func tryIn[T any](path string, fn func() (T, error)) (T, error) {
	if path == "" {
		return fn()
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		var r result
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(fd)
			err = unix.Setns(fd, unix.CLONE_NEWNET)
		}
		if err != nil {
			r.err = err
		} else {
			r.v, r.err = fn()
		}
		done <- r
	}()
	r := <-done
	return r.v, r.err
}

// serveIn answers every TCP connection in the namespace with the peer's address as the server sees it.
func serveIn(t testing.TB, path, addr string) { serve(t, path, "tcp4", addr) }

func serve6(t testing.TB, path, addr string) { serve(t, path, "tcp", addr) }

func serve(t testing.TB, path, family, addr string) {
	t.Helper()
	l := in(t, path, func() (stdnet.Listener, error) { return stdnet.Listen(family, addr) })
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, c.RemoteAddr().(*stdnet.TCPAddr).IP.String())
			_ = c.Close()
		}
	}()
}

// askFrom connects from a namespace and returns the answer of serveIn.
func askFrom(path, addr string, timeout time.Duration) (string, error) {
	return ask(path, "tcp4", addr, timeout)
}

func ask(path, family, addr string, timeout time.Duration) (string, error) {
	return tryIn(path, func() (string, error) {
		c, err := stdnet.DialTimeout(family, addr, timeout)
		if err != nil {
			return "", err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(timeout))
		b, err := io.ReadAll(c)
		return string(b), err
	})
}

func mode(name string) container.NetworkMode { return container.NetworkMode(name) }

const (
	long  = 10 * time.Second       // for what must succeed
	short = 300 * time.Millisecond // for what must not be answered
)

// newNeighbour makes a namespace beside the test's own, 192.0.2.2 there and 192.0.2.1 here, routed through here.
func newNeighbour(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ns")
	host, err := openHostNS(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.close)
	if err := host.inNewNS(func() error { return pin(path) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unpin(path) })
	run(t, "ip", "link", "add", "nbr0", "type", "veth", "peer", "name", "nbr1")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "nbr0").Run() })
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	peer, err := netlink.LinkByName("nbr1")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetNsFd(peer, fd); err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "addr", "add", "192.0.2.1/24", "dev", "nbr0")
	run(t, "ip", "link", "set", "nbr0", "up")
	for _, args := range []string{"addr add 192.0.2.2/24 dev nbr1", "link set nbr1 up", "link set lo up", "route add default via 192.0.2.1"} {
		run(t, "nsenter", append([]string{"--net=" + path, "ip"}, strings.Fields(args)...)...)
	}
	return path
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
