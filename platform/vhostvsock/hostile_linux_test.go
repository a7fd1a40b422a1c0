package vhostvsock

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"
)

// raw sends bytes as a packet: descriptor 0 of tx, and whatever the caller made of the others.
func (g *fakeGuest) raw(h header, length uint32, data []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h.length = length
	g.sendRaw(h, data)
}

// settled waits until the device has taken all packets.
func (g *fakeGuest) settled() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.free) < int(g.tx.num) {
		g.cond.Wait()
	}
}

// TestBrokenRing breaks a ring in every way there is; the device must survive it, and a new start heals it.
func TestBrokenRing(t *testing.T) {
	const inside = fakeHigh + 0x200000
	tests := []struct {
		name string
		tx   func(r *fakeRing) // breaks tx
		rx   func(r *fakeRing) // breaks rx
	}{
		{name: "head outside", tx: func(r *fakeRing) { r.offer(r.num) }},
		{name: "next outside", tx: func(r *fakeRing) { r.setDesc(0, inside, 44, descNext, r.num); r.offer(0) }},
		{name: "loop", tx: func(r *fakeRing) {
			r.setDesc(0, inside, 44, descNext, 1)
			r.setDesc(1, inside, 44, descNext, 0)
			r.offer(0)
		}},
		{name: "own loop of zeroes", tx: func(r *fakeRing) { r.setDesc(0, inside, 0, descNext, 0); r.offer(0) }},
		{name: "indirect", tx: func(r *fakeRing) { r.setDesc(0, inside, 4096, 4, 0); r.offer(0) }},
		{name: "writable in tx", tx: func(r *fakeRing) { r.setDesc(0, inside, 44, descWrite, 0); r.offer(0) }},
		{name: "between regions", tx: func(r *fakeRing) { r.setDesc(0, fakeRegion, 44, 0, 0); r.offer(0) }},
		{name: "over the end", tx: func(r *fakeRing) { r.setDesc(0, fakeRegion-43, 44, 0, 0); r.offer(0) }},
		{name: "over 2^64", tx: func(r *fakeRing) { r.setDesc(0, ^uint64(0), 44, 0, 0); r.offer(0) }},
		{name: "4 GiB", tx: func(r *fakeRing) { r.setDesc(0, inside, ^uint32(0), 0, 0); r.offer(0) }},
		{name: "index too far", tx: func(r *fakeRing) { r.availIdx += r.num; r.offer(0); r.kickNow() }},
		{name: "index backwards", tx: func(r *fakeRing) { r.availIdx -= 2; r.offer(0); r.kickNow() }},
		{name: "readable in rx", rx: func(r *fakeRing) { r.each(0, 4096, 0) }},
		{name: "no room in rx", rx: func(r *fakeRing) { r.each(0, headerSize, descWrite) }},
		{name: "rx outside", rx: func(r *fakeRing) { r.each(fakeRegion-1, 4096, descWrite) }},
	}
	dev, g := newFakeGuest(t, 128, true, false)
	accepted := g.listenOn(1)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, _ := pair(t, dev, accepted, 1)
			if test.tx != nil {
				g.mu.Lock()
				test.tx(g.tx)
				g.mu.Unlock()
			} else {
				g.rxMu.Lock()
				test.rx(g.rx)
				g.rxMu.Unlock()
				_, _ = h.Write(make([]byte, 1))
			}
			_ = h.SetDeadline(time.Now().Add(testTimeout))
			if _, err := h.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("read: %v", err)
			}
			g.restart(true, nil)
			h, c := pair(t, dev, accepted, 1)
			_ = c.Close()
			if _, err := io.ReadAll(h); err != nil {
				t.Errorf("after a restart: %v", err)
			}
			_ = h.Close()
		})
	}
}

// each changes all descriptors that the device has not taken yet.
func (r *fakeRing) each(addr uint64, size uint32, flags uint16) {
	for i := range r.num {
		r.setDesc(i, addr, size, flags, 0)
	}
}

