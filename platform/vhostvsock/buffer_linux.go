package vhostvsock

import "sync"

const chunkSize = 32 << 10

type chunk struct {
	data [chunkSize]byte
	r, w int // taken, filled
	next *chunk
}

// chunks are shared by all streams, so that an idle stream holds no buffer.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

// buffer is a FIFO of bytes for one writer and one reader. Neither copies under the lock of the other: the writer
// fills room that nobody can see yet and then publishes it, the reader takes bytes that the writer does not touch.
type buffer struct {
	mu         sync.Mutex
	head, tail *chunk // guarded by mu, as are r and w in them
	filling    bool   // guarded by mu; room was handed out and not yet published
}

// room is space at the end for at most n bytes; the caller fills it from the start and publishes.
func (b *buffer) room(n int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tail == nil || b.tail.w == chunkSize {
		c := chunks.Get().(*chunk)
		c.r, c.w, c.next = 0, 0, nil
		if b.tail == nil {
			b.head = c
		} else {
			b.tail.next = c
		}
		b.tail = c
	}
	b.filling = true
	free := b.tail.data[b.tail.w:]
	return free[:min(n, len(free))]
}

// publish makes n bytes of the last room visible to the reader.
func (b *buffer) publish(n int) {
	b.mu.Lock()
	b.tail.w += n
	b.filling = false
	b.mu.Unlock()
}

// peek is the bytes that lie together at the front, empty when there are none. They stay until taken.
func (b *buffer) peek() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.head == nil {
		return nil
	}
	return b.head.data[b.head.r:b.head.w]
}

// take drops n bytes of the last peek.
func (b *buffer) take(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.head
	c.r += n
	if c.r < c.w || c == b.tail && c.w < chunkSize && b.filling {
		return
	}
	b.head = c.next
	if b.head == nil {
		b.tail = nil
	}
	chunks.Put(c)
}
