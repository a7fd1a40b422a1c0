package keeper

import (
	"net"
	"sync"
	"time"
)

// startPatience is how long a List waits for the starts before it. A runtime takes some 10 ms; one that takes this
// long hangs, and an engine that waits for its first List serves nobody.
const startPatience = 30 * time.Second

// order knows which connections were accepted before which. An engine that is killed leaves starts behind: in the
// middle, or not even read yet. The next engine must find them in its List, or it would clean up below a container that
// comes up at that moment, and never know of it.
type order struct {
	mu    sync.Mutex // guards all below
	last  uint64
	turns map[*turn]bool // those that are not done
}

// turn is one connection's place in the order, until it is known that no start will come of it any more.
type turn struct {
	number uint64
	conn   *net.UnixConn
	done   chan struct{}
	abort  chan struct{} // closed when its start may take no longer
	once   sync.Once     // closes abort
}

// take gives a connection the next place.
func (o *order) take(conn *net.UnixConn) *turn {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.turns == nil {
		o.turns = map[*turn]bool{}
	}
	o.last++
	t := &turn{number: o.last, conn: conn, done: make(chan struct{}), abort: make(chan struct{})}
	o.turns[t] = true
	return t
}

// finish is called when the connection's start has ended in one way or another, or when it asks for something else.
// Idempotent.
func (o *order) finish(t *turn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.turns[t] {
		delete(o.turns, t)
		close(t.done)
	}
}

// await returns when all turns before t are done. After patience it ends those that are not.
func (o *order) await(t *turn, patience time.Duration) {
	late := time.NewTimer(patience)
	defer late.Stop()
	earlier := o.before(t)
	for _, e := range earlier {
		select {
		case <-e.done:
			continue
		case <-late.C:
		}
		for _, e := range earlier {
			e.end()
		}
		break
	}
	for _, e := range earlier {
		<-e.done
	}
}

func (o *order) before(t *turn) (list []*turn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for e := range o.turns {
		if e.number < t.number {
			list = append(list, e)
		}
	}
	return list
}

// end makes the turn come to its end: a runtime is killed, a request that does not come is read no longer.
func (t *turn) end() {
	t.once.Do(func() {
		close(t.abort)
		_ = t.conn.SetReadDeadline(time.Unix(1, 0)) // a closed connection needs none
	})
}
