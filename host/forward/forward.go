// Package forward brings connections to published ports from the host to the containers: it listens where the engine
// asks it to, on loopback unless the user named an address, and gives each connection a stream of its own to the
// guest, half-close kept.
//
// A listener outlives the engine's publish stream: an engine that was killed comes back, asks for its ports again, and
// takes the listeners over. What it does not ask for within a while is closed.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"naru/guest/api"
	"naru/host/proxy"
	"naru/host/relay"
)

// adoptTime is how long a listener without an engine that wants it stays, once an engine is back.
const adoptTime = 15 * time.Second

// Guest opens streams to the engine: kind is api.KindForward or api.KindDialed.
type Guest func(ctx context.Context, kind, target string) (net.Conn, error)

// Port is one port that is listened on.
type Port struct {
	Protocol string
	Address  netip.AddrPort // on the host
	Target   string         // as the engine names it, "tcp:172.17.0.2:80"
}

// Forwarder holds the listeners of one machine. Its methods are safe for concurrent use.
type Forwarder struct {
	log     *slog.Logger
	guest   Guest
	sockets *relay.Sockets

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	ports   map[at]*port
	session uint64 // counts publish streams
}

// at is where a port is listened on.
type at struct {
	protocol string
	addr     netip.AddrPort
}

type port struct {
	ln      io.Closer // a net.Listener or a *net.UDPConn
	target  string
	id      uint64 // of the request, within session
	session uint64
}

// New makes a forwarder that listens nowhere yet. The caller closes it.
func New(log *slog.Logger, guest Guest, sockets *relay.Sockets) *Forwarder {
	f := &Forwarder{log: log, guest: guest, sockets: sockets, ports: map[at]*port{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Ports are those listened on now.
func (f *Forwarder) Ports() []Port {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Port, 0, len(f.ports))
	for where, p := range f.ports {
		out = append(out, Port{Protocol: where.protocol, Address: where.addr, Target: p.target})
	}
	return out
}

// Close closes all listeners and connections and waits for them.
func (f *Forwarder) Close() {
	f.cancel()
	f.mu.Lock()
	for _, p := range f.ports {
		_ = p.ln.Close()
	}
	clear(f.ports)
	f.mu.Unlock()
	f.work.Wait()
}

// begin counts a new publish stream, and closes what it has not asked for after adoptTime.
func (f *Forwarder) begin() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session++
	session := f.session
	if len(f.ports) > 0 {
		f.work.Go(func() {
			timer := time.NewTimer(adoptTime)
			defer timer.Stop()
			select {
			case <-timer.C:
				f.dropOrphans(session)
			case <-f.ctx.Done():
			}
		})
	}
	return session
}

// dropOrphans closes what sessions before this one left.
func (f *Forwarder) dropOrphans(session uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for where, p := range f.ports {
		if p.session < session {
			_ = p.ln.Close()
			delete(f.ports, where)
		}
	}
}

// listen serves api.OpListen.
func (f *Forwarder) listen(session uint64, req *api.PublishRequest) (netip.AddrPort, error) {
	where, err := wanted(req)
	if err != nil {
		return where.addr, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return where.addr, net.ErrClosed
	}
	if p := f.ports[where]; p != nil {
		if p.session == session {
			return where.addr, syscall.EADDRINUSE
		}
		p.session, p.id, p.target = session, req.ID, req.Target
		return where.addr, nil
	}
	if len(f.ports) >= maxPorts {
		return where.addr, fmt.Errorf("%d ports are listened on already", len(f.ports))
	}
	p := &port{target: req.Target, id: req.ID, session: session}
	open := f.openTCP
	if where.protocol == "udp" {
		open = f.openUDP
	}
	if where.addr, err = open(p, where.addr); err != nil {
		return where.addr, err
	}
	f.ports[where] = p
	return where.addr, nil
}

// openTCP listens for p, and serves it.
func (f *Forwarder) openTCP(p *port, addr netip.AddrPort) (netip.AddrPort, error) {
	ln, err := net.Listen("tcp"+family(addr), addr.String())
	if err != nil {
		return addr, err
	}
	p.ln = ln
	f.work.Go(func() { f.accept(p, ln) })
	return netip.AddrPortFrom(addr.Addr(), ln.Addr().(*net.TCPAddr).AddrPort().Port()), nil
}

// openUDP is openTCP for datagrams.
func (f *Forwarder) openUDP(p *port, addr netip.AddrPort) (netip.AddrPort, error) {
	conn, err := net.ListenUDP("udp"+family(addr), net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return addr, err
	}
	p.ln = conn
	u := &udpPort{f: f, p: p, conn: newDatagrams(conn), flows: map[client]*flow{}}
	f.work.Go(u.run)
	return netip.AddrPortFrom(addr.Addr(), conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()), nil
}

func family(addr netip.AddrPort) string {
	if addr.Addr().Is6() {
		return "6"
	}
	return "4"
}

// wanted is the address that a request names; none means loopback, for a desktop's neighbours on the network have
// no business with its containers unless the user says so.
func wanted(req *api.PublishRequest) (where at, err error) {
	if req.Protocol != "tcp" && req.Protocol != "udp" {
		return where, fmt.Errorf("%s ports cannot be published", req.Protocol)
	}
	addr := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if req.HostIP != "" {
		if addr, err = netip.ParseAddr(req.HostIP); err != nil {
			return where, fmt.Errorf("host address %q: not an IP address", req.HostIP)
		}
	}
	return at{req.Protocol, netip.AddrPortFrom(addr, req.HostPort)}, nil
}

// close serves api.OpClose. Connections that are open stay.
func (f *Forwarder) close(session uint64, id uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for where, p := range f.ports {
		if p.session == session && p.id == id {
			_ = p.ln.Close()
			delete(f.ports, where)
		}
	}
}

func (f *Forwarder) accept(p *port, ln net.Listener) {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, say. Take the next one when there is room again.
			f.log.Warn("accept on a published port", "port", ln.Addr().String(), "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-f.ctx.Done():
				return
			}
		}
		f.mu.Lock()
		target := p.target
		f.mu.Unlock()
		f.work.Go(func() { f.serve(c, target) })
	}
}

// serve brings one connection to the container. One that cannot be brought there is reset: the client should not
// take it for an empty answer.
func (f *Forwarder) serve(c net.Conn, target string) {
	defer context.AfterFunc(f.ctx, func() { _ = c.Close() })()
	ctx, cancel := context.WithTimeout(f.ctx, 30*time.Second)
	stream, err := f.guest(ctx, api.KindForward, target)
	cancel()
	if err != nil {
		f.log.Debug("published port", "target", target, "error", err)
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
		return
	}
	defer context.AfterFunc(f.ctx, func() { _ = stream.Close() })()
	proxy.Splice(c, stream)
}

// dial serves api.OpDial: it connects to a port of the host's own loopback, and only there. The caller brings the
// connection to the engine.
func (f *Forwarder) dial(ctx context.Context, target string) (net.Conn, error) {
	if relay.Takes(target) && f.sockets != nil {
		return f.sockets.Dial(ctx, target)
	}
	addr, ok := strings.CutPrefix(target, "tcp:")
	host, port, err := net.SplitHostPort(addr)
	if !ok || err != nil {
		return nil, fmt.Errorf("bad target %q", target)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("bad target %q", target)
	}
	ip, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s is not the host's loopback", addr)
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	var op *net.OpError
	if errors.As(err, &op) { // the engine names the address itself, as a dial of its own would
		return nil, errors.New(op.Err.Error())
	}
	return conn, err
}

// reason is an error in the words that the engine passes on to the user.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
