package vhostvsock

// Control packets that a stream owes the guest, sent in the order of their bits.
const (
	oweRequest = 1 << iota
	oweReset   // and nothing after it
	oweCredit
	oweShutdown // after all data: pending is empty by then
)

// maxStray bounds the resets that wait for the guest to give buffers. Further ones are dropped: the guest has not
// read the others.
const maxStray = 256

// pumpBatch is the most packets that are sent without letting go of the lock.
const pumpBatch = 128

// fifo is a queue of streams, linked through them.
type fifo struct {
	head, tail *conn
}

// push appends c unless it is queued already.
func (f *fifo) push(c *conn) {
	if c.queued {
		return
	}
	c.queued, c.next = true, nil
	if f.tail == nil {
		f.head = c
	} else {
		f.tail.next = c
	}
	f.tail = c
}

func (f *fifo) pop() {
	c := f.head
	f.head = c.next
	if f.head == nil {
		f.tail = nil
	}
	c.queued, c.next = false, nil
}

// kickedRX is called when the guest may have given buffers.
func (d *device) kickedRX() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pump()
}

// pump sends what the streams have until there is nothing more or the guest has no more buffers; in that case the
// guest's next kick calls it again. Streams take turns of one packet. It never blocks; mu is held.
//
// Whoever has something new to send calls it, so that a write goes from the caller's memory into the guest's without
// a copy or a goroutine in between.
func (d *device) pump() {
	r := d.rings[rxQueue]
	for n := 0; r.q != nil && d.pending(); n++ {
		if n == pumpBatch {
			r.kickSelf() // the goroutine that waits for kicks goes on
			break
		}
		ch, ok, err := r.q.take(true)
		if err == nil && ok && ch.size <= headerSize {
			err = errShortBuffer
		}
		if err == nil && !ok {
			if r.q.publish() {
				r.interrupt()
			}
			more := false
			if more, err = r.q.await(); err == nil && !more {
				return
			}
		}
		if err != nil {
			d.broken(r, err)
			return
		}
		if ok {
			r.q.put(ch.head, d.emit(ch))
		}
	}
	if r.q != nil && r.q.publish() {
		r.interrupt()
	}
}

// pending drops streams with nothing to send from the front of the queue, and says whether anything is left.
func (d *device) pending() bool {
	for d.out.head != nil && !d.out.head.hasWork() {
		d.out.pop()
	}
	return d.out.head != nil || len(d.stray) > 0
}

// emit writes one packet of whoever's turn it is and returns its size.
func (d *device) emit(ch chain) uint32 {
	if len(d.stray) > 0 {
		h := d.stray[0]
		d.stray = d.stray[1:]
		return scatter(ch, &h, nil)
	}
	c := d.out.head
	d.out.pop()
	n := c.emit(ch)
	if c.hasWork() {
		d.out.push(c)
	}
	return n
}

// refuse owes the guest a reset for a packet that belongs to no stream.
func (d *device) refuse(h header) {
	if len(d.stray) < maxStray {
		d.stray = append(d.stray, header{
			srcCID: HostCID, dstCID: uint64(d.cid), srcPort: h.dstPort, dstPort: h.srcPort, typ: h.typ, op: opRst,
		})
		d.pump()
	}
}

func (c *conn) hasWork() bool {
	return c.owed != 0 || len(c.pending) > 0 && c.writeErr == nil && c.credit.free() > 0
}

// owe queues a control packet and sends it if the guest has a buffer; mu is held.
func (c *conn) owe(what uint8) {
	c.owed |= what
	c.d.out.push(c)
	c.d.pump()
}

// emit writes the stream's next packet; mu is held.
func (c *conn) emit(ch chain) uint32 {
	h := header{
		srcCID: HostCID, dstCID: uint64(c.d.cid), srcPort: c.local.Port, dstPort: c.remote.Port,
		typ: typeStream, bufAlloc: receiveBuffer, fwdCnt: c.forwarded.Load(),
	}
	c.announced.Store(h.fwdCnt)
	switch {
	case c.owed&oweRequest != 0:
		c.owed &^= oweRequest
		h.op = opRequest
	case c.owed&oweReset != 0:
		c.owed = 0
		h.op = opRst
	case c.owed&oweCredit != 0:
		c.owed &^= oweCredit
		h.op = opCreditUpdate
	case c.owed&oweShutdown != 0:
		c.owed &^= oweShutdown
		h.op, h.flags = opShutdown, c.shut
	default:
		n := min(len(c.pending), ch.size-headerSize, int(c.credit.free()), maxPayload)
		h.op, h.length = opRW, uint32(n)
		data := c.pending[:n]
		c.pending = c.pending[n:]
		c.credit.sent += uint32(n)
		c.owed &^= oweCredit
		if len(c.pending) == 0 && c.waiting {
			wake(c.writable)
		}
		return scatter(ch, &h, data)
	}
	return scatter(ch, &h, nil)
}

// scatter writes a packet into a chain, which has room for it, and returns its size.
func scatter(ch chain, h *header, data []byte) uint32 {
	var head [headerSize]byte
	h.put(&head)
	size := uint32(headerSize + len(data))
	rest := head[:]
	for _, seg := range ch.segments {
		n := copy(seg, rest)
		if rest = rest[n:]; len(rest) > 0 {
			continue
		}
		if data == nil {
			break
		}
		rest, data = data, nil
		rest = rest[copy(seg[n:], rest):]
	}
	return size
}
