package server

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// patience is how long a test waits for what must happen soon, on however slow a machine.
const patience = 60 * time.Second

// binaries is the folder of the programs under test, built once; "" where they cannot run, with the reason.
var binaries, whyNot string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "nsrv")
	if err == nil {
		whyNot, err = buildPrograms(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func buildPrograms(dir string) (whyNot string, err error) {
	if os.Getuid() != 0 {
		return "needs root: sudo go test ./guest/server", nil
	}
	crun, err := filepath.Abs("../../bin/crun")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(crun); err != nil {
		return "needs crun: make bin/crun", nil
	}
	if err := os.Symlink(crun, filepath.Join(dir, "crun")); err != nil {
		return "", err
	}
	for out, pkg := range map[string]string{
		"naru-keeper": "naru/cmd/naru-keeper", "naru-engine": "naru/cmd/naru-engine", "probe": "./testdata/probe",
	} {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, out), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out == "naru-engine" && os.Getenv("NARU_TEST_RACE") != "" { // needs a C compiler
			cmd.Args = slices.Insert(cmd.Args, 2, "-race")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
		}
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", pkg, err, said)
		}
	}
	return "", nil
}

// daemon is a keeper with its engine, in a folder of its own.
type daemon struct {
	*client.Client
	t    *testing.T
	home string
	name string
	cmd  *exec.Cmd
	// alone keeps it in a network namespace of its own, where nothing else makes links.
	alone bool
}

// startDaemon starts one with the image "probe", and stops it at the end of the test.
func startDaemon(t *testing.T) *daemon { return launchDaemon(t, false) }

func startDaemonAlone(t *testing.T) *daemon { return launchDaemon(t, true) }

func launchDaemon(t *testing.T, alone bool) *daemon {
	t.Helper()
	if whyNot != "" {
		t.Skip(whyNot)
	}
	home, err := os.MkdirTemp("", "ns")
	must(t, err)
	d := &daemon{t: t, home: home, alone: alone, name: fmt.Sprintf("ntest%07d", os.Getpid()%1e7)}
	t.Cleanup(func() {
		d.stop()
		if log, _ := os.ReadFile(filepath.Join(home, "engine", "keeper.log")); bytes.Contains(log, []byte("DATA RACE")) {
			t.Error("the race detector found something")
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(home, "engine", "keeper.log"))
			t.Logf("keeper.log:\n%s", log)
		}
		must(t, os.RemoveAll(home))
	})
	d.start()
	d.importProbe("probe")
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	socket := filepath.Join(d.home, "docker.sock")
	d.cmd = exec.Command(filepath.Join(binaries, "naru-keeper"), "--root", filepath.Join(d.home, "engine"), "--name", d.name, "--socket", socket)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if d.alone {
		d.cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	must(d.t, d.cmd.Start())
	var err error
	d.Client, err = client.New(client.WithHost("unix://" + socket))
	must(d.t, err)
	d.answers()
}

// answers waits until the engine does.
func (d *daemon) answers() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	// The keeper holds the socket while the engine starts, so that one call is enough once the socket is there.
	for {
		_, err := d.Ping(ctx, client.PingOptions{})
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			d.t.Fatalf("engine does not answer: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stop ends keeper, engine and containers as a user does. Idempotent.
func (d *daemon) stop() {
	d.t.Helper()
	if d.cmd == nil {
		return
	}
	d.Client.Close()
	must(d.t, d.cmd.Process.Signal(syscall.SIGTERM))
	late := time.AfterFunc(patience, func() { _ = d.cmd.Process.Kill() })
	defer late.Stop()
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("keeper: %v", err)
	}
	d.cmd = nil
}

// killEngine ends the engine alone, and returns when another one answers.
func (d *daemon) killEngine() {
	d.t.Helper()
	var engine int
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", d.cmd.Process.Pid, d.cmd.Process.Pid))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", d.cmd.Process.Pid))
	for _, task := range tasks {
		more, _ := os.ReadFile(task)
		children = append(append(children, ' '), more...)
	}
	if len(tasks) == 0 {
		must(d.t, err)
	}
	for _, pid := range strings.Fields(string(children)) {
		exe, _ := os.Readlink("/proc/" + pid + "/exe")
		if filepath.Base(exe) == "naru-engine" {
			fmt.Sscan(pid, &engine)
		}
	}
	if engine == 0 {
		d.t.Fatal("no engine found")
	}
	must(d.t, syscall.Kill(engine, syscall.SIGKILL))
	d.Client.Close()
	d.answers()
}

