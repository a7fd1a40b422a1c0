package machine

import (
	"bufio"
	"errors"

	"naru/platform/ipc"
)

// stream turns a connection whose events were read into the raw stream behind them.
func (c *client) stream() (ipc.Conn, error) {
	conn, ok := c.conn.(ipc.Conn)
	if !ok {
		c.close()
		return nil, errors.New("the control socket cannot half-close")
	}
	return &bufferedConn{Conn: conn, r: c.in}, nil
}

// bufferedConn reads first what was read too much with the event.
type bufferedConn struct {
	ipc.Conn
	r *bufio.Reader
}

func (b *bufferedConn) Read(p []byte) (int, error) { return b.r.Read(p) }
