package keeper

import (
	"encoding/binary"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
	"naru/guest/logfile"
)

const (
	// bufferLimit is how many bytes wait for a slow attacher before the process has to. As much again may be on its
	// way to it.
	bufferLimit = 1 << 20
	// endedLimit is the same after the process has ended: what is still in its pipes must reach the log at once.
	endedLimit = 4 << 20
	// lateGrace is how long a process waits for an attacher that came later and whose buffer is full. One that takes a
	// buffer's worth in that time slows the process down to its own speed; one that does not is cut off.
	lateGrace = 2 * time.Second
	// keepBuffer is the size up to which an idle attacher keeps its buffers.
	keepBuffer = 64 << 10
)

// attacher sends a process's output to one connection. The process's readers put output into queue; a goroutine of its
// own writes it.
//
// Docker makes the process, its log and all other attachers wait for one whose megabyte is full, for as long as it
// likes. Here only the attachers that were there from the start can do that: they are the foreground of a `run`, whose
// reader at the end of a pipe may be slow and must miss nothing. Whoever attaches later looks on: it must not be able to
// stop the process, and a gap in what it reads would be worse than an end, so that it is cut off.
type attacher struct {
	conn           *net.UnixConn
	framed         bool // Docker's 8-byte headers
	stdout, stderr bool
	patient        bool // the process waits for it; set before it is joined

	mu    sync.Mutex // guards all below
	moved *sync.Cond // any of them changed
	queue []byte
	limit int
	late  *time.Timer // cuts it off; nil while there is room
	ended bool        // no more output will come
	gone  bool        // the peer will not read any more
}

func newAttacher(conn *net.UnixConn, a keeperapi.Attach, tty bool) *attacher {
	at := &attacher{conn: conn, framed: !tty, stdout: a.Stdout, stderr: a.Stderr, limit: bufferLimit}
	if a.Framing != "" {
		at.framed = a.Framing == keeperapi.FramingFrames
	}
	at.moved = sync.NewCond(&at.mu)
	return at
}

// add queues output, and starts the clock when that makes the queue full.
func (a *attacher) add(s logfile.Stream, p []byte) {
	if s == logfile.Stdout && !a.stdout || s == logfile.Stderr && !a.stderr {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return
	}
	if a.framed {
		head := [8]byte{byte(s) + 1}
		binary.BigEndian.PutUint32(head[4:], uint32(len(p)))
		a.queue = append(a.queue, head[:]...)
	}
	a.queue = append(a.queue, p...)
	if len(a.queue) >= a.limit && a.limit == bufferLimit && !a.patient && a.late == nil {
		a.late = time.AfterFunc(lateGrace, a.cut)
	}
	a.moved.Broadcast()
}

// await waits while the queue is full.
func (a *attacher) await() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) >= a.limit && !a.gone {
		a.moved.Wait()
	}
}

// cut ends an attacher that is too slow.
func (a *attacher) cut() {
	a.mu.Lock()
	slow := a.late != nil && !a.ended
	a.mu.Unlock()
	if slow {
		a.drop()
		_ = a.conn.SetDeadline(time.Unix(1, 0)) // ends what its goroutines wait for; then it is closed
	}
}

// loosen lets the output of an ended process in.
func (a *attacher) loosen() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limit = endedLimit
	a.inTime() // nobody waits for it any more
	a.moved.Broadcast()
}

// end says that no more output comes: what is queued is sent, then the connection is half-closed.
func (a *attacher) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	a.inTime()
	a.moved.Broadcast()
}

// drop says that the peer is gone: the process must not wait for it any longer.
func (a *attacher) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone, a.queue = true, nil
	a.inTime()
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
	a.inTime()
	a.moved.Broadcast()
	return p, true
}

// inTime stops the clock. a.mu is held.
func (a *attacher) inTime() {
	if a.late != nil {
		a.late.Stop()
		a.late = nil
	}
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
