package vhostvsock

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

const (
	descSize = 16
	maxQueue = 1024 // entries; QEMU's device has 128

	descNext  = 1 // VIRTQ_DESC_F_NEXT
	descWrite = 2 // VIRTQ_DESC_F_WRITE: the device may write it

	usedNoNotify     = 1 // VIRTQ_USED_F_NO_NOTIFY
	availNoInterrupt = 1 // VIRTQ_AVAIL_F_NO_INTERRUPT
)

// queue is the device's side of a split virtqueue (virtio 1.2, section 2.7). All of it lies in memory that the guest
// writes at any time, so each value is read once and then checked.
//
// The index and the flags of a ring share one 32-bit word and are read and written together, because sync/atomic has
// no 16-bit operations. Its operations are sequentially consistent: a Store followed by a Load is the full barrier
// that the notification protocol needs.
type queue struct {
	num      uint16 // entries, a power of two
	eventIdx bool   // VIRTIO_RING_F_EVENT_IDX was negotiated
	mem      *memory

	desc, avail, used []byte

	last      uint16 // next entry of avail to take
	usedIdx   uint16 // next entry of used to write
	published uint16 // the index that the driver sees
	signalled uint16 // the published index when the driver was last looked at
	fresh     bool   // nothing was published since the start: signalled means nothing yet

	segments [][]byte // of the chain last taken; reused
}

// chain is a list of buffers taken from the queue; it is valid until the next one is taken.
type chain struct {
	head     uint16
	segments [][]byte
	size     int // bytes in all
}

// ringAddrs are the places of a queue in QEMU's address space.
type ringAddrs struct {
	desc, avail, used uint64
}

func newQueue(mem *memory, num uint16, at ringAddrs, last uint16, eventIdx bool) (*queue, error) {
	n := int(num)
	q := &queue{num: num, eventIdx: eventIdx, mem: mem, last: last, fresh: true}
	if num == 0 || num > maxQueue || num&(num-1) != 0 {
		return nil, fmt.Errorf("queue of %d entries", num)
	}
	// The driver's used_event is the last half word of avail: reading it as part of a 32-bit word takes two more bytes.
	q.desc = mem.frontSlice(at.desc, n*descSize)
	q.avail = mem.frontSlice(at.avail, 4+2*n+4)
	q.used = mem.frontSlice(at.used, 4+8*n+2)
	if q.desc == nil || q.avail == nil || q.used == nil {
		return nil, errors.New("ring outside the guest's memory")
	}
	if misaligned(q.desc, 16) || misaligned(q.avail, 4) || misaligned(q.used, 4) {
		return nil, errors.New("ring is not aligned")
	}
	q.usedIdx = uint16(atomic.LoadUint32(word(q.used, 0)) >> 16)
	q.published = q.usedIdx
	return q, nil
}

func misaligned(b []byte, to uintptr) bool {
	return uintptr(unsafe.Pointer(&b[0]))%to != 0
}

func word(b []byte, off int) *uint32 { return (*uint32)(unsafe.Pointer(&b[off : off+4][0])) }

// waiting is how many entries the driver has made available and we have not taken.
func (q *queue) waiting() (uint16, error) {
	n := uint16(atomic.LoadUint32(word(q.avail, 0))>>16) - q.last
	if n > q.num {
		return 0, fmt.Errorf("available index is %d ahead in a queue of %d", n, q.num)
	}
	return n, nil
}

// take takes the next chain; ok is false when there is none. Every descriptor must be device-writable, or none of
// them. An error means that the driver broke the ring: it must not be used any more.
func (q *queue) take(writable bool) (c chain, ok bool, err error) {
	n, err := q.waiting()
	if n == 0 || err != nil {
		return chain{}, false, err
	}
	slot := 4 + 2*int(q.last&(q.num-1))
	head := uint16(atomic.LoadUint32(word(q.avail, slot&^3)) >> (8 * (slot & 3)))
	c = chain{head: head, segments: q.segments[:0]}
	next := head
	for range q.num { // a longer chain is a loop
		if next >= q.num {
			return chain{}, false, fmt.Errorf("descriptor %d in a queue of %d", next, q.num)
		}
		at := int(next) * descSize
		addr := atomic.LoadUint64((*uint64)(unsafe.Pointer(&q.desc[at : at+8][0])))
		rest := atomic.LoadUint64((*uint64)(unsafe.Pointer(&q.desc[at+8 : at+16][0])))
		size, flags := uint32(rest), uint16(rest>>32)
		// An indirect table (flag 4) was not offered. A mixed chain has no meaning in this device.
		if flags&^(descNext|descWrite) != 0 || (flags&descWrite != 0) != writable {
			return chain{}, false, fmt.Errorf("descriptor with flags %#x", flags)
		}
		seg := q.mem.guestSlice(addr, size)
		if seg == nil {
			return chain{}, false, fmt.Errorf("descriptor of %d bytes outside the guest's memory", size)
		}
		c.segments = append(c.segments, seg)
		c.size += len(seg)
		if flags&descNext == 0 {
			q.segments = c.segments
			q.last++
			return c, true, nil
		}
		next = uint16(rest >> 48)
	}
	return chain{}, false, errors.New("descriptors in a loop")
}

// put gives a chain back with the number of bytes written to it. The driver sees it after publish.
func (q *queue) put(head uint16, written uint32) {
	at := 4 + 8*int(q.usedIdx&(q.num-1))
	*word(q.used, at) = uint32(head)
	*word(q.used, at+4) = written
	q.usedIdx++
}

// publish shows the driver what was put, and says whether it wants to be interrupted for it.
func (q *queue) publish() (notify bool) {
	if q.usedIdx == q.published {
		return false
	}
	flags := uint32(usedNoNotify)
	if q.eventIdx {
		flags = 0
	}
	atomic.StoreUint32(word(q.used, 0), uint32(q.usedIdx)<<16|flags)
	q.published = q.usedIdx
	if !q.eventIdx {
		return atomic.LoadUint32(word(q.avail, 0))&availNoInterrupt == 0
	}
	slot := 4 + 2*int(q.num)
	event := uint16(atomic.LoadUint32(word(q.avail, slot&^3)) >> (8 * (slot & 3)))
	old := q.signalled
	q.signalled = q.usedIdx
	if q.fresh {
		q.fresh = false
		return true
	}
	return q.usedIdx-event-1 < q.usedIdx-old // vring_need_event: event lies in [old, usedIdx)
}

// await asks the driver for a notification of the next entry it makes available, and says whether there is one
// already, which it may not notify of. Until await, and again after the next publish, the driver is asked for none.
func (q *queue) await() (more bool, err error) {
	if q.eventIdx {
		// A plain 16-bit store: a wider one would write behind the ring. The atomic Store after it orders it.
		*(*uint16)(unsafe.Pointer(&q.used[4+8*int(q.num)])) = q.last
	}
	atomic.StoreUint32(word(q.used, 0), uint32(q.published)<<16)
	n, err := q.waiting()
	return n > 0, err
}
