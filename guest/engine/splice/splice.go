// Package splice joins two connections into one.
package splice

import (
	"io"
	"net"
	"sync"
)

// Duplex is a connection whose two directions end on their own.
type Duplex interface {
	net.Conn
	CloseWrite() error
}

// Both copies both ways until both are over. The end of one direction is passed on; an error of one ends the other too. The
// caller closes a and b.
func Both(a, b Duplex) {
	var both sync.WaitGroup
	both.Go(func() { one(a, b) })
	one(b, a)
	both.Wait()
}

func one(to, from Duplex) {
	if _, err := io.Copy(to, from); err != nil {
		_, _ = to.Close(), from.Close()
		return
	}
	_ = to.CloseWrite() // the other side may be gone already
}
