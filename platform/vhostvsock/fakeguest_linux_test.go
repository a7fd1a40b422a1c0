package vhostvsock

import (
	"bytes"
	"encoding/binary"
	"sync"
	"testing"
)

// fakeGuest is a small AF_VSOCK stack on the rings of a fake VM.
type fakeGuest struct {
	vm     *fakeVM
	rx, tx *fakeRing
	rxMu   sync.Mutex // guards rx
	split  bool       // header and data in descriptors of their own, as Linux before 6.3 does

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

// restart stops the rings and starts them again: where they were, as QEMU does when a VM is paused, or fresh, as
// when the guest boots anew. between runs while they stand still.
func (g *fakeGuest) restart(fresh bool, between func()) {
	g.vm.t.Helper()
	rings := []*fakeRing{g.rx, g.tx}
	bases := make([]uint16, queues)
	for i, r := range rings {
		g.vm.tell(reqSetVringEnable, state(uint32(i), 0))
		bases[i] = binary.LittleEndian.Uint16(g.vm.ask(reqGetVringBase, state(uint32(r.index), 0))[4:])
	}
	if between != nil {
		between()
	}
	g.rxMu.Lock()
	defer g.rxMu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if fresh {
		clear(bases)
		clear(g.conns)
		g.free = g.free[:0]
		for i := range g.tx.num {
			g.free = append(g.free, i)
		}
		for _, r := range rings {
			clear(g.vm.at(r.base, 3*fakeRingPart))
			r.availIdx, r.usedIdx = 0, 0
		}
	}
	for i, r := range rings {
		r.start(bases[i])
	}
	if fresh {
		g.fill()
	}
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
		g.rxMu.Lock()
		g.rx.reap(func(head uint16, n uint32) {
			p := g.vm.at(g.rx.bufs+uint64(head)*fakeBuf, int(n))
			g.receive(parseHeader((*[headerSize]byte)(p)), bytes.Clone(p[headerSize:]))
			back = append(back, head)
		})
		if len(back) > 0 {
			g.rx.offer(back...)
		}
		g.rxMu.Unlock()
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
	h.srcCID, h.dstCID, h.typ, h.length = testCID, HostCID, typeStream, uint32(len(data))
	g.sendRaw(h, data)
}

func (g *fakeGuest) sendRaw(h header, data []byte) {
	var head [headerSize]byte
	h.put(&head)
	i := g.takeFree()
	b := g.tx.buf(i)
	n := copy(b, head[:])
	n += copy(b[n:], data)
	g.tx.setDesc(i, g.tx.bufs+uint64(i)*uint64(g.tx.bufSize), uint32(n), 0, 0)
	g.tx.offer(i)
}

// takeFree waits for a free descriptor of tx; mu is held, and let go of meanwhile.
func (g *fakeGuest) takeFree() uint16 {
	for len(g.free) == 0 {
		g.cond.Wait()
	}
	i := g.free[len(g.free)-1]
	g.free = g.free[:len(g.free)-1]
	return i
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
	if h.typ != typeStream {
		return // the answer to a packet of another type
	}
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
