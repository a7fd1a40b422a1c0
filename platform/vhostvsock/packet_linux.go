package vhostvsock

import "encoding/binary"

// headerSize is the size of struct virtio_vsock_hdr in bytes.
const headerSize = 44

// maxPayload is the most bytes Linux puts into one packet (VIRTIO_VSOCK_MAX_PKT_BUF_SIZE).
const maxPayload = 64 << 10

const typeStream = 1

// Operations of a packet; virtio 1.2, section 5.10.6.
const (
	opRequest       = 1
	opResponse      = 2
	opRst           = 3
	opShutdown      = 4
	opRW            = 5
	opCreditUpdate  = 6
	opCreditRequest = 7
)

// Flags of a SHUTDOWN: what its sender will no longer do. They add up over the packets of a stream.
const (
	shutReceive = 1
	shutSend    = 2
	shutBoth    = shutReceive | shutSend
)

// header is struct virtio_vsock_hdr, little-endian and packed on the wire.
type header struct {
	srcCID, dstCID   uint64
	srcPort, dstPort uint32
	length           uint32 // bytes of payload
	typ, op          uint16
	flags            uint32
	bufAlloc         uint32 // bytes of the sender's receive buffer
	fwdCnt           uint32 // bytes the sender's application has taken out of it, modulo 2^32
}

func parseHeader(b *[headerSize]byte) header {
	le := binary.LittleEndian
	return header{
		srcCID: le.Uint64(b[0:]), dstCID: le.Uint64(b[8:]),
		srcPort: le.Uint32(b[16:]), dstPort: le.Uint32(b[20:]),
		length: le.Uint32(b[24:]),
		typ:    le.Uint16(b[28:]), op: le.Uint16(b[30:]),
		flags:    le.Uint32(b[32:]),
		bufAlloc: le.Uint32(b[36:]), fwdCnt: le.Uint32(b[40:]),
	}
}

func (h *header) put(b *[headerSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], h.srcCID)
	le.PutUint64(b[8:], h.dstCID)
	le.PutUint32(b[16:], h.srcPort)
	le.PutUint32(b[20:], h.dstPort)
	le.PutUint32(b[24:], h.length)
	le.PutUint16(b[28:], h.typ)
	le.PutUint16(b[30:], h.op)
	le.PutUint32(b[32:], h.flags)
	le.PutUint32(b[36:], h.bufAlloc)
	le.PutUint32(b[40:], h.fwdCnt)
}

// credit is what we know of the guest's receive buffer for one stream, and so how much may be sent.
type credit struct {
	sent      uint32 // bytes sent, modulo 2^32
	forwarded uint32 // bytes the guest's application took, as last accepted
	bufAlloc  uint32
}

// update takes the guest's word. A count that is not between the last one and what was sent is ignored: Linux may
// send two packets in another order than it counted them, and a hostile guest must not be able to conjure up credit.
func (c *credit) update(bufAlloc, fwdCnt uint32) {
	c.bufAlloc = bufAlloc
	if fwdCnt-c.forwarded <= c.sent-c.forwarded {
		c.forwarded = fwdCnt
	}
}

// free is how many bytes may be sent now. A guest may shrink its buffer below what is in flight.
func (c *credit) free() uint32 {
	inFlight := c.sent - c.forwarded
	if c.bufAlloc <= inFlight {
		return 0
	}
	return c.bufAlloc - inFlight
}
