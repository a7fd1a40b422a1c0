package vhostvsock

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// guestConn is the guest's end of a stream; everything is guarded by the guest's mu.
type guestConn struct {
	g               *fakeGuest
	port, peer      uint32
	credit          credit
	in              bytes.Buffer
	taken           uint32
	announced       uint32
	shut, peerShut  uint32
	gone, closed    bool
	readBy, writeBy fakeDeadline
}

func (c *guestConn) send(op uint16, flags uint32, data []byte) {
	c.announced = c.taken
	c.g.send(header{
		srcPort: c.port, dstPort: c.peer, op: op, flags: flags, bufAlloc: receiveBuffer, fwdCnt: c.taken,
	}, data)
}

func (c *guestConn) packet(h header, data []byte) {
	c.credit.update(h.bufAlloc, h.fwdCnt)
	switch h.op {
	case opRW:
		if int(h.length) != len(data) || c.in.Len()+len(data) > receiveBuffer {
			c.g.vm.t.Errorf("packet of %d bytes for %d, %d buffered", len(data), h.length, c.in.Len())
		}
		c.in.Write(data)
	case opShutdown:
		c.peerShut |= h.flags
	case opCreditRequest:
		c.send(opCreditUpdate, 0, nil)
	case opRst:
		c.forget()
	}
	c.settle()
}

// settle answers a full shutdown when its data was read, as Linux does.
func (c *guestConn) settle() {
	if !c.gone && c.peerShut == shutBoth && (c.in.Len() == 0 || c.closed) {
		c.send(opRst, 0, nil)
		c.forget()
	}
}

func (c *guestConn) forget() {
	c.gone = true
	c.peerShut = shutBoth
	delete(c.g.conns, [2]uint32{c.port, c.peer})
}

func (c *guestConn) Read(p []byte) (int, error) {
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case c.in.Len() > 0:
			n, _ := c.in.Read(p)
			c.taken += uint32(n)
			if c.taken-c.announced >= receiveBuffer/4 && !c.gone {
				c.send(opCreditUpdate, 0, nil)
			}
			c.settle()
			return n, nil
		case c.peerShut&shutSend != 0 || c.shut&shutReceive != 0:
			return 0, io.EOF
		}
		c.g.cond.Wait()
	}
}

func (c *guestConn) Write(p []byte) (n int, err error) {
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	for {
		switch {
		case c.closed:
			return n, net.ErrClosed
		case c.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		case c.gone || c.peerShut&shutReceive != 0 || c.shut&shutSend != 0:
			return n, syscall.EPIPE
		case len(p) == 0:
			return n, nil
		case c.credit.free() > 0:
			m := min(len(p), int(c.credit.free()), c.g.tx.bufSize-headerSize)
			c.credit.sent += uint32(m)
			c.send(opRW, 0, p[:m])
			n, p = n+m, p[m:]
			continue
		}
		c.g.cond.Wait()
	}
}

func (c *guestConn) shutdown(flags uint32) error {
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	if !c.gone && c.shut|flags != c.shut {
		c.shut |= flags
		c.send(opShutdown, c.shut, nil)
	}
	c.g.cond.Broadcast()
	return nil
}

func (c *guestConn) CloseWrite() error { return c.shutdown(shutSend) }

func (c *guestConn) Close() error {
	_ = c.shutdown(shutBoth)
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	c.closed = true
	c.settle()
	c.g.cond.Broadcast()
	return nil
}

func (c *guestConn) LocalAddr() net.Addr  { return &Addr{testCID, c.port} }
func (c *guestConn) RemoteAddr() net.Addr { return &Addr{HostCID, c.peer} }

func (c *guestConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *guestConn) SetReadDeadline(t time.Time) error {
	c.readBy.set(c.g, t)
	return nil
}

func (c *guestConn) SetWriteDeadline(t time.Time) error {
	c.writeBy.set(c.g, t)
	return nil
}

// fakeDeadline wakes the guest's sleepers when it passes; guarded by the guest's mu.
type fakeDeadline struct{ at time.Time }

func (d *fakeDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *fakeDeadline) set(g *fakeGuest, t time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d.at = t
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.cond.Broadcast()
		})
	}
	g.cond.Broadcast()
}
