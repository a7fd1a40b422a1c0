package keeper

import "time"

const (
	// gather is how long the output of a busy process is let come together before it is read again, and busy after how
	// many small reads in a row a process is one. The first words of a process, and a key's echo, are never held back.
	gather = 4 * time.Millisecond
	busy   = 32
	// much in one read means that the pipe fills faster than gather allows for.
	much = 8 << 10
)

// pace keeps a process that writes line by line from costing us a read, a write to its log and a wake-up of each
// follower for each line: at 10,000 lines/s that was most of what the keeper did.
type pace struct {
	dead  <-chan struct{} // the process has ended: what is left is read at once
	timer *time.Timer     // nil until it is needed
	last  time.Time       // when the last read was done with
	small int             // reads in a row that were
}

func newPace(dead <-chan struct{}) *pace { return &pace{dead: dead} }

// after is called after each read of n bytes.
func (p *pace) after(n int) {
	now := time.Now()
	if p.small++; n >= much || now.Sub(p.last) > gather {
		p.small = 0
	}
	p.last = now
	if p.small <= busy {
		return
	}
	if p.timer == nil {
		p.timer = time.NewTimer(gather)
	} else {
		p.timer.Reset(gather)
	}
	select {
	case <-p.timer.C:
	case <-p.dead:
	}
	p.last = time.Now()
}
