package vhostvsock

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Queues of the device. QEMU keeps the third one, for events, to itself.
const (
	rxQueue = 0 // to the guest
	txQueue = 1 // from the guest
	queues  = 2
)

// vring is one queue as QEMU configures it. Fields without a word on mu belong to the goroutine that serves QEMU.
type vring struct {
	mu *sync.Mutex // the device's mu for rx, one of its own, taken before the device's, for tx

	num     uint16
	base    uint16 // where the queue goes on when it starts
	resume  uint16 // what GET_VRING_BASE last said
	at      ringAddrs
	placed  bool // at is set
	enabled bool
	broken  bool // guarded by mu: the driver broke the rules; until QEMU stops the ring
	kick    *os.File
	watcher chan struct{} // closed when the goroutine that reads kick has ended

	q    *queue // guarded by mu; nil while the ring does not run
	call int    // guarded by mu; eventfd, -1 for none
}

var one = [8]byte{1} // what is written to an eventfd

// interrupt tells the driver to look at the ring; mu is held. The eventfd is never full in practice, and were it
// full, it would be signalled already.
func (r *vring) interrupt() {
	if r.call >= 0 {
		_, _ = unix.Write(r.call, one[:])
	}
}

// kickSelf does what a kick of the driver does; mu is held and the ring runs, so that kick stays.
func (r *vring) kickSelf() { _, _ = r.kick.Write(one[:]) }

// setCall takes the eventfd.
func (r *vring) setCall(fd int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.call >= 0 {
		_ = unix.Close(r.call)
	}
	r.call = fd
}

// setKick takes the eventfd and calls kicked, in a goroutine of its own, whenever the driver notifies the ring. The
// ring counts as started from here on.
func (r *vring) setKick(fd int, kicked func()) error {
	r.stopKick()
	if err := unix.SetNonblock(fd, true); err != nil { // so that the runtime polls it; QEMU has set it itself
		_ = unix.Close(fd)
		return fmt.Errorf("kick eventfd: %w", err)
	}
	kick := os.NewFile(uintptr(fd), "vhost-user kick")
	r.kick, r.watcher = kick, make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		var count [8]byte
		for {
			if _, err := kick.Read(count[:]); err != nil {
				return // closed by stopKick
			}
			kicked()
		}
	}(r.watcher)
	return nil
}

func (r *vring) stopKick() {
	if r.kick == nil {
		return
	}
	_ = r.kick.Close()
	<-r.watcher
	r.kick = nil
}

// ready says whether QEMU has said everything that the ring needs to run. Rings need no enabling unless protocol
// features were negotiated. mu is held.
func (r *vring) ready(needEnable bool) bool {
	return (r.enabled || !needEnable) && r.placed && r.num > 0 && r.kick != nil && !r.broken
}

// start makes the queue; mu is held.
func (r *vring) start(mem *memory, eventIdx bool) error {
	q, err := newQueue(mem, r.num, r.at, r.base, eventIdx)
	if err != nil {
		return err
	}
	r.q = q
	return nil
}

// halt stops the queue and remembers where it was; mu is held.
func (r *vring) halt() {
	if r.q != nil {
		r.base = r.q.last
		r.q = nil
	}
}

// settle starts the rings that are ready and do not run.
func (f *frontend) settle() error {
	if f.mem == nil {
		return nil
	}
	var failed error
	for i, r := range f.d.rings {
		r.mu.Lock()
		if r.q != nil || !r.ready(f.features&featProtocol != 0) {
			r.mu.Unlock()
			continue
		}
		err := r.start(f.mem, f.features&featEventIdx != 0)
		r.mu.Unlock()
		if err != nil {
			failed = fmt.Errorf("start queue %d: %w", i, err)
		}
	}
	if failed == nil && f.running() {
		f.d.mu.Lock()
		f.d.setUp(true)
		f.d.mu.Unlock()
		f.d.kickedTX() // the driver may have kicked before
		f.d.kickedRX()
	}
	return failed
}

func (f *frontend) running() bool {
	for _, r := range f.d.rings {
		r.mu.Lock()
		q := r.q
		r.mu.Unlock()
		if q == nil {
			return false
		}
	}
	return true
}

// stop halts a ring. After it nobody uses the ring or its memory until settle.
func (f *frontend) stop(r *vring) {
	r.mu.Lock()
	r.halt()
	r.mu.Unlock()
	f.d.mu.Lock()
	f.d.setUp(false)
	f.d.mu.Unlock()
}

// shut gives everything back that QEMU has given.
func (f *frontend) shut() {
	for _, r := range f.d.rings {
		f.stop(r)
		r.stopKick()
		r.setCall(-1)
	}
	if f.mem != nil {
		f.mem.unmap()
	}
}