// TestBadPackets sends packets that break the rules of a stream: that one is reset, and another lives on.
func TestBadPackets(t *testing.T) {
	const reset, ignored = true, false
	big := make([]byte, fakeBuf-headerSize)
	tests := []struct {
		name string
		want bool
		send func(g *fakeGuest, ok header) // ok is the header of a good packet of the stream, but for op
	}{
		{"unknown operation", reset, func(g *fakeGuest, h header) { h.op = 99; g.raw(h, 0, nil) }},
		{"operation zero", reset, func(g *fakeGuest, h header) { g.raw(h, 0, nil) }},
		{"request for a stream", reset, func(g *fakeGuest, h header) { h.op = opRequest; g.raw(h, 0, nil) }},
		{"second response", reset, func(g *fakeGuest, h header) { h.op = opResponse; g.raw(h, 0, nil) }},
		{"length beyond the packet", reset, func(g *fakeGuest, h header) { h.op = opRW; g.raw(h, 5, []byte("four")) }},
		{"length of 4 GiB", reset, func(g *fakeGuest, h header) { h.op = opRW; g.raw(h, ^uint32(0), []byte("four")) }},
		{"data after the end", reset, func(g *fakeGuest, h header) {
			h.op, h.flags = opShutdown, shutSend
			g.raw(h, 0, nil)
			h.op = opRW
			g.raw(h, 1, []byte("x"))
			g.settled()
		}},
		{"more than the credit", reset, func(g *fakeGuest, h header) {
			h.op = opRW
			for range receiveBuffer/len(big) + 1 {
				g.raw(h, uint32(len(big)), big)
			}
			g.settled() // before anybody reads and gives credit
		}},
		{"short packet", ignored, func(g *fakeGuest, h header) {
			g.mu.Lock()
			defer g.mu.Unlock()
			i := g.takeFree()
			g.tx.setDesc(i, g.tx.bufs, headerSize-1, 0, 0)
			g.tx.offer(i)
		}},
		{"another guest's CID", ignored, func(g *fakeGuest, h header) { h.srcCID, h.op = 3, 99; g.raw(h, 0, nil) }},
		{"for another host", ignored, func(g *fakeGuest, h header) { h.dstCID, h.op = 1, 99; g.raw(h, 0, nil) }},
		{"another type", ignored, func(g *fakeGuest, h header) { h.typ, h.op = 2, opRW; g.raw(h, 1, []byte("x")) }},
		{"another port", ignored, func(g *fakeGuest, h header) { h.srcPort, h.op = 9, opRW; g.raw(h, 1, []byte("x")) }},
		{"more taken than was sent", ignored, func(g *fakeGuest, h header) {
			h.op, h.fwdCnt, h.bufAlloc = opCreditUpdate, 1<<30, receiveBuffer
			g.raw(h, 0, nil)
		}},
		{"credit requests", ignored, func(g *fakeGuest, h header) {
			for h.op = opCreditRequest; h.fwdCnt < 2000; h.fwdCnt++ {
				g.raw(h, 0, nil)
			}
		}},
	}
	dev, g := newFakeGuest(t, 128, true, false)
	accepted := g.listenOn(1)
	witness, witnessGuest := pair(t, dev, accepted, 1)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, c := pair(t, dev, accepted, 1)
			test.send(g, header{
				srcCID: testCID, dstCID: HostCID, srcPort: c.port, dstPort: c.peer, typ: typeStream, bufAlloc: receiveBuffer,
			})
			_ = h.SetDeadline(time.Now().Add(testTimeout))
			if test.want == ignored {
				if _, err := c.Write([]byte("alive")); err != nil {
					t.Error(err)
				}
				if _, err := h.Write([]byte("alive")); err != nil {
					t.Error(err)
				}
				_ = c.Close()
			}
			got, err := io.ReadAll(h)
			switch {
			case test.want == reset && test.name == "data after the end":
				if _, err := h.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("write: %v", err)
				}
			case test.want == reset && !errors.Is(err, syscall.ECONNRESET):
				t.Errorf("read: %v", err)
			case test.want == ignored && (err != nil || string(got) != "alive"):
				t.Errorf("read %q, %v", got, err)
			}
			_ = h.Close()
		})
	}
	go func() { _, _ = io.Copy(witnessGuest, witnessGuest) }()
	if _, err := witness.Write([]byte("still here")); err != nil {
		t.Error(err)
	}
	if err := readFull(witness, make([]byte, 10)); err != nil {
		t.Error(err)
	}
}

// TestFlood sends requests to a host that does not listen, and takes no answers.
func TestFlood(t *testing.T) {
	dev, g := newFakeGuest(t, 128, true, false)
	g.rxMu.Lock() // nobody gives the receive buffers back
	for i := range uint32(2000) {
		g.raw(header{srcCID: testCID, dstCID: HostCID, srcPort: i, dstPort: 1024, typ: typeStream, op: opRequest}, 0, nil)
	}
	g.settled()
	dev.dev.mu.Lock()
	if n := len(dev.dev.stray); n != maxStray {
		t.Errorf("%d resets wait, want %d", n, maxStray)
	}
	dev.dev.mu.Unlock()
	g.rxMu.Unlock()
	accepted := g.listenOn(1)
	h, _ := pair(t, dev, accepted, 1)
	_ = h.Close()
}
