package vhostvsock

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fakeGuest is a small AF_VSOCK stack on the rings of a fake VM.
type fakeGuest struct {
	vm     *fakeVM
	rx, tx *fakeRing
	split  bool // header and data in descriptors of their own, as Linux before 6.3 does

	mu      sync.Mutex
	cond    *sync.Cond // free, or anything of a conn
	free    []uint16   // guarded by mu; descriptors of tx
	conns   map[[2]uint32]*guestConn
	listen  map[uint32]chan *guestConn
	packets func(h header, data []byte) bool // guarded by mu; when it returns true, the packet is done with
}

const fakeBuf = 4096

// newFakeGuest boots: after it, Dial works.
func newFakeGuest(t testing.TB, num uint16, eventIdx, split bool) (*Device, *fakeGuest) {
	t.Helper()
	dev, vm := startDevice(t)
	vm.negotiate(eventIdx)
	g := &fakeGuest{vm: vm, split: split, conns: map[[2]uint32]*guestConn{}, listen: map[uint32]chan *guestConn{}}
	g.cond = sync.NewCond(&g.mu)
	g.rx = vm.newRing(rxQueue, num, 0, 0x100000, fakeBuf, eventIdx)
	g.tx = vm.newRing(txQueue, num, 0x20000, fakeHigh, maxPayload/16, eventIdx)
	g.rx.start(0)
	g.tx.start(0)
	for i := range num {
		g.free = append(g.free, i)
	}
	g.fill()
	var done sync.WaitGroup
	done.Go(g.receiveLoop)
	done.Go(g.reclaimLoop)
	t.Cleanup(func() {
		_ = vm.call[rxQueue].Close()
		_ = vm.call[txQueue].Close()
		done.Wait()
	})
	return dev, g
}

// fill makes all receive buffers available.
func (g *fakeGuest) fill() {
	r := g.rx
	for i := uint16(0); i < r.num; i++ {
		if !g.split {
			r.setDesc(i, r.bufs+uint64(i)*fakeBuf, fakeBuf, descWrite, 0)
			r.offer(i)
			continue
		}
		r.setDesc(i, r.bufs+uint64(i)*fakeBuf, headerSize, descWrite|descNext, i+1)
		r.setDesc(i+1, r.bufs+uint64(i)*fakeBuf+headerSize, fakeBuf, descWrite, 0)
		r.offer(i)
		i++
	}
}

func (g *fakeGuest) receiveLoop() {
	for g.rx.wait() {
		var back []uint16
		g.rx.reap(func(head uint16, n uint32) {
			p := g.vm.at(g.rx.bufs+uint64(head)*fakeBuf, int(n))
			g.receive(parseHeader((*[headerSize]byte)(p)), bytes.Clone(p[headerSize:]))
			back = append(back, head)
		})
		if len(back) > 0 {
			g.rx.offer(back...)
		}
	}
}

func (g *fakeGuest) reclaimLoop() {
	for g.tx.wait() {
		g.mu.Lock()
		g.tx.reap(func(head uint16, _ uint32) { g.free = append(g.free, head) })
		g.cond.Broadcast()
		g.mu.Unlock()
	}
}

// send sends one packet; mu is held, and let go of while the ring is full.
func (g *fakeGuest) send(h header, data []byte) {
	for len(g.free) == 0 {
		g.cond.Wait()
	}
	i := g.free[len(g.free)-1]
	g.free = g.free[:len(g.free)-1]
	var head [headerSize]byte
	h.srcCID, h.dstCID, h.typ, h.length = testCID, HostCID, typeStream, uint32(len(data))
	h.put(&head)
	b := g.tx.buf(i)
	n := copy(b, head[:])
	n += copy(b[n:], data)
	g.tx.setDesc(i, g.tx.bufs+uint64(i)*uint64(g.tx.bufSize), uint32(n), 0, 0)
	g.tx.offer(i)
}

// listenOn accepts connections to a port.
func (g *fakeGuest) listenOn(port uint32) <-chan *guestConn {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listen[port] = make(chan *guestConn, 300)
	return g.listen[port]
}

func (g *fakeGuest) receive(h header, data []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.packets != nil && g.packets(h, data) {
		return
	}
	key := [2]uint32{h.dstPort, h.srcPort}
	c := g.conns[key]
	switch {
	case c != nil:
		c.packet(h, data)
	case h.op == opRequest && g.listen[h.dstPort] != nil:
		c = &guestConn{g: g, port: h.dstPort, peer: h.srcPort}
		c.credit.update(h.bufAlloc, h.fwdCnt)
		g.conns[key] = c
		c.send(opResponse, 0, nil)
		g.listen[h.dstPort] <- c
	case h.op != opRst:
		g.send(header{srcPort: h.dstPort, dstPort: h.srcPort, op: opRst}, nil)
	}
	g.cond.Broadcast()
}

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
