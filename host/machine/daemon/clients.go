package daemon

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// clients are the connections of the daemon's sockets, each served by a goroutine.
type clients struct {
	ctx    context.Context // ends when they are to end
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

func newClients() *clients {
	c := &clients{conns: map[net.Conn]struct{}{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// listen serves ln until it is closed.
func (c *clients) listen(ln net.Listener, serve func(context.Context, net.Conn)) {
	c.work.Go(func() {
		for {
			conn, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // no descriptors left, say: the next one may do
				select {
				case <-time.After(50 * time.Millisecond):
					continue
				case <-c.ctx.Done():
					return
				}
			}
			c.add(conn)
			c.work.Go(func() {
				defer c.remove(conn)
				serve(c.ctx, conn)
			})
		}
	})
}

func (c *clients) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[conn] = struct{}{}
}

func (c *clients) remove(conn net.Conn) {
	_ = conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
}

// finish gives connections a while to end by themselves, for they may still be told something, and then ends them.
// The listeners must be closed before.
func (c *clients) finish(grace time.Duration) {
	done := make(chan struct{})
	go func() {
		c.work.Wait()
		close(done)
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
		c.cancel()
		return
	case <-timer.C:
	}
	c.cancel()
	c.mu.Lock()
	for conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	<-done
}
