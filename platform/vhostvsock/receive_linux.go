package vhostvsock

import (
	"errors"
	"fmt"
	"io"
	"syscall"
)

var errShortBuffer = errors.New("receive buffer without room for data")

const (
	// receiveBuffer is the credit that each stream gives the guest, in bytes.
	receiveBuffer = 256 << 10
	// receiveBatch is after how many packets the guest gets its buffers back: interrupts are dear under TCG, and
	// waiting longer would let the guest run out of them.
	receiveBatch = 16
)

// kickedTX is called when the guest may have sent packets. It lets go of the ring after each batch, so that a guest
// that never stops sending cannot keep QEMU from stopping it.
func (d *device) kickedTX() {
	for d.receive() {
	}
}

// receive takes one batch of packets and says whether there are more.
func (d *device) receive() (more bool) {
	d.txMu.Lock()
	defer d.txMu.Unlock()
	r := d.rings[txQueue]
	if r.q == nil {
		return false
	}
	more, err := d.receiveFrom(r.q)
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.broken(r, err)
		return false
	}
	if r.q.publish() {
		r.interrupt()
	}
	if more {
		return true
	}
	more, err = r.q.await()
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.broken(r, err)
	}
	return more
}

func (d *device) receiveFrom(q *queue) (more bool, err error) {
	for range receiveBatch {
		ch, ok, err := q.take(false)
		if err != nil || !ok {
			return false, err
		}
		d.packet(ch)
		q.put(ch.head, 0)
	}
	return true, nil
}

// packet does what one packet says. It never blocks.
func (d *device) packet(ch chain) {
	var head [headerSize]byte
	in := source{segments: ch.segments}
	if in.read(head[:]) < headerSize {
		return
	}
	h := parseHeader(&head)
	if h.srcCID != uint64(d.cid) || h.dstCID != HostCID {
		return // addressed wrongly: Linux does not answer either
	}
	c := d.accept(h, ch.size-headerSize)
	if c == nil {
		return
	}
	for left := int(h.length); left > 0; {
		n := in.read(c.in.room(left))
		c.in.publish(n)
		left -= n
	}
	wake(c.readable)
}

// accept does all of a packet but its data; c is the stream that gets that, nil for none. size is how many bytes
// follow the header.
func (d *device) accept(h header, size int) (c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c = d.streams[h.dstPort]
	if c == nil || c.remote.Port != h.srcPort || h.typ != typeStream {
		if h.op != opRst {
			d.refuse(h)
		}
		return nil
	}
	c.credit.update(h.bufAlloc, h.fwdCnt)
	deliver, err := c.packet(h, size)
	switch {
	case err != nil:
		d.log.Warn("guest broke the rules of a vsock stream, which is reset", "port", c.remote.Port, "error", err)
		c.gone(fmt.Errorf("%w: %w", err, syscall.ECONNRESET))
		c.owe(oweReset)
	case c.hasWork() && !c.queued:
		d.out.push(c)
		d.pump()
	}
	if !deliver {
		return nil
	}
	return c
}

// packet changes the stream's state; mu is held. An error means that the guest broke the rules.
func (c *conn) packet(h header, size int) (deliver bool, err error) {
	if h.op == opRst {
		c.resetByGuest()
		return false, nil
	}
	if (c.state == connecting) != (h.op == opResponse) {
		return false, fmt.Errorf("operation %d in the state %s", h.op, c.state)
	}
	switch h.op {
	case opResponse:
		c.state, c.accepted = open, true
		close(c.answered)
	case opShutdown:
		c.shutByGuest(h.flags)
	case opRW:
		return c.data(int64(h.length), size)
	case opCreditUpdate:
	case opCreditRequest:
		c.owe(oweCredit)
	default: // also a request: the host does not listen
		return false, fmt.Errorf("operation %d", h.op)
	}
	return false, nil
}

func (c *conn) resetByGuest() {
	if c.state == connecting {
		c.gone(syscall.ECONNREFUSED)
		return
	}
	c.gone(syscall.ECONNRESET)
}

// shutByGuest does a SHUTDOWN. All data before it lies in the buffer already, so a full one can be answered at once:
// the guest waits for the answer to forget the stream.
func (c *conn) shutByGuest(flags uint32) {
	c.guestShut |= flags & shutBoth
	if c.guestShut&shutSend != 0 {
		c.endRead(io.EOF)
	}
	if c.guestShut&shutReceive != 0 {
		c.endWrite(syscall.EPIPE)
	}
	if c.guestShut == shutBoth {
		c.gone(syscall.EPIPE)
		c.owe(oweReset)
	}
}

// data checks an RW packet against what the guest may send.
func (c *conn) data(length int64, size int) (deliver bool, err error) {
	switch {
	case length > int64(size):
		return false, fmt.Errorf("%d bytes of data in a packet of %d", length, size)
	case c.guestShut&shutSend != 0:
		return false, errors.New("data after the end")
	case length > receiveBuffer-int64(c.received-c.forwarded.Load()):
		return false, errors.New("overran its credit")
	}
	c.received += uint32(length)
	if c.shut&shutReceive != 0 { // nobody reads it
		c.forwarded.Add(uint32(length))
		return false, nil
	}
	return length > 0, nil
}

// source reads the bytes of a chain one after another.
type source struct {
	segments [][]byte
}

// read fills p as far as there are bytes.
func (s *source) read(p []byte) (n int) {
	for n < len(p) && len(s.segments) > 0 {
		m := copy(p[n:], s.segments[0])
		n += m
		if s.segments[0] = s.segments[0][m:]; len(s.segments[0]) == 0 {
			s.segments = s.segments[1:]
		}
	}
	return n
}