// importProbe makes an image that holds /probe and a user.
func (d *daemon) importProbe(ref string) {
	d.t.Helper()
	program, err := os.ReadFile(filepath.Join(binaries, "probe"))
	must(d.t, err)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range []struct {
		name string
		mode int64
		data []byte
	}{
		{"probe", 0o755, program},
		{"etc/passwd", 0o644, []byte("root:x:0:0::/root:/probe\nu:x:1000:1000::/home/u:/probe\n")},
		{"notexec", 0o644, []byte("x")},
	} {
		must(d.t, w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), Typeflag: tar.TypeReg}))
		_, err := w.Write(f.data)
		must(d.t, err)
	}
	must(d.t, w.Close())
	res, err := d.ImageImport(d.t.Context(), client.ImageImportSource{Source: &archive, SourceName: "-"}, ref,
		client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/probe"]`, "LABEL from=image"}})
	must(d.t, err)
	_, err = io.Copy(io.Discard, res)
	must(d.t, err)
	must(d.t, res.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d *daemon) create(name string, hc *container.HostConfig, cfg container.Config) string {
	d.t.Helper()
	if cfg.Image == "" {
		cfg.Image = "probe"
	}
	c, err := d.ContainerCreate(d.t.Context(), client.ContainerCreateOptions{Name: name, Config: &cfg, HostConfig: hc})
	must(d.t, err)
	return c.ID
}

// up creates and starts.
func (d *daemon) up(name string, hc *container.HostConfig, cmd ...string) string {
	d.t.Helper()
	id := d.create(name, hc, container.Config{Cmd: cmd})
	_, err := d.ContainerStart(d.t.Context(), id, client.ContainerStartOptions{})
	must(d.t, err)
	return id
}

// result is what a run gave.
type result struct {
	out, err string
	code     int64
}

func (r result) String() string { return fmt.Sprintf("%d %.200q %.200q", r.code, r.out, r.err) }

// run is docker run --rm: create, attach, wait for removal, start.
func (d *daemon) run(hc *container.HostConfig, cfg container.Config, stdin string) (r result, err error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	if hc == nil {
		hc = &container.HostConfig{}
	}
	hc.AutoRemove = true
	cfg.OpenStdin, cfg.StdinOnce = stdin != "", stdin != ""
	id := d.create("", hc, cfg)
	a, err := d.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: stdin != "", Stdout: true, Stderr: true})
	if err != nil {
		return r, err
	}
	defer a.Close()
	w := d.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	if _, err := d.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return r, err
	}
	if stdin != "" {
		if _, err := io.WriteString(a.Conn, stdin); err != nil {
			return r, err
		}
		if err := a.CloseWrite(); err != nil {
			return r, err
		}
	}
	var out, errs bytes.Buffer
	if cfg.Tty {
		_, err = io.Copy(&out, a.Reader)
	} else {
		_, err = stdcopy.StdCopy(&out, &errs, a.Reader)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return r, err
	}
	select {
	case got := <-w.Result:
		return result{out.String(), errs.String(), got.StatusCode}, nil
	case err := <-w.Error:
		return r, err
	}
}

// waitEnd waits for a container to end and returns its exit code.
func (d *daemon) waitEnd(id string, until container.WaitCondition) int64 {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	w := d.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: until})
	select {
	case got := <-w.Result:
		return got.StatusCode
	case err := <-w.Error:
		d.t.Fatal(err)
	}
	return -1
}

func (d *daemon) inspect(id string) container.InspectResponse {
	d.t.Helper()
	c, err := d.ContainerInspect(d.t.Context(), id, client.ContainerInspectOptions{})
	must(d.t, err)
	return c.Container
}

// eventually waits until ok holds, looking again at each event of the engine.
func (d *daemon) eventually(what string, ok func() bool) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	events := d.Events(ctx, client.EventsListOptions{})
	for !ok() {
		select {
		case <-events.Messages:
		case err := <-events.Err:
			d.t.Fatalf("%s: %v", what, err)
		case <-time.After(50 * time.Millisecond): // the event may have come before the subscription
		}
	}
}
