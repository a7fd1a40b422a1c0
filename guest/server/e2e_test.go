package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// TestEngine goes through the API with real containers. The parts share one engine.
func TestEngine(t *testing.T) {
	d := startDaemon(t)
	for name, test := range map[string]func(*daemon){
		"run": testRun, "lifecycle": testLifecycle, "refusals": testRefusals, "exec": testExec, "logs": testLogs,
		"restart": testRestartPolicies, "terminal": testTerminal, "parallel": testParallel, "attach": testAttachRunning,
		"list": testList, "clients": testClients, "exec terminal": testExecTerminal,
	} {
		t.Run(name, func(t *testing.T) {
			part := *d
			part.t = t
			test(&part)
		})
	}
}

func testRun(d *daemon) {
	for _, c := range []struct {
		name  string
		cfg   container.Config
		stdin string
		want  result
	}{
		{"stdout", container.Config{Cmd: []string{"echo", "hi"}}, "", result{"hi\n", "", 0}},
		{"both streams", container.Config{Cmd: []string{"both"}}, "", result{"out\n", "err\n", 0}},
		{"stdin", container.Config{Cmd: []string{"cat"}}, "some input\n", result{"some input\nend of input\n", "", 0}},
		{"exit code", container.Config{Cmd: []string{"exit", "7"}}, "", result{"", "", 7}},
		{"user, folder, environment", container.Config{Cmd: []string{"who"}, User: "u", WorkingDir: "/new/dir", Env: []string{"A=b"}}, "",
			result{"1000 /new/dir b\n", "", 0}},
		{"terminal", container.Config{Cmd: []string{"both"}, Tty: true}, "", result{"out\r\nerr\r\n", "", 0}},
		{"much output", container.Config{Cmd: []string{"lines", "20000"}}, "", result{lines(20000), "", 0}},
	} {
		d.t.Run(c.name, func(t *testing.T) {
			part := *d
			part.t = t
			got, err := part.run(nil, c.cfg, c.stdin)
			must(t, err)
			if got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, "line", i)
	}
	return b.String()
}

func testLifecycle(d *daemon) {
	t, ctx := d.t, d.t.Context()
	events := d.Events(ctx, client.EventsListOptions{Filters: client.Filters{}.Add("type", "container").Add("label", "life=yes")})
	id := d.create("life", nil, container.Config{Cmd: []string{"wait"}, Labels: map[string]string{"life": "yes"}})
	if s := d.inspect("life").State; s.Status != "created" || s.Running {
		t.Errorf("created: %+v", s)
	}
	start := func() error {
		_, err := d.ContainerStart(ctx, id, client.ContainerStartOptions{})
		return err
	}
	must(t, start())
	must(t, start()) // 304 is no error
	c := d.inspect(id[:10])
	if s := c.State; s.Status != "running" || !s.Running || s.Pid == 0 || c.NetworkSettings.Networks["bridge"] == nil || !c.NetworkSettings.Networks["bridge"].IPAddress.IsValid() {
		t.Errorf("running: %+v %+v", s, c.NetworkSettings)
	}
	_, err := d.ContainerRename(ctx, id, client.ContainerRenameOptions{NewName: "life2"})
	must(t, err)
	d.ready(id)
	_, err = d.ContainerStop(ctx, "life2", client.ContainerStopOptions{})
	must(t, err)
	if s := d.inspect(id).State; s.Status != "exited" || s.ExitCode != 3 || s.FinishedAt < s.StartedAt {
		t.Errorf("stopped: %+v", s)
	}
	must(t, start())
	_, err = d.ContainerKill(ctx, id, client.ContainerKillOptions{})
	must(t, err)
	if s := d.inspect(id).State; s.Status != "exited" || s.ExitCode != 137 {
		t.Errorf("killed: %+v", s)
	}
	must(t, start())
	if _, err = d.ContainerRemove(ctx, id, client.ContainerRemoveOptions{}); !cerrdefs.IsConflict(err) {
		t.Errorf("remove of a running container: %v", err)
	}
	_, err = d.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	must(t, err)
	if _, err := d.ContainerInspect(ctx, id, client.ContainerInspectOptions{}); !cerrdefs.IsNotFound(err) {
		t.Errorf("inspect of a removed container: %v", err)
	}
	want := []string{"create", "start", "rename", "kill", "die", "stop", "start", "kill", "die", "start", "kill", "die", "destroy"}
	for i, action := range want {
		select {
		case m := <-events.Messages:
			if string(m.Action) != action || m.Actor.ID != id || m.Actor.Attributes["image"] != "probe" {
				t.Fatalf("event %d is %s %v, want %s", i, m.Action, m.Actor, action)
			}
			if i == 4 && m.Actor.Attributes["exitCode"] != "3" {
				t.Errorf("die: %v", m.Actor.Attributes)
			}
		case err := <-events.Err:
			t.Fatalf("events: %v", err)
		}
	}
}

// ready waits until the container's program has printed that it is.
func (d *daemon) ready(id string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	logs, err := d.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, Follow: true})
	must(d.t, err)
	defer logs.Close()
	if _, err := io.ReadFull(logs, make([]byte, 8+len("ready\n"))); err != nil {
		d.t.Fatalf("not ready: %v", err)
	}
}

