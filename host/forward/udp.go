package forward

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"naru/guest/api"
)

// Bounds of a published UDP port: how many clients it serves at once, how long one may be silent, and how many datagrams
// wait for a slow guest before more are dropped, as UDP may.
const (
	maxFlows   = 1024
	flowIdle   = 90 * time.Second
	flowQueued = 64
)

// udpPort serves one published UDP port. Each client has a stream of its own to the guest, so that the container sees
// clients apart and its answers go back to the right one.
type udpPort struct {
	f    *Forwarder
	p    *port
	conn datagrams

	mu    sync.Mutex // guards flows
	flows map[client]*flow
}

// client is who sends, and at which of the host's addresses.
type client struct {
	peer netip.AddrPort
	at   netip.Addr
}

// flow is one client.
type flow struct {
	client client
	queue  chan []byte
	active atomic.Int64 // unix nanoseconds of the last datagram in either direction
}

// run serves the port until its socket is closed.
func (u *udpPort) run() {
	ctx, cancel := context.WithCancel(u.f.ctx)
	defer cancel()
	buf := make([]byte, api.MaxDatagram)
	for {
		n, peer, at, err := u.conn.read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a client's refusal of an earlier answer
		}
		if fl := u.flow(ctx, client{peer, at}); fl != nil {
			select {
			case fl.queue <- append([]byte(nil), buf[:n]...):
			default:
			}
		}
	}
}

// flow returns the client's, a new one for a new client, nil when there are too many.
func (u *udpPort) flow(ctx context.Context, who client) *flow {
	u.mu.Lock()
	defer u.mu.Unlock()
	fl := u.flows[who]
	if fl == nil && len(u.flows) < maxFlows {
		fl = &flow{client: who, queue: make(chan []byte, flowQueued)}
		u.flows[who] = fl
		u.f.work.Go(func() {
			u.serve(ctx, fl)
			u.mu.Lock()
			delete(u.flows, who)
			u.mu.Unlock()
		})
	}
	if fl != nil {
		fl.active.Store(time.Now().UnixNano())
	}
	return fl
}

// serve brings the client's datagrams to the container and back, until both have been silent for a while.
func (u *udpPort) serve(ctx context.Context, fl *flow) {
	u.f.mu.Lock()
	target := u.p.target
	u.f.mu.Unlock()
	dialing, cancel := context.WithTimeout(ctx, 30*time.Second)
	stream, err := u.f.guest(dialing, api.KindForward, target)
	cancel()
	if err != nil {
		u.f.log.Debug("published port", "target", target, "error", err)
		return
	}
	defer stream.Close()
	defer context.AfterFunc(ctx, func() { _ = stream.Close() })()
	ended := make(chan struct{})
	u.f.work.Go(func() {
		defer close(ended)
		in, buf := bufio.NewReader(stream), make([]byte, api.MaxDatagram)
		for {
			data, err := api.ReadDatagram(in, buf)
			if err != nil {
				return
			}
			fl.active.Store(time.Now().UnixNano())
			_ = u.conn.write(data, fl.client.peer, fl.client.at)
		}
	})
	u.send(ctx, fl, stream, ended)
}

// send writes what the client sends, until the stream has ended or nothing was sent either way for flowIdle.
func (u *udpPort) send(ctx context.Context, fl *flow, stream net.Conn, ended chan struct{}) {
	idle := time.NewTicker(flowIdle / 3)
	defer idle.Stop()
	var buf []byte
	for {
		select {
		case data := <-fl.queue:
			var err error
			if buf, err = api.WriteDatagram(stream, data, buf); err != nil {
				return
			}
		case <-idle.C:
			if time.Since(time.Unix(0, fl.active.Load())) > flowIdle {
				return
			}
		case <-ended:
			return
		case <-ctx.Done():
			return
		}
	}
}
