package keeper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
	"naru/guest/logfile"
)

// stdio is what a runtime and its process are given. crun passes its own stdio on to the container, and changes the
// owner of the pipes to the container's user, so that /dev/stdout can be opened there again.
type stdio struct {
	child   [3]int   // the runtime's descriptors, -1 when closed
	stdin   *os.File // our end, nil for /dev/null
	stdout  *os.File // nil with a terminal
	stderr  *os.File // the process's, or with a terminal only the runtime's own words
	console *console // nil without a terminal
}

// newStdio makes the pipes, or listens for the terminal.
func newStdio(p *process, s *keeperapi.Start) (_ *stdio, err error) {
	io := &stdio{child: [3]int{-1, -1, -1}}
	defer func() {
		if err != nil {
			io.closeTheirs()
			io.closeOurs(p)
			err = fmt.Errorf("make stdio: %w", err)
		}
	}()
	tty := s.ConsoleSocket != ""
	if s.Stdin && !tty {
		err = pipe(&io.child[0], &io.stdin, true)
	} else {
		io.child[0], err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	if err := pipe(&io.child[2], &io.stderr, false); err != nil {
		return nil, err
	}
	if !tty {
		return io, pipe(&io.child[1], &io.stdout, false)
	}
	if io.child[1], err = unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	io.console, err = listenConsole(s.ConsoleSocket, s.Rows, s.Cols)
	return io, err
}

// pipe makes a pipe with a blocking end for the child and a non-blocking one for us: a goroutine that waits for it is
// then no thread.
func pipe(child *int, ours **os.File, write bool) error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	mine := fds[0]
	*child = fds[1]
	if write {
		mine, *child = fds[1], fds[0]
	}
	if err := unix.SetNonblock(mine, true); err != nil {
		_ = unix.Close(mine)
		return os.NewSyscallError("fcntl", err)
	}
	*ours = os.NewFile(uintptr(mine), "pipe")
	return nil
}

func (io *stdio) theirs(i int) uintptr { return uintptr(io.child[i]) }

// closeTheirs closes the child's ends. Harmless when done twice.
func (io *stdio) closeTheirs() {
	for i, fd := range io.child {
		if fd >= 0 {
			_ = unix.Close(fd)
			io.child[i] = -1
		}
	}
}

// closeOurs is for a start that came to nothing.
func (io *stdio) closeOurs(p *process) {
	for _, f := range []*os.File{io.stdin, io.stdout, io.stderr, p.master} {
		if f != nil {
			_ = f.Close()
		}
	}
	if io.console != nil {
		io.console.close()
	}
}

// words is what a runtime that has failed printed: to its stderr, or in an exec, which has turned that to the
// terminal by then, to the terminal.
func (io *stdio) words() string {
	said := ready(io.stderr)
	if said == "" && io.console != nil {
		said = ready(io.console.sent())
	}
	return said
}

// ready reads what f has, at most maxStderr bytes, without waiting for more. f may be nil.
func ready(f *os.File) string {
	if f == nil {
		return ""
	}
	buf := make([]byte, maxStderr)
	n := 0
	raw, err := f.SyscallConn()
	if err != nil {
		return ""
	}
	_ = raw.Read(func(fd uintptr) bool {
		for n < len(buf) {
			m, err := unix.Read(int(fd), buf[n:])
			if err == unix.EINTR {
				continue
			}
			if err != nil || m <= 0 {
				break
			}
			n += m
		}
		return true
	})
	return string(buf[:n])
}

// hand gives our ends to the process that now runs.
func (io *stdio) hand(p *process, s *keeperapi.Start) (err error) {
	if io.console == nil {
		p.stdin = io.stdin
		p.outputs = []output{{logfile.Stdout, io.stdout}, {logfile.Stderr, io.stderr}}
		return nil
	}
	if p.master, err = io.console.take(); err != nil {
		return err
	}
	_ = io.stderr.Close()
	if s.Stdin {
		p.stdin = p.master
	}
	p.outputs = []output{{logfile.Stdout, p.master}}
	return nil
}

// console receives a terminal's master from the runtime; see the console socket in runc's docs/terminals.md.
type console struct {
	ln         *net.UnixListener
	rows, cols uint16
	done       chan struct{}
	master     *os.File // valid after done
	err        error    // valid after done
}

// consolePatience bounds how long the master may take to arrive once the runtime has ended: it was sent before.
const consolePatience = 10 * time.Second

func listenConsole(path string, rows, cols uint16) (*console, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	ln, err := listenUnix(path, 0o600)
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(true)
	c := &console{ln: ln, rows: rows, cols: cols, done: make(chan struct{})}
	go c.receive()
	return c, nil
}

// receive is the console's goroutine: it sets the size at once, most often before the program begins.
func (c *console) receive() {
	defer close(c.done)
	conn, err := c.ln.AcceptUnix()
	if err != nil {
		c.err = fmt.Errorf("receive terminal: %w", err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(consolePatience))
	if c.master, c.err = receiveFile(conn); c.err != nil {
		c.err = fmt.Errorf("receive terminal: %w", c.err)
		return
	}
	if c.rows > 0 && c.cols > 0 {
		c.err = setSize(c.master, c.rows, c.cols)
	}
}

// take waits for the master; the runtime has ended.
func (c *console) take() (*os.File, error) {
	_ = c.ln.SetDeadline(time.Now().Add(consolePatience))
	<-c.done
	_ = c.ln.Close()
	return c.master, c.err
}

// consoleGrace is for a master that was sent but not received when its runtime ended.
const consoleGrace = 100 * time.Millisecond

// sent is the master if the runtime, which has ended, has sent one; else nil. It stays the console's.
func (c *console) sent() *os.File {
	_ = c.ln.SetDeadline(time.Now().Add(consoleGrace))
	<-c.done
	return c.master
}

// close ends the waiting of a runtime that failed, and drops what came.
func (c *console) close() {
	_ = c.ln.Close()
	<-c.done
	if c.master != nil {
		_ = c.master.Close()
	}
}

// receiveFile reads one descriptor sent by SCM_RIGHTS.
func receiveFile(conn *net.UnixConn) (*os.File, error) {
	var name [4096]byte
	oob := make([]byte, unix.CmsgSpace(4*4))
	_, n, _, _, err := conn.ReadMsgUnix(name[:], oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	var fds []int
	for i := range messages {
		if got, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	if len(fds) != 1 {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return nil, errors.New("no single descriptor was sent")
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		_ = unix.Close(fds[0])
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}