func testRefusals(d *daemon) {
	ctx := d.t.Context()
	taken := d.create("taken", nil, container.Config{Cmd: []string{"wait"}})
	type create = client.ContainerCreateOptions
	cfg := func(c container.Config) *container.Config {
		if c.Image == "" {
			c.Image = "probe"
		}
		if c.Cmd == nil {
			c.Cmd = []string{"exit", "0"}
		}
		return &c
	}
	for _, c := range []struct {
		o    create
		want string
	}{
		{create{Config: cfg(container.Config{Image: "nosuch"})}, "No such image: nosuch:latest"},
		{create{Config: cfg(container.Config{}), Name: "taken"}, `Conflict. The container name "/taken" is already in use by container "` + taken + `"`},
		{create{Config: cfg(container.Config{}), Name: "a b"}, "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{create{Config: &container.Config{Image: "probe", Entrypoint: []string{""}}}, "no command specified"},
		{create{Config: cfg(container.Config{WorkingDir: "x"})}, "the working directory 'x' is invalid, it needs to be an absolute path"},
		{create{Config: cfg(container.Config{StopSignal: "SIGNOPE"})}, "invalid signal: SIGNOPE"},
		{create{Config: cfg(container.Config{}), HostConfig: &container.HostConfig{Resources: container.Resources{Memory: 1024}}}, "Minimum memory limit allowed is 6MB"},

		{create{Config: cfg(container.Config{}), HostConfig: &container.HostConfig{AutoRemove: true, RestartPolicy: container.RestartPolicy{Name: "always"}}},
			"can't create 'AutoRemove' container with restart policy"},
	} {
		_, err := d.ContainerCreate(ctx, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			d.t.Errorf("got %v, want %s", err, c.want)
		}
	}
	for entry, c := range map[string]struct {
		code int
		want string
	}{
		"nosuch":   {127, "executable file not found in $PATH"},
		"/nosuch":  {127, "no such file or directory"},
		"/notexec": {126, "permission denied"},
		"/etc":     {126, "permission denied"},
	} {
		id := d.create("", nil, container.Config{Entrypoint: []string{entry}})
		_, err := d.ContainerStart(ctx, id, client.ContainerStartOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !cerrdefs.IsInvalidArgument(err) {
			d.t.Errorf("start of %s: %v, want %s", entry, err, c.want)
		}
		if s := d.inspect(id).State; s.ExitCode != c.code || s.Status != "created" || s.Error == "" {
			d.t.Errorf("start of %s: %+v", entry, s)
		}
	}
}

func testExec(d *daemon) {
	t, ctx := d.t, d.t.Context()
	id := d.up("", nil, "wait")
	exec := func(o client.ExecCreateOptions, stdin string) result {
		t.Helper()
		o.AttachStdout, o.AttachStderr, o.AttachStdin = true, true, stdin != ""
		x, err := d.ExecCreate(ctx, id, o)
		must(t, err)
		a, err := d.ExecAttach(ctx, x.ID, client.ExecAttachOptions{TTY: o.TTY})
		must(t, err)
		defer a.Close()
		if stdin != "" {
			_, err := io.WriteString(a.Conn, stdin)
			must(t, err)
			must(t, a.CloseWrite())
		}
		var out, errs bytes.Buffer
		if o.TTY {
			_, err = io.Copy(&out, a.Reader)
		} else {
			_, err = stdcopy.StdCopy(&out, &errs, a.Reader)
		}
		must(t, err)
		i, err := d.ExecInspect(ctx, x.ID, client.ExecInspectOptions{})
		must(t, err)
		return result{out.String(), errs.String(), int64(i.ExitCode)}
	}
	type opts = client.ExecCreateOptions
	for _, c := range []struct {
		o     opts
		stdin string
		want  result
	}{
		{opts{Cmd: []string{"/probe", "both"}}, "", result{"out\n", "err\n", 0}},
		{opts{Cmd: []string{"/probe", "exit", "9"}}, "", result{"", "", 9}},
		{opts{Cmd: []string{"/probe", "cat"}}, "in\n", result{"in\nend of input\n", "", 0}},
		{opts{Cmd: []string{"/probe", "who"}, User: "u", WorkingDir: "/etc", Env: []string{"A=x"}}, "", result{"1000 /etc x\n", "", 0}},
		{opts{Cmd: []string{"/probe", "both"}, TTY: true}, "", result{"out\r\nerr\r\n", "", 0}},
	} {
		if got := exec(c.o, c.stdin); got != c.want {
			t.Errorf("exec %v: %v, want %v", c.o.Cmd, got, c.want)
		}
	}
	if got := exec(opts{Cmd: []string{"nosuch"}}, ""); got.code != 127 || !strings.Contains(got.err, `exec: "nosuch": executable file not found in $PATH`) {
		t.Errorf("exec of a missing program: %v", got)
	}
	if got := exec(opts{Cmd: []string{"/notexec"}}, ""); got.code != 126 || !strings.Contains(got.err, "permission denied") {
		t.Errorf("exec of no program: %v", got)
	}
	_, err := d.ContainerKill(ctx, id, client.ContainerKillOptions{})
	must(t, err)
	if _, err := d.ExecCreate(ctx, id, opts{Cmd: []string{"/probe"}}); !cerrdefs.IsConflict(err) || !strings.Contains(err.Error(), "is not running") {
		t.Errorf("exec in a stopped container: %v", err)
	}
}

func (d *daemon) logs(id string, o client.ContainerLogsOptions) string {
	d.t.Helper()
	o.ShowStdout, o.ShowStderr = true, true
	r, err := d.ContainerLogs(d.t.Context(), id, o)
	must(d.t, err)
	defer r.Close()
	var out bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &out, r)
	must(d.t, err)
	return out.String()
}

func testLogs(d *daemon) {
	dir := d.t.TempDir()
	id := d.up("", &container.HostConfig{Binds: []string{dir + ":/d"}}, "until", "/d/go", "0")
	followed := make(chan string)
	go func() { followed <- d.logs(id, client.ContainerLogsOptions{Follow: true}) }()
	must(d.t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	if got := <-followed; got != "" {
		d.t.Errorf("follow of a silent container: %q", got)
	}
	id = d.up("", nil, "lines", "100")
	if got := d.logs(id, client.ContainerLogsOptions{Follow: true}); got != lines(100) {
		d.t.Errorf("follow: %q", got)
	}
	if got := d.logs(id, client.ContainerLogsOptions{Tail: "2"}); got != "line 98\nline 99\n" {
		d.t.Errorf("tail: %q", got)
	}
	if got := d.logs(id, client.ContainerLogsOptions{Tail: "1", Timestamps: true}); !strings.HasSuffix(got, "Z line 99\n") {
		d.t.Errorf("timestamps: %q", got)
	}
	if got := d.logs(id, client.ContainerLogsOptions{Until: "2020-01-02T15:04:05Z"}); got != "" {
		d.t.Errorf("until: %q", got)
	}
	if got := d.logs(id, client.ContainerLogsOptions{Since: "2020-01-02T15:04:05Z"}); got != lines(100) {
		d.t.Errorf("since: %q", got)
	}
}

func testRestartPolicies(d *daemon) {
	failing := d.up("", &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 2}}, "exit", "4")
	d.eventually("the last retry", func() bool { c := d.inspect(failing); return c.RestartCount == 2 && c.State.Status == "exited" })
	if s := d.inspect(failing).State; s.ExitCode != 4 {
		d.t.Errorf("on-failure: %+v", s)
	}
	fine := d.up("", &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "on-failure"}}, "exit", "0")
	d.waitEnd(fine, container.WaitConditionNotRunning)
	if c := d.inspect(fine); c.RestartCount != 0 || c.State.Status != "exited" {
		d.t.Errorf("on-failure without failure: %+v", c.State)
	}
	always := d.up("", &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "always"}}, "exit", "0")
	d.eventually("second restart", func() bool { return d.inspect(always).RestartCount >= 2 })
	_, err := d.ContainerStop(d.t.Context(), always, client.ContainerStopOptions{})
	must(d.t, err)
	if s := d.inspect(always).State; s.Running || s.Status != "exited" {
		d.t.Errorf("always, stopped: %+v", s)
	}
	zero := 0
	stubborn := d.up("", nil, "stubborn")
	d.ready(stubborn)
	_, err = d.ContainerRestart(d.t.Context(), stubborn, client.ContainerRestartOptions{Timeout: &zero})
	must(d.t, err)
	if s := d.inspect(stubborn).State; !s.Running {
		d.t.Errorf("restarted: %+v", s)
	}
	_, err = d.ContainerStop(d.t.Context(), stubborn, client.ContainerStopOptions{Timeout: &zero})
	must(d.t, err)
	if s := d.inspect(stubborn).State; s.ExitCode != 137 {
		d.t.Errorf("stopped by force: %+v", s)
	}
}

