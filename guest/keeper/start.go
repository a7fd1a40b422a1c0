package keeper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
	"naru/guest/logfile"
)

// runtimeEnv is all that the OCI runtime sees of an environment: crun acts upon NOTIFY_SOCKET and LISTEN_FDS, which
// here would be the keeper's own.
var runtimeEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

// maxStderr is how much of a failed runtime's words is passed on, in bytes.
const maxStderr = 8 << 10

// start runs the runtime and keeps the process that it detaches. attacher is nil, or hears all output. Closing abort
// kills the runtime.
func (k *keeper) start(id string, s *keeperapi.Start, conn *net.UnixConn, abort <-chan struct{}) (p *process, a *attacher, err error) {
	if id == "" || len(s.Args) == 0 || s.PidFile == "" {
		return nil, nil, errors.New("start: id, args and pidFile are needed")
	}
	awaiters, err := k.table.reserve(id)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			k.table.release(id, awaiters)
		}
	}()
	p = &process{id: id, durable: s.Durable, stdinOnce: s.StdinOnce, reaper: k.reaper}
	if s.Log != "" {
		if p.log, err = logfile.NewWriter(s.Log, s.LogConfig); err != nil {
			return nil, nil, err
		}
		defer func(l *logfile.Writer) {
			if err != nil {
				_ = l.Close()
			}
		}(p.log)
	}
	if s.Attach != nil {
		a = newAttacher(conn, *s.Attach, s.ConsoleSocket != "")
		a.patient = true
		p.attachers = []*attacher{a}
	}
	for _, w := range awaiters {
		p.attachers = append(p.attachers, w.a)
	}
	k.reaper.begin()
	defer k.reaper.finish()
	if err := k.launch(p, s, abort); err != nil {
		return nil, nil, err
	}
	k.table.put(p)
	p.pump()
	if err := k.reaper.claim(p.pid, func(e end) { go p.conclude(e, k.table, k.log) }); err != nil {
		k.table.abandon(id)
		p.close()
		return nil, nil, err
	}
	for _, w := range awaiters {
		w.started <- p
	}
	return p, a, nil
}

// launch runs the runtime with the process's stdio and reads the pid it left.
func (k *keeper) launch(p *process, s *keeperapi.Start, abort <-chan struct{}) (err error) {
	std, err := newStdio(p, s)
	if err != nil {
		return err
	}
	defer func() {
		std.closeTheirs()
		if err != nil {
			std.closeOurs(p)
		}
	}()
	ended := make(chan end, 1)
	attr := &syscall.ProcAttr{
		Dir: "/", Env: runtimeEnv, Files: []uintptr{std.theirs(0), std.theirs(1), std.theirs(2)},
		Sys: &syscall.SysProcAttr{Setsid: true}, // a ^C at the keeper's own terminal is not for containers
	}
	runtime, err := k.reaper.fork(s.Args, attr, func(e end) { ended <- e })
	if err != nil {
		return &keeperapi.Error{Class: keeperapi.ClassRuntime, Message: err.Error()}
	}
	std.closeTheirs()
	var e end
	select { // a runtime that hangs must hold neither the keeper nor the next engine
	case e = <-ended:
	case <-k.ending:
	case <-abort:
	}
	if e.when.IsZero() {
		_ = k.reaper.signal(runtime, unix.SIGKILL) // it may just have ended
		e = <-ended
	}
	if code, _ := e.code(); code != 0 {
		return &keeperapi.Error{
			Class: keeperapi.ClassRuntime, Message: fmt.Sprintf("runtime ended with exit code %d", code), Stderr: std.words(),
		}
	}
	if p.pid, err = readPid(s.PidFile); err != nil {
		return err
	}
	p.started = time.Now().UTC()
	if err := std.hand(p, s); err != nil {
		k.reaper.discard(p.pid)
		return err
	}
	return nil
}

func readPid(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("read pid file %s: no pid in %q", path, text)
	}
	return pid, nil
}
