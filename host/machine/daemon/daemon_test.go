package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"naru/guest/api"
	"naru/host/machine"
	"naru/platform"
	"naru/platform/ipc"
	"naru/platform/paths"
	"naru/platform/platformtest"
)

// guest is a guest in this process: keeper and engine in a few lines. It reads the token where the real one does.
type guest struct {
	t       *testing.T
	boot    func(ctx context.Context, g *platformtest.Guest) error // what happens before ready; nil for nothing
	deaf    atomic.Bool                                            // to a power-off
	publish chan net.Conn                                          // publish streams of the engine, as they come
	token   string
	off     chan struct{}
	skew    atomic.Int64  // of its clock, in nanoseconds
	slow    atomic.Int64  // how long its answers take, in nanoseconds
	steps   chan struct{} // gets one for each step of its clock

	containers atomic.Int32 // running
	boots      atomic.Int32
}

func newGuest(t *testing.T) *guest {
	g := &guest{t: t, publish: make(chan net.Conn, 8), off: make(chan struct{}, 1), steps: make(chan struct{}, 64)}
	g.containers.Store(3)
	return g
}

func (g *guest) run(ctx context.Context, in *platformtest.Guest) error {
	g.boots.Add(1)
	wire, err := net.Dial("unix", in.Machine.NIC.Socket)
	if err != nil {
		return err
	}
	defer wire.Close()
	if err := g.readToken(in.Machine); err != nil {
		return err
	}
	push := func(n api.Notice) { _ = json.NewEncoder(in.Notify).Encode(n) }
	push(api.Notice{Kind: api.NoticeStep, Step: "data disk"})
	if g.boot != nil {
		if err := g.boot(ctx, in); err != nil {
			push(api.Notice{Kind: api.NoticeFailed, Step: "data disk", Detail: err.Error()})
			return nil
		}
	}
	for _, port := range []uint32{api.PortEngine, api.PortKeeper} {
		ln, err := in.Listen(port)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go g.serve(c)
			}
		}()
	}
	push(api.Notice{Kind: api.NoticeReady})
	select {
	case <-g.off:
	case <-ctx.Done():
	}
	return nil
}

// readToken finds the document in the config drive as it lies there.
func (g *guest) readToken(m *platform.Machine) error {
	for _, d := range m.Disks {
		if d.Serial != api.DiskConfig {
			continue
		}
		data, err := os.ReadFile(d.Path)
		if err != nil {
			return err
		}
		at := strings.Index(string(data), `{"version":`)
		if at < 0 || !strings.Contains(string(data), api.ConfigLabel) {
			return errors.New("no document on the config drive")
		}
		var c api.Config
		err = json.NewDecoder(strings.NewReader(string(data[at:]))).Decode(&c)
		g.token = c.Token
		return err
	}
	return errors.New("no config drive")
}

func (g *guest) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	var hello api.Hello
	line, _ := in.ReadBytes('\n')
	if len(line) == 0 {
		return // the machine ended while it was dialed
	}
	if err := json.Unmarshal(line, &hello); err != nil || hello.Token != g.token || g.token == "" || hello.Version != api.Version {
		g.t.Errorf("hello %q, %v", line, err)
		return
	}
	switch hello.Kind {
	case api.KindDocker:
		g.serveHTTP(c, in)
	case api.KindShell:
		fmt.Fprintf(c, "%s on %s: ", hello.Command, hello.Term)
		_, _ = io.Copy(c, in)
	case api.KindControl:
		var req api.ControlRequest
		_ = json.NewDecoder(in).Decode(&req)
		reply := api.ControlReply{}
		time.Sleep(time.Duration(g.slow.Load()) / 2)
		switch req.Op {
		case api.OpStatus:
			reply.Status = &api.Status{Kernel: "test", Containers: int(g.containers.Load())}
		case api.OpTime:
			reply.Time = time.Now().Add(time.Duration(g.skew.Load()))
		case api.OpStepTime:
			g.skew.Add(int64(req.Step))
			g.steps <- struct{}{}
		}
		time.Sleep(time.Duration(g.slow.Load()) / 2)
		_ = json.NewEncoder(c).Encode(reply)
		if req.Op == api.OpPoweroff && !g.deaf.Load() {
			g.off <- struct{}{}
		}
	case api.KindForward:
		fmt.Fprint(c, hello.Target)
	case api.KindWatch:
		_, _ = io.Copy(io.Discard, in)
	}
}

