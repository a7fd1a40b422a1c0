package vhostvsock

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
)

// FuzzGuest lets the guest's memory be anything, rings included, and looks whether the device keeps its bounds. To
// look for new cases: go test -run - -fuzz FuzzGuest -fuzzminimizetime 1x ./platform/vhostvsock
func FuzzGuest(f *testing.F) {
	le := binary.LittleEndian
	// The seeds are well-formed rings of 8 with four packets; the fuzzer goes on from there.
	for op := uint16(0); op < 9; op++ {
		m := make([]byte, fuzzSize)
		for i := range 8 {
			d := m[fuzzTX+i*descSize:]
			le.PutUint64(d, uint64(0x1000+i*0x100))
			le.PutUint32(d[8:], 0x100)
			le.PutUint16(m[fuzzTX+0x104+2*i:], uint16(i))
			d = m[i*descSize:]
			le.PutUint64(d, uint64(0x2000+i*0x100))
			le.PutUint32(d[8:], 0x100)
			le.PutUint16(d[12:], descWrite)
			le.PutUint16(m[0x104+2*i:], uint16(i))
			h := header{
				srcCID: testCID, dstCID: HostCID, srcPort: 1, dstPort: uint32(1024 + i&1), typ: typeStream,
				op: op, length: 20, flags: uint32(i), bufAlloc: 0x4000,
			}
			h.put((*[headerSize]byte)(m[0x1000+i*0x100:]))
		}
		le.PutUint16(m[fuzzTX+0x102:], 4)
		le.PutUint16(m[0x102:], 8)
		f.Add(m, op&1 == 0)
	}
	f.Fuzz(fuzzGuest)
}

const (
	fuzzSize = 0x3000
	fuzzTX   = 0x400 // the tx ring; rx is at 0
)

func fuzzGuest(t *testing.T, bytes []byte, eventIdx bool) {
	data := make([]byte, 4*fuzzSize) // large enough to be page-aligned
	copy(data, bytes)
	mem := &memory{regions: []region{{data: data[: len(data)/2 : len(data)/2]}}}
	d := &device{cid: testCID, log: slog.New(slog.DiscardHandler), closeTimeout: closeTimeout,
		up: make(chan struct{}), streams: map[uint32]*conn{}}
	d.life, d.cancel = context.WithCancelCause(context.Background())
	d.rings[rxQueue] = &vring{mu: &d.mu, call: -1, num: 8, at: ringAddrs{0, 0x100, 0x200}}
	d.rings[txQueue] = &vring{mu: &d.txMu, call: -1, num: 8, at: ringAddrs{fuzzTX, fuzzTX + 0x100, fuzzTX + 0x200}}
	for _, r := range d.rings {
		if err := r.start(mem, eventIdx); err != nil {
			t.Fatal(err)
		}
	}
	var conns []*conn
	for i := range uint32(2) {
		c := newConn(d, Addr{HostCID, 1024 + i}, Addr{testCID, 1})
		if i == 0 {
			c.state, c.accepted = open, true
			close(c.answered)
			c.pending = make([]byte, 10000) // as a Write that goes on
		}
		d.streams[c.local.Port] = c
		conns = append(conns, c)
	}
	for range 4 { // a guest could go on for ever: taking its packets in is bounded by batches only
		d.receive()
		d.kickedRX()
	}
	for _, c := range conns {
		n := 0
		for data := c.in.peek(); len(data) > 0; data = c.in.peek() {
			n += len(data)
			c.in.take(len(data))
		}
		if n > receiveBuffer || len(c.pending) > 10000 {
			t.Errorf("%d bytes buffered, %d pending", n, len(c.pending))
		}
		_ = c.Close()
		c.forget(nil)
	}
	if len(d.stray) > maxStray || len(d.streams) > 0 {
		t.Errorf("%d resets, %d streams", len(d.stray), len(d.streams))
	}
}
