package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"naru/guest/keeper/keeperapi"
	"naru/guest/runtime"
)

// execDir begins the name of a folder in the bundle, for as long as an exec is being started.
const execDir = "exec-"

// execKept is how long a finished exec can still be inspected.
const execKept = 5 * time.Minute

// Exec is a further process in a container. It lives as long as the engine: another one knows nothing of it, and
// the process goes on without attachers.
type Exec struct {
	ID   string
	c    *Container
	want container.ExecCreateRequest

	probe  bool           // of a health check
	output *limitedBuffer // of a probe that runs

	mu       sync.Mutex // guards all below
	started  bool
	running  bool
	pid      int
	exitCode *int
	finished time.Time
	begun    chan struct{} // closed when its process runs
	done     chan struct{} // closed when it has ended
}

// ExecCreate prepares an exec in a running container and returns its ID.
func (m *Manager) ExecCreate(ref string, want container.ExecCreateRequest) (string, error) {
	c, err := m.find(ref)
	if err != nil {
		return "", err
	}
	if len(want.Cmd) == 0 {
		return "", invalid("No exec command specified")
	}
	r := c.snapshot()
	if err := r.State.canExec(ref, c.ID); err != nil {
		return "", err
	}
	if _, err := detachKeys(want.DetachKeys); err != nil {
		return "", invalid("Invalid escape keys (%s) provided", want.DetachKeys)
	}
	if want.WorkingDir != "" && !strings.HasPrefix(want.WorkingDir, "/") {
		return "", invalid("the working directory '%s' is invalid, it needs to be an absolute path", want.WorkingDir)
	}
	if err := runtime.CheckUser(m.rootfsPath(c.ID), want.User); want.User != "" && err != nil {
		return "", err
	}
	x := newExec(c, want)
	if err := m.register(x); err != nil {
		return "", err
	}
	return x.ID, nil
}

func newExec(c *Container, want container.ExecCreateRequest) *Exec {
	return &Exec{ID: newID(), c: c, want: want, begun: make(chan struct{}), done: make(chan struct{})}
}

// register makes an exec known, if its container can have one.
func (m *Manager) register(x *Exec) error {
	c := x.c
	c.mu.Lock()
	if err := c.State.canExec(c.ID, c.ID); err != nil {
		c.mu.Unlock()
		return err
	}
	old := c.sweepExecs(time.Now().Add(-execKept))
	c.execs[x.ID] = x
	c.mu.Unlock()
	m.mu.Lock()
	for _, id := range old {
		delete(m.execs, id)
	}
	m.execs[x.ID] = x
	m.mu.Unlock()
	m.emitExec(x, events.ActionExecCreate)
	return nil
}

// emitExec tells of an exec in Docker's form, which has a space behind a command without arguments.
func (m *Manager) emitExec(x *Exec, action events.Action) {
	text := string(action) + ": " + x.want.Cmd[0] + " " + strings.Join(x.want.Cmd[1:], " ")
	m.emit(x.c, events.Action(text), "execID", x.ID)
}

// dropExec forgets an exec that nobody asks for any more; nil is none.
func (m *Manager) dropExec(x *Exec) {
	if x == nil {
		return
	}
	x.c.mu.Lock()
	delete(x.c.execs, x.ID)
	x.c.mu.Unlock()
	m.mu.Lock()
	delete(m.execs, x.ID)
	m.mu.Unlock()
}

// keeperID is what the keeper calls the exec's process.
func (x *Exec) keeperID() string {
	if x.probe {
		return probePrefix + x.ID
	}
	return x.ID
}

// sweepExecs drops the execs that finished before a time and returns their IDs. c.mu is held.
func (c *Container) sweepExecs(before time.Time) (ids []string) {
	for id, x := range c.execs {
		x.mu.Lock()
		over := x.exitCode != nil && x.finished.Before(before)
		x.mu.Unlock()
		if over {
			delete(c.execs, id)
			ids = append(ids, id)
		}
	}
	return ids
}