// serveHTTP is an engine that takes the publish stream and echoes everything else.
func (g *guest) serveHTTP(c net.Conn, in *bufio.Reader) {
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	if req.URL.Path == api.PublishPath {
		_, _ = io.WriteString(c, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: naru-publish\r\n\r\n")
		ours, theirs := net.Pipe()
		g.publish <- ours
		go func() { _, _ = io.Copy(c, theirs); c.Close() }()
		_, _ = io.Copy(theirs, in)
		theirs.Close()
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
}

// testDaemon is a running naru-machine over the fake backend.
type testDaemon struct {
	home paths.Home
	stop context.CancelFunc
	done chan error
}

func start(t *testing.T, g *guest) *testDaemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "nm") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &testDaemon{home: paths.Home(dir), stop: cancel, done: make(chan error, 1)}
	report := platform.Report{Usable: true, Accel: "go", ShareType: "virtiofs"}
	fake := &platformtest.Fake{Report: report, Guest: g.run}
	if err := machine.SaveSettings(d.home, &machine.Settings{Idle: 1, Shares: []machine.Share{{Path: dir}, {Path: "/no/such/folder"}}}); err != nil {
		t.Fatal(err)
	}
	started := make(chan machine.Started, 1)
	go func() {
		d.done <- Run(ctx, Options{
			Home: d.home, Version: "test", Log: slog.New(slog.DiscardHandler), Image: &Image{Arch: "amd64"},
			Started: func(s machine.Started) { started <- s },
			Choose: func(context.Context, string, string) (platform.Backend, platform.Report, error) {
				return fake, report, nil
			},
		})
	}()
	if s := <-started; s.Error != "" {
		t.Fatal(s.Error)
	}
	var once sync.Once
	t.Cleanup(func() {
		once.Do(func() { cancel(); <-d.done; os.RemoveAll(dir) })
	})
	return d
}

// wait waits for the daemon's end and puts its error back for the clean-up.
func (d *testDaemon) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-d.done:
		d.done <- err
		return err
	case <-time.After(time.Minute):
		t.Fatal("naru-machine does not end")
		return nil
	}
}

func (d *testDaemon) get(t *testing.T) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ipc.Dial(ctx, d.home.MachineSocket())
		},
	}}
	res, err := client.Get("http://docker/_ping")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestLife boots, asks, publishes, opens a shell and stops.
