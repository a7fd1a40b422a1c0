package vhostvsock

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type connState string

const (
	connecting connState = "connecting"
	open       connState = "open"
	closing    connState = "closing" // closed here; waits for the guest's reset
	gone       connState = "gone"
)

// conn is one stream. Fields are guarded by the device's mu unless it says otherwise.
type conn struct {
	d             *device
	local, remote Addr // never change

	state     connState
	answered  chan struct{} // closed when state leaves connecting
	accepted  bool          // by the guest
	shut      uint32        // what we told, or owe to tell, the guest that we will not do any more
	guestShut uint32        // the same of the guest
	readErr   error         // what reads give once the buffer is empty; nil while there can be more
	readNow   bool          // the buffer does not matter: closed here
	writeErr  error         // what writes give; nil while they can succeed
	timer     *time.Timer   // ends the state closing

	// To the guest.
	credit  credit
	owed    uint8  // control packets
	pending []byte // what is left of the Write that is going on: the caller's memory
	waiting bool   // that Write sleeps
	queued  bool   // in the device's fifo
	next    *conn

	// From the guest.
	received  uint32 // bytes, modulo 2^32
	forwarded atomic.Uint32
	announced atomic.Uint32 // forwarded as the guest knows it
	in        buffer        // has a lock of its own

	readMu, writeMu    sync.Mutex    // one reader, one writer at a time
	readable, writable chan struct{} // a token: look again
	readBy, writeBy    deadline
}

func newConn(d *device, local, remote Addr) *conn {
	return &conn{
		d: d, local: local, remote: remote, state: connecting, answered: make(chan struct{}),
		readable: make(chan struct{}, 1), writable: make(chan struct{}, 1),
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (c *conn) endRead(err error) {
	if c.readErr == nil {
		c.readErr = err
	}
	wake(c.readable)
}

func (c *conn) endWrite(err error) {
	if c.writeErr == nil {
		c.writeErr = err
	}
	wake(c.writable)
}

// gone ends the stream without a word to the guest. Data that has come can still be read.
func (c *conn) gone(err error) {
	if c.state == gone {
		return
	}
	if c.state == connecting {
		close(c.answered)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.state = gone
	c.owed = 0
	delete(c.d.streams, c.local.Port)
	c.endRead(err)
	c.endWrite(err)
}

// forget gives up waiting for the guest, and tells it unless it has not heard of the stream.
func (c *conn) forget(err error) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.state == gone {
		return
	}
	known := c.owed&oweRequest == 0
	c.gone(err)
	if known {
		c.owe(oweReset)
	}
}

// Write implements net.Conn. It returns when the guest's buffers have taken all of p.
func (c *conn) Write(p []byte) (int, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.writeErr != nil {
		return 0, c.opError("write", c.writeErr)
	}
	if c.writeBy.passed() {
		return 0, c.opError("write", os.ErrDeadlineExceeded)
	}
	c.pending = p
	if c.hasWork() {
		c.d.out.push(c)
		c.d.pump()
	}
	var err error
	for err == nil && len(c.pending) > 0 {
		switch {
		case c.writeErr != nil:
			err = c.opError("write", c.writeErr)
		case c.writeBy.passed():
			err = c.opError("write", os.ErrDeadlineExceeded)
		default:
			c.sleep()
		}
	}
	n := len(p) - len(c.pending)
	c.pending = nil
	return n, err
}

// sleep lets go of mu until the Write that is going on has something to do.
func (c *conn) sleep() {
	c.waiting = true
	c.d.mu.Unlock()
	select {
	case <-c.writable:
	case <-c.writeBy.wait():
	}
	c.d.mu.Lock()
	c.waiting = false
}

func (c *conn) readError(err error) error {
	if err == io.EOF {
		return err
	}
	return c.opError("read", err)
}

func (c *conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "vsock", Source: &c.local, Addr: &c.remote, Err: err}
}
