package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"naru/platform"
	"naru/platform/console"
	"naru/platform/vhostvsock"
)

// Start starts m under QEMU.
func (b *Backend) Start(ctx context.Context, m *platform.Machine) (platform.VM, error) {
	h, err := probe(ctx, m.Arch)
	if err != nil {
		return nil, err
	}
	own := *m
	s := &starter{log: b.log(), m: &own, h: h, vm: newVM(b.log(), h)}
	err = s.start(ctx)
	if s.unpacked != "" {
		_ = os.Remove(s.unpacked)
	}
	if err != nil {
		s.vm.Kill()
		s.vm.fail()
		return nil, fmt.Errorf("start qemu: %w", err)
	}
	go s.vm.run()
	return s.vm, nil
}

// starter holds what only a start needs.
type starter struct {
	log logger
	m   *platform.Machine
	h   *host
	vm  *vm

	unpacked string // a file to remove once QEMU has read it
}

func (s *starter) start(ctx context.Context) error {
	log, err := console.Create(s.m.Console)
	if err != nil {
		return err
	}
	s.vm.keep(log)
	if err := s.vsock(); err != nil {
		return err
	}
	if err := s.shares(); err != nil {
		return err
	}
	qmp, err := s.listen(qmpSocket)
	if err != nil {
		return err
	}
	consoleIn, err := s.listen(consoleSocket)
	if err != nil {
		return err
	}
	var notify *net.UnixListener
	if s.m.Notify != "" {
		if notify, err = s.listen(notifySocket); err != nil {
			return err
		}
	}
	s.unpack()
	if err := s.qemu(); err != nil {
		return err
	}
	// QEMU connects to all of them before it greets, or ends and says why.
	stop := s.vm.closeOnEnd(qmp, consoleIn, notify)
	defer stop()
	conns := map[*net.UnixListener]net.Conn{}
	for _, ln := range []*net.UnixListener{consoleIn, notify, qmp} {
		if ln == nil {
			continue
		}
		conn, err := accept(ctx, ln)
		if err != nil {
			return s.why(err)
		}
		s.vm.keep(conn)
		conns[ln] = conn
	}
	mon, err := greet(ctx, conns[qmp], s.log)
	if err != nil {
		return s.why(err)
	}
	s.vm.start(mon, func() { _, _ = io.Copy(log, conns[consoleIn]) })
	if notify != nil {
		s.vm.notify = conns[notify]
	}
	return nil
}

// why prefers QEMU's own words to ours when it has ended.
func (s *starter) why(err error) error {
	select {
	case <-s.vm.qemu.done:
	case <-time.After(time.Second): // it closed a socket, so it is about to end
	}
	select {
	case <-s.vm.qemu.done:
		if said := s.vm.stderr.lastLine(); said != "" {
			return errors.New(said)
		}
		return fmt.Errorf("it ended at once: %w", errors.Join(s.vm.qemu.err, err))
	default:
		return err
	}
}

// unpack gives QEMU the kernel unpacked where that is quicker.
func (s *starter) unpack() {
	if s.m.Arch != "amd64" || s.h.Accel != "tcg" {
		return
	}
	dst := s.path("vmlinux")
	if err := unpackKernel(s.m.Kernel, dst); err != nil {
		s.log.Info("the guest unpacks its kernel itself", "reason", err)
		return
	}
	s.m.Kernel = dst
	s.unpacked = dst
}

func (s *starter) path(name string) string { return filepath.Join(s.m.Run, name) }

// listen makes a socket for one of our own children. It is removed when the first has connected.
func (s *starter) listen(name string) (*net.UnixListener, error) {
	_ = os.Remove(s.path(name)) // of a run that was killed
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path(name), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", s.path(name), err)
	}
	s.vm.keep(ln)
	return ln, nil
}

func accept(ctx context.Context, ln *net.UnixListener) (net.Conn, error) {
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	conn, err := ln.Accept()
	if err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	_ = ln.Close()
	return conn, nil
}

func (s *starter) vsock() error {
	if s.h.Vsock != vsockUser {
		return nil
	}
	dev, err := vhostvsock.New(vhostvsock.Options{Socket: s.path(vsockSocket), CID: s.h.CID, Log: s.log})
	if err != nil {
		return fmt.Errorf("make the vsock device: %w", err)
	}
	s.vm.setVsock(dev)
	return nil
}

// shares starts one virtiofsd for each share.
func (s *starter) shares() error {
	if len(s.m.Shares) == 0 {
		return nil
	}
	daemon, err := findVirtiofsd()
	if err != nil {
		return err
	}
	for i, share := range s.m.Shares {
		if err := s.share(daemon, i, share); err != nil {
			return fmt.Errorf("share %s: %w", share.Path, err)
		}
	}
	return nil
}

func (s *starter) share(daemon *virtiofsd, i int, share platform.Share) error {
	ln, err := s.listen(shareSocket(i))
	if err != nil {
		return err
	}
	listen, err := ln.File()
	if err != nil {
		return err
	}
	defer listen.Close()
	source, err := openSource(share.Path, share.ReadOnly)
	if err != nil {
		return err
	}
	defer source.Close()
	path := share.Path
	if share.ReadOnly {
		path = fmt.Sprintf("/proc/self/fd/%d/.", sourceFD)
	}
	cmd := exec.Command(daemon.path, daemon.command(share, path)...)
	cmd.ExtraFiles = []*os.File{listen, source}
	cmd.Stderr = &lineLog{log: s.log, name: "virtiofsd"}
	c, err := startChild(cmd)
	if err != nil {
		return err
	}
	s.vm.addHelper(c, share.Path)
	return nil
}

func (s *starter) qemu() error {
	cmd := exec.Command(s.h.Binary, arguments(s.m, s.h)...)
	cmd.Stderr = s.vm.stderr
	cmd.Stdout = s.vm.stderr
	s.log.Info("start qemu", "accel", s.h.Accel, "vsock", s.h.Vsock, "command", strings.Join(cmd.Args, " "))
	c, err := startChild(cmd)
	if err != nil {
		return err
	}
	s.vm.qemu = c
	return nil
}

// lineLog logs what a child prints, one record per write, and remembers the last line.
type lineLog struct {
	log  logger
	name string

	// mu guards last.
	mu   sync.Mutex
	last string
}

func (l *lineLog) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if line = strings.TrimSpace(line); line != "" {
			l.log.Info(l.name, "says", line)
			l.mu.Lock()
			l.last = line
			l.mu.Unlock()
		}
	}
	return len(p), nil
}

func (l *lineLog) lastLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