func TestLife(t *testing.T) {
	g := newGuest(t)
	goOn := make(chan struct{})
	g.boot = func(context.Context, *platformtest.Guest) error { <-goOn; return nil }
	d := start(t, g)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	// A client that comes during the boot waits.
	got := make(chan string, 1)
	go func() {
		code, body := d.get(t)
		got <- fmt.Sprint(code, " ", body)
	}()
	var steps []string
	var once sync.Once
	socket, err := machine.Ensure(ctx, d.home, func(step string) {
		steps = append(steps, step)
		if step == "data disk" {
			once.Do(func() { close(goOn) })
		}
	})
	if err != nil || socket != d.home.MachineSocket() {
		t.Fatalf("ensure: %q, %v", socket, err)
	}
	if len(steps) == 0 || steps[len(steps)-1] != "data disk" {
		t.Errorf("steps: %q", steps)
	}
	if answer := <-got; answer != "200 hello" {
		t.Errorf("the client that waited got %q", answer)
	}
	d.checkStatus(t)
	d.checkShell(t)
	d.checkPublish(t, g)

	if err := machine.Stop(ctx, d.home, false, nil); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := d.wait(t); err != nil {
		t.Errorf("the end: %v", err)
	}
	if s, err := machine.GetStatus(ctx, d.home); err != nil || s.State != machine.StateStopped {
		t.Errorf("status after the end: %+v, %v", s, err)
	}
	if left, _ := filepath.Glob(filepath.Join(d.home.Machine(), "*.sock")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func (d *testDaemon) checkStatus(t *testing.T) {
	t.Helper()
	s, err := machine.GetStatus(t.Context(), d.home)
	if err != nil {
		t.Fatal(err)
	}
	if s.State != machine.StateRunning || s.Backend != "fake" || s.Accel != "go" || s.HostMemory == 0 || s.Boot == 0 ||
		s.Guest == nil || s.Guest.Containers != 3 || len(s.Shares) != 1 || s.Shares[0].Path != string(d.home) {
		t.Errorf("status: %+v", s)
	}
}

func (d *testDaemon) checkShell(t *testing.T) {
	t.Helper()
	c, err := machine.OpenShell(t.Context(), d.home, machine.Shell{Command: "cat", Term: "dumb"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "hi")
	_ = c.CloseWrite()
	if out, err := io.ReadAll(c); err != nil || string(out) != "cat on dumb: hi" {
		t.Errorf("shell: %q, %v", out, err)
	}
}

// checkPublish has a port opened, kills the engine's stream, and wants it asked for again.
func (d *testDaemon) checkPublish(t *testing.T, g *guest) {
	t.Helper()
	stream := <-g.publish
	_ = json.NewEncoder(stream).Encode(api.PublishRequest{ID: 1, Op: api.OpListen, Protocol: "tcp", Target: "tcp:172.17.0.2:80"})
	var reply api.PublishReply
	if err := json.NewDecoder(stream).Decode(&reply); err != nil || reply.Error != "" {
		t.Fatalf("listen: %+v, %v", reply, err)
	}
	c, err := net.Dial("tcp", net.JoinHostPort(reply.HostIP, fmt.Sprint(reply.HostPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if out, err := io.ReadAll(c); err != nil || string(out) != "tcp:172.17.0.2:80" {
		t.Errorf("published port: %q, %v", out, err)
	}
	stream.Close()
	select {
	case <-g.publish:
	case <-time.After(time.Minute):
		t.Error("no new publish stream after the engine's end")
	}
}

func TestBootFails(t *testing.T) {
	g := newGuest(t)
	asked := make(chan struct{})
	g.boot = func(context.Context, *platformtest.Guest) error { <-asked; return errors.New("it is on fire") }
	d := start(t, g)
	got := make(chan string, 1)
	go func() {
		code, body := d.get(t)
		got <- fmt.Sprint(code, " ", body)
	}()
	_, err := machine.Ensure(t.Context(), d.home, func(step string) {
		if step == "data disk" {
			close(asked)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "data disk: it is on fire") {
		t.Errorf("ensure: %v", err)
	}
	if answer := <-got; !strings.HasPrefix(answer, `503 {"message":`) || !strings.Contains(answer, "it is on fire") {
		t.Errorf("the client that waited got %q", answer)
	}
	if err := d.wait(t); err == nil {
		t.Error("naru-machine ended without an error")
	}
}

// TestGuestVanishes is a kernel panic after the boot.
func TestGuestVanishes(t *testing.T) {
	g := newGuest(t)
	g.boot = func(_ context.Context, in *platformtest.Guest) error {
		return os.WriteFile(in.Machine.Console, []byte("Kernel panic - not syncing\n\n"), 0o600)
	}
	d := start(t, g)
	if _, err := machine.Ensure(t.Context(), d.home, nil); err != nil {
		t.Fatal(err)
	}
	g.off <- struct{}{}
	if err := d.wait(t); err != nil {
		t.Errorf("a guest that powered itself off: %v", err)
	}
}

// TestStopDuringBoot must not wait for the boot, and a kill not for a deaf guest.
func TestStopDuringBoot(t *testing.T) {
	g := newGuest(t)
	g.boot = func(ctx context.Context, _ *platformtest.Guest) error { <-ctx.Done(); return nil }
	d := start(t, g)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := machine.Stop(ctx, d.home, false, nil); err != nil {
		t.Error(err)
	}
	if err := d.wait(t); err != nil {
		t.Errorf("the end: %v", err)
	}
}

func TestKillOfADeafGuest(t *testing.T) {
	g := newGuest(t)
	g.deaf.Store(true)
	d := start(t, g)
	if _, err := machine.Ensure(t.Context(), d.home, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := machine.Stop(ctx, d.home, true, nil); err != nil {
		t.Error(err)
	}
	if err := d.wait(t); err != nil {
		t.Errorf("the end: %v", err)
	}
}

// TestOnlyOne wants the second one to say that there is a first.
func TestOnlyOne(t *testing.T) {
	d := start(t, newGuest(t))
	var told machine.Started
	err := Run(t.Context(), Options{Home: d.home, Log: slog.New(slog.DiscardHandler), Started: func(s machine.Started) { told = s }})
	if !errors.Is(err, ipc.ErrLocked) || !told.Locked {
		t.Errorf("second run: %v, %+v", err, told)
	}
}

// TestClock: a clock that jumps by hours either way is right again within a second, also when answers are slow; one that
// is right is left alone.
func TestClock(t *testing.T) {
	g := newGuest(t)
	d := start(t, g)
	if _, err := machine.Ensure(t.Context(), d.home, nil); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ jump, slow time.Duration }{
		{8 * time.Hour, 0}, {-8 * time.Hour, 0}, {200 * time.Millisecond, 0}, {-time.Minute, 60 * time.Millisecond},
	} {
		g.slow.Store(int64(tt.slow))
		g.skew.Add(int64(tt.jump))
		jumped := time.Now()
		select {
		case <-g.steps:
		case <-time.After(time.Minute):
			t.Fatalf("a jump by %v: nothing happened", tt.jump)
		}
		if skew := time.Duration(g.skew.Load()); skew.Abs() > 50*time.Millisecond {
			t.Errorf("a jump by %v: off by %v", tt.jump, skew)
		}
		t.Logf("a jump by %v was mended after %v", tt.jump, time.Since(jumped).Round(time.Millisecond))
	}
	g.slow.Store(0)
	if _, err := machine.GetStatus(t.Context(), d.home); err != nil {
		t.Error(err)
	}
	if len(g.steps) > 0 {
		t.Error("a clock that was right was set")
	}
}

// TestRest: a machine in which nothing runs is put to rest; pings are answered without it, status does not wake it, and
// the next call and the next command do.
func TestRest(t *testing.T) {
	g := newGuest(t)
	d := start(t, g)
	if _, err := machine.Ensure(t.Context(), d.home, nil); err != nil {
		t.Fatal(err)
	}
	state := func() machine.State {
		s, err := machine.GetStatus(t.Context(), d.home)
		if err != nil {
			t.Fatal(err)
		}
		return s.State
	}
	idle := func() {
		t.Helper()
		for late := time.Now().Add(time.Minute); state() != machine.StateIdle; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatal("it is not put to rest")
			}
		}
	}
	held, err := ipc.Dial(t.Context(), d.home.MachineSocket()) // a client
	if err != nil {
		t.Fatal(err)
	}
	g.containers.Store(0)
	time.Sleep(1500 * time.Millisecond)
	if s := state(); s != machine.StateRunning {
		t.Errorf("with a client connected it is %s", s)
	}
	_ = held.Close()
	idle()
	for method, want := range map[string]string{"GET /v1.50/_ping": "hello", "HEAD /_ping": "\r\n\r\n"} {
		if got := call(t, d, method); !strings.HasSuffix(got, want) || !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("%s: %q", method, got)
		}
	}
	if n := g.boots.Load(); n != 1 || state() != machine.StateIdle {
		t.Errorf("pings woke it: %d boots", n)
	}
	if got := call(t, d, "GET /containers/json"); !strings.HasSuffix(got, "hello") {
		t.Errorf("the call that woke it: %q", got)
	}
	if n := g.boots.Load(); n != 2 {
		t.Errorf("%d boots after the call", n)
	}
	idle()
	if _, err := machine.Ensure(t.Context(), d.home, nil); err != nil || state() != machine.StateRunning {
		t.Errorf("ensure: %v", err)
	}
	idle()
	if err := machine.Stop(t.Context(), d.home, false, nil); err != nil {
		t.Error(err)
	}
	if err := d.wait(t); err != nil {
		t.Errorf("the end: %v", err)
	}
}

// call is one request to docker.sock.
func call(t *testing.T, d *testDaemon, line string) string {
	t.Helper()
	conn, err := ipc.Dial(t.Context(), d.home.MachineSocket())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\n\r\n", line)
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("%s: %v", line, err)
	}
	return string(answer)
}
