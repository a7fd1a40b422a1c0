// Package proxy joins two streams into one.
package proxy

import (
	"io"
	"net"
	"sync"
)

// halfCloser is a connection whose sending side can be ended alone.
type halfCloser interface{ CloseWrite() error }

// Splice copies between a and b, both ways, until both directions have ended, and closes both. The end of one
// direction is passed on as a half-close: `docker run -i` ends its stdin and still reads the output. An error on
// either side ends everything, for then nobody would read the rest.
//
// The copies are io.Copy between the connections themselves, so that Linux can splice between two sockets of its own.
func Splice(a, b net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { oneWay(a, b) })
	oneWay(b, a)
	wg.Wait()
	_ = a.Close()
	_ = b.Close()
}

// oneWay copies src to dst until src ends, and then ends dst.
func oneWay(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	if err == nil {
		if h, ok := dst.(halfCloser); ok {
			err = h.CloseWrite()
		}
	}
	if err != nil {
		// Wakes the other direction, too.
		_ = dst.Close()
		_ = src.Close()
	}
}