func (m *Manager) findExec(id string) (*Exec, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if x, ok := m.execs[id]; ok {
		return x, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage("No such exec instance: " + id)
}

// ExecStartOptions say how to start. Detached, nothing is attached whatever was asked for at creation.
type ExecStartOptions struct {
	Detach bool
	// Tty makes the stream raw, whatever the exec has: as in Docker it is the client that starts it who says so. With
	// it there is no stderr, without it even a terminal's output is framed.
	Tty         bool
	ConsoleSize *[2]uint // height, width
}

// ExecStartable refuses an exec that is not there, or whose container is in no state for it.
func (m *Manager) ExecStartable(id string) error {
	x, err := m.findExec(id)
	if err != nil {
		return err
	}
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.c.State.canExec(x.c.ID, x.c.ID)
}

// ExecStart runs an exec. Detached, it returns when the process runs. Else open turns the request into a stream, and
// ExecStart returns when process and stream are over; what goes wrong after open is told on the stream, as Docker does.
func (m *Manager) ExecStart(ctx context.Context, id string, o ExecStartOptions, open func() (Stream, error)) error {
	x, err := m.findExec(id)
	if err != nil {
		return err
	}
	if err := x.claim(); err != nil {
		return err
	}
	if o.ConsoleSize != nil {
		x.want.ConsoleSize = o.ConsoleSize
	}
	if o.Detach {
		_, err := m.execRun(ctx, x, nil, startTimeout)
		return err
	}
	client, err := open()
	if err != nil {
		x.fail(exitNotStarted)
		return err
	}
	defer client.Close()
	want := &keeperapi.Attach{
		Stdin: x.want.AttachStdin, Stdout: x.want.AttachStdout, Stderr: x.want.AttachStderr && !o.Tty,
		Framing: keeperapi.FramingFrames,
	}
	if o.Tty {
		want.Framing = keeperapi.FramingRaw
	}
	stream, err := m.execRun(ctx, x, want, startTimeout)
	if err != nil {
		tellOnStream(client, o.Tty, err)
		return nil
	}
	m.execRelay(ctx, x, client, stream)
	return nil
}

// begin notes that the exec is being started: a pause waits for that, since the runtime would hang in the freezer.
func (x *Exec) begin() error {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.State.canExec(c.ID, c.ID)
	if err == nil {
		c.execStarts.begin()
	}
	return err
}

// claim makes the caller the one who starts it.
func (x *Exec) claim() error {
	x.c.mu.Lock()
	err := x.c.State.canExec(x.c.ID, x.c.ID)
	x.c.mu.Unlock()
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.running:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("exec command %s is already running", x.ID))
	case x.started:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("exec command %s has already run", x.ID))
	}
	x.started = true
	return nil
}

func (x *Exec) over() bool {
	select {
	case <-x.done:
		return true
	default:
		return false
	}
}

func (x *Exec) fail(code int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.exitCode == nil {
		x.exitCode, x.running, x.finished = &code, false, time.Now()
		close(x.done)
	}
}

func (m *Manager) execRun(ctx context.Context, x *Exec, attach *keeperapi.Attach, limit time.Duration) (*net.UnixConn, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if err := x.begin(); err != nil {
		x.fail(exitNotInvoked)
		return nil, err
	}
	defer x.c.execStarts.done()
	m.emitExec(x, events.ActionExecStart)
	dir := filepath.Join(m.bundlePath(x.c.ID), execDir+x.ID[:16])
	start, err := m.execSpec(x, dir, attach)
	var process *keeperapi.Process
	var stream *net.UnixConn
	if err == nil {
		process, stream, err = m.Keeper.Start(ctx, x.keeperID(), *start)
	}
	_ = os.RemoveAll(dir) // crun and keeper have read it; it is on a tmpfs
	_ = os.Remove(m.consoleSocket(x.ID))
	if err != nil {
		code, err := explainExec(err, x.want.Cmd[0])
		x.fail(code)
		return nil, err
	}
	x.mu.Lock()
	x.pid, x.running = process.Pid, x.exitCode == nil
	close(x.begun)
	x.mu.Unlock()
	return stream, nil
}

func (m *Manager) execSpec(x *Exec, dir string, attach *keeperapi.Attach) (*keeperapi.Start, error) {
	c := x.c
	process, err := runtime.ExecProcess(m.runtimeContainer(c, m.rootfsPath(c.ID), "", joins{}, nil), &x.want)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(process)
	if err != nil {
		return nil, fmt.Errorf("encode process: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make exec's folder: %w", err)
	}
	file := filepath.Join(dir, "process.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return nil, fmt.Errorf("write process: %w", err)
	}
	start := &keeperapi.Start{
		PidFile: filepath.Join(dir, "pid"), Attach: attach,
		Stdin: attach != nil && attach.Stdin, StdinOnce: true,
	}
	if x.want.Tty {
		start.ConsoleSocket = m.consoleSocket(x.ID)
		if size := x.want.ConsoleSize; size != nil {
			start.Rows, start.Cols = uint16(size[0]), uint16(size[1])
		}
	}
	start.Args = m.Runtime.ExecArgs(c.ID, file, start.PidFile, start.ConsoleSocket)
	return start, nil
}