// testTerminal detaches by keys: the client's stream ends, the container goes on.
func testTerminal(d *daemon) {
	ctx := d.t.Context()
	id := d.create("", nil, container.Config{Cmd: []string{"cat"}, Tty: true, OpenStdin: true})
	a, err := d.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	must(d.t, err)
	defer a.Close()
	_, err = d.ContainerStart(ctx, id, client.ContainerStartOptions{})
	must(d.t, err)
	_, err = d.ContainerResize(ctx, id, client.ContainerResizeOptions{Height: 30, Width: 100})
	must(d.t, err)
	_, err = io.WriteString(a.Conn, "typed\x10x\n")
	must(d.t, err)
	echo, err := a.Reader.ReadString('\n')
	must(d.t, err)
	if !strings.HasPrefix(echo, "typed") {
		d.t.Errorf("got %q", echo)
	}
	_, err = io.WriteString(a.Conn, "\x10\x11")
	must(d.t, err)
	_, err = io.ReadAll(a.Reader) // ends
	must(d.t, err)
	if s := d.inspect(id).State; !s.Running {
		d.t.Errorf("after detaching: %+v", s)
	}
	_, err = d.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	must(d.t, err)
}

func testAttachRunning(d *daemon) {
	ctx := d.t.Context()
	id := d.create("", nil, container.Config{Cmd: []string{"cat"}, OpenStdin: true, StdinOnce: true})
	_, err := d.ContainerStart(ctx, id, client.ContainerStartOptions{})
	must(d.t, err)
	a, err := d.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	must(d.t, err)
	defer a.Close()
	_, err = io.WriteString(a.Conn, "late\n")
	must(d.t, err)
	must(d.t, a.CloseWrite())
	var out bytes.Buffer
	_, err = stdcopy.StdCopy(&out, io.Discard, a.Reader)
	must(d.t, err)
	if out.String() != "late\nend of input\n" {
		d.t.Errorf("got %q", out.String())
	}
	b, err := d.ContainerAttach(ctx, id, client.ContainerAttachOptions{Logs: true, Stdout: true})
	must(d.t, err)
	defer b.Close()
	out.Reset()
	_, err = stdcopy.StdCopy(&out, io.Discard, b.Reader)
	must(d.t, err)
	if out.String() != "late\nend of input\n" {
		d.t.Errorf("logs by attach: %q", out.String())
	}
}

