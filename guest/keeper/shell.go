package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// shellPath is the shell of the guest.
const shellPath = "/bin/sh"

// serveShell runs a shell, or one command, with its stdio on the stream: on a terminal when hello names one, else on
// pipes with stdout and stderr together. It ends when the output is at its end; when the host goes away the shell is
// hung up.
func (k *keeper) serveShell(ctx context.Context, conn duplex, in io.Reader, hello *api.Hello) error {
	args := []string{shellPath}
	if hello.Command != "" {
		args = append(args, "-c", hello.Command)
	} else if hello.Term != "" {
		args = append(args, "-l")
	}
	io3, err := newShellStdio(hello)
	if err != nil {
		return fmt.Errorf("shell: %w", err)
	}
	defer io3.close()
	env := append([]string{"HOME=/root", "USER=root"}, runtimeEnv...)
	if hello.Term != "" {
		env = append(env, "TERM="+hello.Term)
	}
	attr := &syscall.ProcAttr{
		Dir: "/", Env: env, Files: io3.child,
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: hello.Term != "", Ctty: 0},
	}
	pid, err := k.reaper.fork(args, attr, func(end) {})
	if err != nil {
		_, _ = fmt.Fprintf(conn, "naru: %v\n", err)
		return fmt.Errorf("shell: %w", err)
	}
	io3.closeChild()
	hangUp := func() {
		_ = k.reaper.signalGroup(pid, unix.SIGHUP)   // it may have ended
		_ = io3.out.SetReadDeadline(time.Unix(1, 0)) // what does not mind may live on, but nobody listens to it
	}
	defer context.AfterFunc(ctx, hangUp)()
	go func() { // ends with the connection
		_, _ = io.Copy(onlyWriter{io3.in}, in)
		if hello.Term == "" {
			_ = io3.in.Close()
			awaitHangup(conn)
		}
		hangUp()
	}()
	_, copyErr := io.Copy(conn, struct{ io.Reader }{io3.out})
	if copyErr != nil && !errors.Is(copyErr, unix.EIO) { // which is a terminal whose last user has gone
		hangUp()
		return nil // the host has hung up, or the keeper ends
	}
	return conn.CloseWrite()
}

// shellStdio is a shell's stdio. in and out are the same file for a terminal.
type shellStdio struct {
	child   []uintptr
	theirs  []*os.File
	in, out *os.File
}

func newShellStdio(hello *api.Hello) (*shellStdio, error) {
	if hello.Term != "" {
		master, slave, err := openPty()
		if err != nil {
			return nil, err
		}
		s := &shellStdio{theirs: []*os.File{slave}, in: master, out: master}
		s.child = []uintptr{slave.Fd(), slave.Fd(), slave.Fd()}
		if hello.Rows > 0 && hello.Cols > 0 {
			err = setSize(master, hello.Rows, hello.Cols)
		}
		return s, err
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), theirIn.Close())
	}
	s := &shellStdio{theirs: []*os.File{theirIn, theirOut}, in: in, out: out}
	s.child = []uintptr{theirIn.Fd(), theirOut.Fd(), theirOut.Fd()}
	return s, nil
}

func (s *shellStdio) closeChild() {
	for _, f := range s.theirs {
		_ = f.Close()
	}
	s.theirs = nil
}

func (s *shellStdio) close() {
	s.closeChild()
	_ = s.in.Close()
	_ = s.out.Close()
}

// openPty makes a new terminal; see pts(4).
func openPty() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open terminal: %w", err), master.Close())
	}
	return master, slave, nil
}
