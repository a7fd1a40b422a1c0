package vhostvsock

import (
	"io"
	"os"
)

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	data, err := c.await(len(p) > 0)
	if err != nil {
		return 0, c.readError(err)
	}
	n := copy(p, data)
	c.in.take(n)
	for n < len(p) { // what lies in the next chunks
		m := copy(p[n:], c.in.peek())
		if m == 0 {
			break
		}
		c.in.take(m)
		n += m
	}
	c.consumed(n)
	return n, nil
}

// WriteTo implements io.WriterTo, so that io.Copy from a stream does without a buffer.
func (c *conn) WriteTo(w io.Writer) (total int64, err error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	for {
		data, err := c.await(true)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, c.readError(err)
		}
		n, err := w.Write(data)
		if n > 0 && n <= len(data) {
			c.in.take(n)
			c.consumed(n)
			total += int64(n)
		}
		if err == nil && n != len(data) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return total, err
		}
	}
}

// await returns the bytes at the front of the buffer, which stay there; block waits until there are some. readMu is
// held.
func (c *conn) await(block bool) ([]byte, error) {
	for {
		if c.readBy.passed() {
			return nil, os.ErrDeadlineExceeded
		}
		c.d.mu.Lock()
		end, now := c.readErr, c.readNow
		c.d.mu.Unlock()
		if now {
			return nil, end
		}
		// In this order: an end comes after all data, so that an empty buffer is final if end was set before.
		if data := c.in.peek(); len(data) > 0 || !block {
			return data, nil
		}
		if end != nil {
			return nil, end
		}
		select {
		case <-c.readable:
		case <-c.readBy.wait():
		}
	}
}

// consumed counts bytes that were read, and gives the guest credit before it runs out of it.
func (c *conn) consumed(n int) {
	if c.forwarded.Add(uint32(n))-c.announced.Load() < receiveBuffer/4 {
		return
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.state == open && c.guestShut&shutSend == 0 {
		c.owe(oweCredit)
	}
}
