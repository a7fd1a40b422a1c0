package logfile

import (
	"bytes"
	"sync"
)

// ring holds records in memory for a log with `mode=non-blocking`: a process never waits for the disk, and what does
// not fit in is dropped, the new before the old, as in Docker.
type ring struct {
	limit int64
	to    *appender
	done  chan struct{} // closed when run has ended

	mu      sync.Mutex // guards all below
	more    *sync.Cond
	queue   []byte // whole records
	dropped uint64
	closed  bool
}

func newRing(limit int64, to *appender) *ring {
	r := &ring{limit: limit, to: to, done: make(chan struct{})}
	r.more = sync.NewCond(&r.mu)
	go r.run()
	return r
}

// add queues as many of the records as fit. One goes in alone, be it larger than the ring.
func (r *ring) add(records []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(records) > 0 {
		n := len(records)
		if int64(len(r.queue)+n) > r.limit {
			n = bytes.IndexByte(records, '\n') + 1
		}
		if len(r.queue) > 0 && int64(len(r.queue)+n) > r.limit {
			r.dropped += uint64(bytes.Count(records, []byte{'\n'}))
			break
		}
		r.queue = append(r.queue, records[:n]...)
		records = records[n:]
	}
	r.more.Signal()
}

// run is the ring's goroutine.
func (r *ring) run() {
	defer close(r.done)
	var spare []byte
	for {
		r.mu.Lock()
		for len(r.queue) == 0 && !r.closed {
			r.more.Wait()
		}
		records := r.queue
		r.queue = spare[:0]
		r.mu.Unlock()
		if len(records) == 0 {
			return
		}
		r.to.write(records)
		if spare = records[:0]; cap(spare) > maxPooled {
			spare = nil
		}
	}
}

func (r *ring) lost() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// close writes what is queued and ends the goroutine.
func (r *ring) close() {
	r.mu.Lock()
	r.closed = true
	r.more.Signal()
	r.mu.Unlock()
	<-r.done
}
