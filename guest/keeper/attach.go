package keeper

import (
	"encoding/binary"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
	"naru/guest/logfile"
)

const (
	// bufferLimit is how many bytes wait for a slow attacher before the process has to.
	bufferLimit = 1 << 20
	// endedLimit is the same after the process has ended: what is still in its pipes must reach the log at once.
	endedLimit = 4 << 20
	// keepBuffer is the size up to which an idle attacher keeps its buffers.
	keepBuffer = 64 << 10
)

// attacher sends a process's output to one connection. The process's readers put output into queue; a goroutine of its
// own writes it.
type attacher struct {
	conn           *net.UnixConn
	framed         bool // Docker's 8-byte headers, for a process without a terminal
	stdout, stderr bool

	mu    sync.Mutex // guards all below
	moved *sync.Cond // any of them changed
	queue []byte
	limit int
	ended bool // no more output will come
	gone  bool // the peer will not read any more
}

func newAttacher(conn *net.UnixConn, a keeperapi.Attach, tty bool) *attacher {
	at := &attacher{conn: conn, framed: !tty, stdout: a.Stdout, stderr: a.Stderr && !tty, limit: bufferLimit}
	at.moved = sync.NewCond(&at.mu)
	return at
}

// send queues output and waits while the queue is full.
func (a *attacher) send(s logfile.Stream, p []byte) {
	if s == logfile.Stdout && !a.stdout || s == logfile.Stderr && !a.stderr {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) >= a.limit && !a.gone {
		a.moved.Wait()
	}
	if a.gone {
		return
	}
	if a.framed {
		head := [8]byte{byte(s) + 1}
		binary.BigEndian.PutUint32(head[4:], uint32(len(p)))
		a.queue = append(a.queue, head[:]...)
	}
	a.queue = append(a.queue, p...)
	a.moved.Broadcast()
}

// loosen lets the output of an ended process in.
func (a *attacher) loosen() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limit = endedLimit
	a.moved.Broadcast()
}

// end says that no more output comes: what is queued is sent, then the connection is half-closed.
func (a *attacher) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	a.moved.Broadcast()
}

// drop says that the peer is gone: the process must not wait for it any longer.
func (a *attacher) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone, a.queue = true, nil
	a.moved.Broadcast()
}

// take waits for output and takes all of it, giving spare in exchange.
func (a *attacher) take(spare []byte) (p []byte, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) == 0 && !a.ended && !a.gone {
		a.moved.Wait()
	}
	if len(a.queue) == 0 {
		return nil, false
	}
	p, a.queue = a.queue, spare
	a.moved.Broadcast()
	return p, true
}

// write is the attacher's goroutine.
func (a *attacher) write() {
	var spare []byte
	for {
		p, ok := a.take(spare)
		if !ok {
			_ = a.conn.CloseWrite() // the peer may be gone
			return
		}
		if _, err := a.conn.Write(p); err != nil {
			a.drop()
			return
		}
		if spare = p[:0]; cap(spare) > keepBuffer {
			spare = nil
		}
	}
}

// awaitHangup returns when the peer has closed its end entirely, or conn is closed. A reader at the end of the stream
// cannot tell that from a half-close. On a unix socket poll(2) can; on AF_VSOCK only sending can, be it nothing. The
// runtime's poller wakes us because both are edges to it.
func awaitHangup(conn syscall.Conn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP and POLLERR are always reported
		n, err := unix.Poll(p, 0)
		if err != nil && err != unix.EINTR || n > 0 {
			return true
		}
		return unix.Send(int(fd), nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) == unix.EPIPE
	})
}
