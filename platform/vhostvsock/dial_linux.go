package vhostvsock

import (
	"context"
	"net"
	"os"
)

// firstPort is where host ports start: those below are for privileged programs.
const firstPort = 1024

func (d *device) dial(ctx context.Context, port uint32) (net.Conn, error) {
	c, err := d.request(ctx, port)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "vsock", Addr: &Addr{CID: d.cid, Port: port}, Err: err}
	}
	select {
	case <-c.answered:
	case <-ctx.Done():
		c.forget(ctx.Err())
		return nil, c.opError("dial", ctx.Err())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !c.accepted {
		return nil, c.opError("dial", os.NewSyscallError("connect", c.writeErr))
	}
	return c, nil // although the guest may have closed it already
}

// request waits for the driver and sends a REQUEST from a new port.
func (d *device) request(ctx context.Context, port uint32) (*conn, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d.mu.Lock()
		if d.ended {
			d.mu.Unlock()
			return nil, net.ErrClosed
		}
		up := d.up
		select {
		case <-up:
			defer d.mu.Unlock()
			c := newConn(d, Addr{CID: HostCID, Port: d.freePort()}, Addr{CID: d.cid, Port: port})
			d.streams[c.local.Port] = c
			c.owe(oweRequest)
			return c, nil
		default:
		}
		d.mu.Unlock()
		select {
		case <-up:
		case <-ctx.Done():
		case <-d.life.Done():
			return nil, net.ErrClosed
		}
	}
}

// freePort goes round, so that a port is not soon used again; mu is held.
func (d *device) freePort() uint32 {
	for {
		d.lastPort++
		if d.lastPort < firstPort || d.lastPort == ^uint32(0) { // the last is VMADDR_PORT_ANY
			d.lastPort = firstPort
		}
		if _, used := d.streams[d.lastPort]; !used {
			return d.lastPort
		}
	}
}
