package vhostvsock

import (
	"io"
	"net"
	"syscall"
	"time"
)

// Close implements net.Conn. What was written reaches the guest first; what was not read is dropped.
func (c *conn) Close() error {
	c.d.mu.Lock()
	if c.state == open {
		c.state = closing
		c.shut = shutBoth
		c.timer = time.AfterFunc(c.d.closeTimeout, func() { c.forget(net.ErrClosed) })
		c.endNow(net.ErrClosed)
		c.owe(oweShutdown)
	} else {
		c.endNow(net.ErrClosed)
	}
	c.d.mu.Unlock()
	c.drop()
	return nil
}

// endNow ends reads and writes from this side.
func (c *conn) endNow(err error) {
	c.readErr, c.readNow, c.writeErr = err, true, err
	wake(c.readable)
	wake(c.writable)
}

// CloseRead tells the guest that nothing more will be read. Reads give io.EOF from now on.
func (c *conn) CloseRead() error {
	c.d.mu.Lock()
	if err := c.half(shutReceive); err != nil {
		c.d.mu.Unlock()
		return err
	}
	c.readErr, c.readNow = io.EOF, true
	wake(c.readable)
	c.d.mu.Unlock()
	c.drop()
	return nil
}

// CloseWrite tells the guest that all data was sent. A Write that is going on fails, as do all after it.
func (c *conn) CloseWrite() error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.endWrite(syscall.EPIPE)
	return c.half(shutSend)
}

func (c *conn) half(what uint32) error {
	if c.state != open {
		err := error(syscall.ENOTCONN)
		if c.state == closing {
			err = net.ErrClosed
		}
		return c.opError("close", err)
	}
	if c.shut&what == 0 {
		c.shut |= what
		c.owe(oweShutdown)
	}
	return nil
}

// drop gives the buffer back unless a reader is just at it.
func (c *conn) drop() {
	if !c.readMu.TryLock() {
		return
	}
	defer c.readMu.Unlock()
	for data := c.in.peek(); len(data) > 0; data = c.in.peek() {
		c.in.take(len(data))
	}
}

// LocalAddr and RemoteAddr are of type *Addr.
func (c *conn) LocalAddr() net.Addr  { return &c.local }
func (c *conn) RemoteAddr() net.Addr { return &c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.readBy.set(t)
	c.writeBy.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.readBy.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeBy.set(t)
	return nil
}
