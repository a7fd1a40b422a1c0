package keeper

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/api"
	"naru/guest/keeper/keeperapi"
)

// patience is how long a test waits for what must happen soon, on however slow a machine.
const patience = 60 * time.Second

// TestMain lets this very binary be the keeper and its engine: a keeper waits for every child of its process, so that
// it cannot live in a test's.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "--keeper") {
		os.Exit(beEngine())
	}
	if len(os.Args) == 4 && os.Args[1] == "--pid-file" {
		os.Exit(beRuntime(os.Args[2], os.Args[3]))
	}
	if spec := os.Getenv("NARU_TEST_KEEPER"); spec != "" {
		if err := beKeeper(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// settings are the Options that a test's keeper is told in its environment.
type settings struct {
	Root, Engine string
	Mounts       bool
	Config       *api.Config
}

func (s settings) options() Options {
	return Options{
		Root: s.Root, Name: filepath.Base(s.Root), Socket: filepath.Join(s.Root, "docker.sock"), Mode: api.ModeDirect,
		Engine: s.Engine, Crun: "/nonexistent/crun", Mounts: s.Mounts, Config: s.Config,
	}
}

func beKeeper(spec string) error {
	var c settings
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		return err
	}
	o := c.options()
	if o.Mounts {
		if err := PrivateMounts(); err != nil {
			return err
		}
	}
	if o.Config != nil {
		var err error
		if o.agent, err = net.Listen("unix", filepath.Join(o.Root, "agent.sock")); err != nil {
			return err
		}
		o.Notify = func(n api.Notice) { fmt.Println(n.Kind) }
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	return Run(ctx, o)
}

// beEngine answers every connection on the first inherited listener with its own pid, and obeys SIGTERM.
func beEngine() int {
	if why, err := os.ReadFile(filepath.Join(os.Args[2], "fail")); err == nil {
		fmt.Fprintf(os.Stderr, "naru-engine: error: %s\n", why)
		return 1
	}
	fmt.Fprintln(os.Stderr, "test engine", os.Args[1:], os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"))
	ln, err := net.FileListener(os.NewFile(3, "docker"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil && strings.Contains(line, "/_ping") {
					fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%d", os.Getpid())
				}
			}()
		}
	}()
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	<-term
	return 0
}

// kept is a running keeper.
type kept struct {
	*keeperapi.Client
	o   Options
	cmd *exec.Cmd
	out *bytes.Buffer
	// ready is closed when a keeper with a Config has notified that.
	ready chan struct{}
}

func newOptions(t testing.TB) Options {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "nk") // a short path: sockets lie in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return settings{Root: dir, Engine: self, Mounts: os.Getuid() == 0}.options()
}

// keep runs a keeper until the test ends.
func keep(t testing.TB, o Options) *kept {
	t.Helper()
	spec, err := json.Marshal(settings{o.Root, o.Engine, o.Mounts, o.Config})
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{o: o, cmd: exec.Command(o.Engine), out: &bytes.Buffer{}, ready: make(chan struct{})}
	k.cmd.Env = append(os.Environ(), "NARU_TEST_KEEPER="+string(spec))
	k.cmd.Stderr = k.out
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for sc := bufio.NewScanner(out); sc.Scan(); {
			if sc.Text() == api.NoticeReady {
				close(k.ready)
			}
		}
	}()
	t.Cleanup(func() { k.end(t) })
	socket := filepath.Join(o.run(), "keeper.sock")
	if o.Mounts { // it lies in a tmpfs that only the keeper's mount namespace has
		socket = filepath.Join(fmt.Sprintf("/proc/%d/root", k.cmd.Process.Pid), socket)
	}
	k.enginePid(t)
	k.Client = &keeperapi.Client{Socket: socket}
	if _, err := k.List(t.Context()); err != nil {
		t.Fatalf("%v: %s", err, k.out)
	}
	return k
}

// end ends the keeper as a service manager does and checks that it leaves nothing.
func (k *kept) end(t testing.TB) {
	t.Helper()
	if k.cmd.ProcessState != nil {
		return
	}
	_ = k.cmd.Process.Signal(unix.SIGTERM)
	if err := k.cmd.Wait(); err != nil {
		t.Errorf("keeper: %v: %s", err, k.out)
	}
	if t.Failed() {
		text, _ := os.ReadFile(filepath.Join(k.o.Root, "keeper.log"))
		t.Logf("keeper.log:\n%s", text)
	}
	if mounts, err := cgroupMounts(); err == nil {
		for _, m := range mounts {
			if _, err := os.Stat(filepath.Join(m, k.o.Name)); err == nil {
				t.Errorf("cgroup %s of %s is left", m, k.o.Name)
				_ = clearCgroups(k.o.Name, slog.New(slog.DiscardHandler))
			}
		}
	}
	if _, err := os.Stat(k.o.Socket); err == nil {
		t.Errorf("%s is left", k.o.Socket)
	}
}

func (k *kept) kill(t *testing.T) {
	t.Helper()
	if err := k.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = k.cmd.Wait()
}

// enginePid asks the engine over its API's socket, and waits for the socket to be there.
func (k *kept) enginePid(t testing.TB) (pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		conn, err := net.Dial("unix", k.o.Socket)
		if err != nil {
			if unix.Kill(k.cmd.Process.Pid, 0) != nil {
				break
			}
			time.Sleep(5 * time.Millisecond) // nobody announces the socket's making
			continue
		}
		fmt.Fprintf(conn, "GET /_ping HTTP/1.1\r\n\r\n")
		var buf bytes.Buffer
		_, err = buf.ReadFrom(conn)
		conn.Close()
		_, body, ok := strings.Cut(buf.String(), "\r\n\r\n")
		if err == nil && ok {
			fmt.Sscan(body, &pid)
			return pid
		}
	}
	t.Fatalf("no engine answers: %s", k.out)
	return 0
}

// exit waits for the exit of id.
func (k *kept) exit(t *testing.T, id string) keeperapi.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var found *keeperapi.Exit
	err := k.Watch(ctx, func(e keeperapi.Exit) {
		if e.ID == id {
			found = &e
			cancel()
		}
	})
	if found == nil {
		t.Fatalf("exit of %s: %v", id, err)
	}
	if !found.OutputDone {
		t.Errorf("exit of %s before its output was done", id)
	}
	return *found
}

// script is what starts a shell through a stand-in for an OCI runtime: this binary, see beRuntime.
func script(k *kept, id, body string) keeperapi.Start {
	pidFile := filepath.Join(k.o.Root, id+".pid")
	return keeperapi.Start{Args: []string{k.o.Engine, "--pid-file", pidFile, body}, PidFile: pidFile}
}

// beRuntime leaves a shell behind, as crun does, and never waits for it, as a shell in its place would.
func beRuntime(pidFile, body string) int {
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}}
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", body}, attr)
	if err == nil {
		err = os.WriteFile(pidFile, []byte(strconv.Itoa(pid)), 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// streams reads a framed attach stream to its end.
func streams(t *testing.T, conn net.Conn) (stdout, stderr string) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	var out, err bytes.Buffer
	if e := deframe(conn, &out, &err); e != nil {
		t.Errorf("attach stream: %v", e)
	}
	return out.String(), err.String()
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./guest/keeper/...")
	}
}