// execRelay connects the client until the output ends, and holds it until the exit code is known: clients ask for
// that next.
func (m *Manager) execRelay(ctx context.Context, x *Exec, client Stream, stream *net.UnixConn) {
	var in io.Reader = client
	if x.want.Tty {
		keys, _ := detachKeys(x.want.DetachKeys) // was checked at creation
		in = &detacher{r: client, keys: keys}
	}
	held := &heldStream{Stream: client, until: x.done, orUntil: m.life.Done()}
	if err := relay(held, in, stream, x.want.AttachStdin); errors.Is(err, errDetached) {
		m.emit(x.c, events.ActionExecDetach, "execID", x.ID)
	}
}

// heldStream delays the end of the output.
type heldStream struct {
	Stream
	until, orUntil <-chan struct{}
	broken         bool // the client has gone: nobody to hold it for
}

// SyscallConn is the client's.
func (h *heldStream) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := h.Stream.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

func (h *heldStream) Write(p []byte) (int, error) {
	n, err := h.Stream.Write(p)
	h.broken = err != nil
	return n, err
}

func (h *heldStream) CloseWrite() error {
	if !h.broken {
		select {
		case <-h.until:
		case <-h.orUntil:
		}
	}
	return h.Stream.CloseWrite()
}

// execEnded takes in the end of an exec.
func (m *Manager) execEnded(x *Exec, e keeperapi.Exit) {
	x.mu.Lock()
	if x.exitCode == nil {
		x.exitCode, x.running, x.finished = &e.Code, false, time.Now()
		close(x.done)
	}
	x.mu.Unlock()
	m.emit(x.c, events.ActionExecDie, "execID", x.ID, "exitCode", strconv.Itoa(e.Code))
	m.forget(x.keeperID())
}

// resizePatience is how long a resize waits for its exec to begin, as in Docker.
const resizePatience = 10 * time.Second

// ExecResize sets the size of an exec's terminal. Clients before 23 send it beside the start, so that it may arrive
// first; they give up after some hundred milliseconds of errors.
func (m *Manager) ExecResize(ctx context.Context, id string, rows, cols uint16) error {
	x, err := m.findExec(id)
	if err != nil {
		return err
	}
	late := time.NewTimer(resizePatience)
	defer late.Stop()
	select {
	case <-x.begun:
	case <-x.done:
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return errdefs.ErrConflict.WithMessage("timeout waiting for exec session ready")
	}
	x.mu.Lock()
	running := x.running
	x.mu.Unlock()
	if !running {
		return errdefs.ErrConflict.WithMessage("exec process is not running")
	}
	return m.Keeper.Resize(ctx, x.keeperID(), rows, cols)
}

// ExecInspect describes an exec.
func (m *Manager) ExecInspect(id string) (*container.ExecInspectResponse, error) {
	x, err := m.findExec(id)
	if err != nil {
		return nil, err
	}
	keys, user := []byte{}, x.want.User
	if x.want.DetachKeys != "" {
		keys, _ = detachKeys(x.want.DetachKeys) // was checked at creation
	}
	if user == "" {
		user = x.c.Config.User
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return &container.ExecInspectResponse{
		ID: x.ID, Running: x.running, ExitCode: x.exitCode, Pid: x.pid, ContainerID: x.c.ID,
		OpenStdin: x.want.AttachStdin, OpenStdout: x.want.AttachStdout, OpenStderr: x.want.AttachStderr,
		DetachKeys: keys,
		ProcessConfig: &container.ExecProcessConfig{
			Tty: x.want.Tty, Entrypoint: x.want.Cmd[0], Arguments: x.want.Cmd[1:], Privileged: &x.want.Privileged, User: user,
		},
	}, nil
}

// tellOnStream writes an error where the output would have been: to the stderr of it, so that nobody takes it for output.
func tellOnStream(client Stream, tty bool, err error) {
	text := []byte(err.Error() + "\r\n")
	if !tty {
		text = append([]byte{byte(stdcopy.Stderr), 0, 0, 0, 0, 0, byte(len(text) >> 8), byte(len(text))}, text...)
	}
	_, _ = client.Write(text)
	_ = client.CloseWrite()
}
