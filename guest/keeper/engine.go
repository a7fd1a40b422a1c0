package keeper

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 5 * time.Second
	// steady is how long an engine must have run for its death to count as the first one again: one that is killed now
	// and then is not one that cannot start.
	steady = time.Second
)

// engine runs naru-engine, and runs it again.
type engine struct {
	log       *slog.Logger
	reaper    *reaper
	args, env []string
	listeners []Listener
	stop      time.Duration
	running   atomic.Bool
	failures  failures // the goroutine's of run
}

func newEngine(k *keeper, listeners []Listener, sink io.Writer) *engine {
	o := &k.o
	e := &engine{log: k.log, reaper: k.reaper, listeners: listeners, stop: o.stop()}
	e.failures.said.to = sink
	e.args = []string{
		o.Engine, "--root", o.Root, "--run", o.run(), "--name", o.Name, "--keeper", o.api(), "--mode", o.Mode, "--crun", o.Crun,
	}
	if o.Config != nil {
		e.args = append(e.args, "--config", o.config())
	}
	var names []string
	for _, l := range listeners {
		names = append(names, l.Name)
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LISTEN_") && !strings.HasPrefix(v, "NOTIFY_SOCKET=") {
			e.env = append(e.env, v)
		}
	}
	e.env = append(e.env, "LISTEN_FDS="+strconv.Itoa(len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	return e
}

// run keeps an engine running until ctx ends, and then ends it.
//
// The engine dies with the keeper: two engines on one root would be worse than none. PR_SET_PDEATHSIG looks at the
// thread that forked, hence the lock.
func (e *engine) run(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	backoff := backoffMin
	for ctx.Err() == nil {
		started := time.Now()
		if err := e.runOnce(ctx); err != nil {
			e.log.Error("engine", "error", err)
		}
		if time.Since(started) > steady {
			backoff = backoffMin
		}
		e.wait(ctx, backoff)
		backoff = min(2*backoff, backoffMax)
	}
}

// wait lets some time pass. When engines do not come up, those who ask for one are told meanwhile.
func (e *engine) wait(ctx context.Context, d time.Duration) {
	if e.failures.count >= refuseAfter {
		err := refuse(ctx, e.listeners[0].File, max(d, time.Second), e.failures.said.String())
		if err == nil {
			return
		}
		e.log.Error("engine", "error", err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// runOnce runs one engine to its end.
func (e *engine) runOnce(ctx context.Context) error {
	out, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(&e.failures.said, out) // the sink has no errors
	}()
	defer func() {
		_ = out.SetReadDeadline(time.Now().Add(time.Second)) // a child of the engine may still hold the pipe
		<-copied
		_ = out.Close()
	}()
	ended := make(chan end, 1)
	started := time.Now()
	e.running.Store(true) // before it can answer
	defer e.running.Store(false)
	pid, err := e.fork(theirs, ended)
	_ = theirs.Close()
	if err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	e.log.Info("engine started", "engine", pid)
	select {
	case died := <-ended:
		code, signal := died.code()
		e.failures.note(code, signal, time.Since(started))
		return fmt.Errorf("ended unasked with exit code %d (signal %d)", code, signal)
	case <-ctx.Done():
		e.end(pid, ended)
		return nil
	}
}

func (e *engine) fork(out *os.File, ended chan<- end) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), out.Fd(), out.Fd()}
	for _, l := range e.listeners {
		files = append(files, l.File.Fd())
	}
	attr := &syscall.ProcAttr{
		Dir: "/", Env: e.env, Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}
	return e.reaper.fork(e.args, attr, func(died end) { ended <- died })
}

// end asks the engine to stop the containers and itself, and kills it when that takes too long.
func (e *engine) end(pid int, ended <-chan end) {
	e.log.Info("stopping the engine", "engine", pid)
	_ = e.reaper.signal(pid, unix.SIGTERM) // an engine that has just died is heard of below
	late := time.NewTimer(e.stop)
	defer late.Stop()
	select {
	case died := <-ended:
		code, _ := died.code()
		e.log.Info("engine ended", "code", code)
	case <-late.C:
		e.log.Warn("engine did not stop in time")
		_ = e.reaper.signal(pid, unix.SIGKILL)
		<-ended
	}
}

// DefaultCrun is where crun is looked for when no path is given: beside this program, then in the usual folders.
func DefaultCrun(dir string) string {
	for _, d := range []string{dir, "/usr/local/bin", "/usr/bin"} {
		if info, err := os.Stat(d + "/crun"); err == nil && info.Mode()&0o111 != 0 {
			return d + "/crun"
		}
	}
	return dir + "/crun"
}

func (o *Options) config() string { return o.run() + "/config.json" }