// testParallel runs many at once; none loses a byte, and nothing of them stays.
func testParallel(d *daemon) {
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			want := fmt.Sprint("number ", i)
			got, err := d.run(nil, container.Config{Cmd: []string{"echo", want}, Labels: map[string]string{"parallel": "1"}}, "")
			if err != nil || got.out != want+"\n" || got.code != 0 {
				d.t.Errorf("run %d: %v %v", i, got, err)
			}
		})
	}
	all.Wait()
	list, err := d.ContainerList(d.t.Context(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", "parallel")})
	must(d.t, err)
	if len(list.Items) > 0 {
		d.t.Errorf("%d containers stayed", len(list.Items))
	}
}

func testList(d *daemon) {
	one := d.up("list-one", nil, "wait")
	two := d.create("list-two", nil, container.Config{Cmd: []string{"exit", "0"}, Labels: map[string]string{"k": "v"}})
	for _, c := range []struct {
		all     bool
		filters []string
		want    []string
	}{
		{true, []string{"name=^list-"}, []string{two, one}},
		{false, []string{"name=^/?list-"}, []string{one}},
		{false, []string{"name=^list-", "status=created"}, []string{two}},
		{true, []string{"label=k=v"}, []string{two}},
		{true, []string{"label=k=w"}, nil},
		{true, []string{"name=^list-", "ancestor=probe"}, []string{two, one}},
		{true, []string{"since=list-one", "name=list"}, []string{two}},
		{true, []string{"before=list-two", "name=list"}, []string{one}},
		{true, []string{"id=" + one[:12]}, []string{one}},
	} {
		f := client.Filters{}
		for _, text := range c.filters {
			name, value, _ := strings.Cut(text, "=")
			f = f.Add(name, value)
		}
		list, err := d.ContainerList(d.t.Context(), client.ContainerListOptions{All: c.all, Filters: f})
		must(d.t, err)
		var got []string
		for _, s := range list.Items {
			got = append(got, s.ID)
		}
		if !slices.Equal(got, c.want) {
			d.t.Errorf("%v: %v, want %v", c.filters, got, c.want)
		}
	}
	if _, err := d.ContainerList(d.t.Context(), client.ContainerListOptions{Filters: client.Filters{}.Add("nosuch", "x")}); !cerrdefs.IsInvalidArgument(err) {
		d.t.Errorf("unknown filter: %v", err)
	}
	_, err := d.ContainerRemove(d.t.Context(), one, client.ContainerRemoveOptions{Force: true})
	must(d.t, err)
}
