package network

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"naru/host/proxy"
)

const (
	dialTimeout = 30 * time.Second
	udpIdle     = 90 * time.Second // a UDP session ends when neither side sent for so long
	maxDialing  = 1024             // TCP connections that are being opened; more SYNs are dropped, and sent again
	maxSessions = 16384            // TCP and UDP together; each is one descriptor of the host's
)

// nat opens for the guest what it asks for.
type nat struct {
	log      *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
	sessions atomic.Int64
}

func newNAT(log *slog.Logger, s *stack.Stack) *nat {
	n := &nat{log: log}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	tcpForwarder := tcp.NewForwarder(s, 0, maxDialing, n.tcp)
	udpForwarder := udp.NewForwarder(s, n.udp)
	// A handler that returns false makes the stack answer as if nobody listened there.
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return allowed(destination(id).Addr()) && tcpForwarder.HandlePacket(id, pkt)
	})
	s.SetTransportProtocolHandler(udp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return allowed(destination(id).Addr()) && udpForwarder.HandlePacket(id, pkt)
	})
	return n
}

// allowed tells whether the guest may reach an address through the host; see the package comment.
func allowed(a netip.Addr) bool {
	if a.Is6() {
		return (global6.Contains(a) || local6.Contains(a)) && !Subnet6.Contains(a)
	}
	switch {
	case !a.Is4() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || Subnet.Contains(a):
		return false
	case a.As4()[0] == 0: // "this host": Linux connects to its own loopback
		return false
	case a.As4()[0] >= 240: // reserved, broadcast
		return false
	}
	return true
}

// What of IPv6 is somebody's address: global unicast (RFC 4291) and unique local (RFC 4193). The rest are the loopback,
// link-local and multicast ones, and forms of IPv4 addresses, some of which the host's kernel takes for its own loopback.
var (
	global6 = netip.MustParsePrefix("2000::/3")
	local6  = netip.MustParsePrefix("fc00::/7")
)

// destination is what the guest wants to reach: the stack calls it the local end.
func destination(id stack.TransportEndpointID) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	return netip.AddrPortFrom(addr, id.LocalPort)
}

// tcp dials first and completes the guest's handshake after, so that the guest sees a refusal as one.
func (n *nat) tcp(r *tcp.ForwarderRequest) {
	if n.sessions.Add(1) > maxSessions || n.ctx.Err() != nil {
		n.sessions.Add(-1)
		r.Complete(true)
		return
	}
	defer n.sessions.Add(-1)
	n.work.Add(1)
	defer n.work.Done()
	dialer := net.Dialer{Timeout: dialTimeout}
	out, err := dialer.DialContext(n.ctx, "tcp", destination(r.ID()).String())
	if err != nil {
		n.log.Debug("the guest's connection", "to", destination(r.ID()), "error", err)
		r.Complete(true)
		return
	}
	var wq waiter.Queue
	ep, tcpErr := r.CreateEndpoint(&wq)
	if tcpErr != nil {
		r.Complete(true)
		_ = out.Close()
		return
	}
	r.Complete(false)
	ep.SocketOptions().SetKeepAlive(true)
	in := gonet.NewTCPConn(&wq, ep)
	defer context.AfterFunc(n.ctx, func() { _ = in.Close(); _ = out.Close() })()
	proxy.Splice(in, out)
}

// udp makes a session of the first packet of a pair of addresses. It is called while the packet is delivered, so it
// does not block.
func (n *nat) udp(r *udp.ForwarderRequest) {
	if n.sessions.Add(1) > maxSessions || n.ctx.Err() != nil {
		n.sessions.Add(-1)
		return
	}
	var wq waiter.Queue
	ep, err := r.CreateEndpoint(&wq)
	if err != nil {
		n.sessions.Add(-1)
		return
	}
	in := gonet.NewUDPConn(&wq, ep)
	n.work.Go(func() {
		defer n.sessions.Add(-1)
		defer in.Close()
		out, err := net.Dial("udp", destination(r.ID()).String())
		if err != nil {
			n.log.Debug("the guest's packet", "to", destination(r.ID()), "error", err)
			return
		}
		defer out.Close()
		defer context.AfterFunc(n.ctx, func() { _ = in.Close(); _ = out.Close() })()
		relayPackets(in, out)
	})
}

// relayPackets copies packets both ways until nothing moved for udpIdle, or one side has ended.
func relayPackets(a, b net.Conn) {
	var last atomic.Int64
	last.Store(time.Now().UnixNano())
	oneWay := func(dst, src net.Conn) {
		defer a.Close()
		defer b.Close()
		packet := make([]byte, header.UDPMaximumSize)
		for {
			idleAt := time.Unix(0, last.Load()).Add(udpIdle)
			_ = src.SetReadDeadline(idleAt)
			size, err := src.Read(packet)
			if isTimeout(err) && time.Now().Before(time.Unix(0, last.Load()).Add(udpIdle)) {
				continue // the other way was busy
			}
			if isRefused(err) {
				continue // an ICMP error of an earlier packet; the peer may come back
			}
			if err != nil {
				return
			}
			last.Store(time.Now().UnixNano())
			if _, err := dst.Write(packet[:size]); err != nil && !isRefused(err) {
				return
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { oneWay(a, b) })
	oneWay(b, a)
	wg.Wait()
}

// close ends all sessions.
func (n *nat) close() {
	n.cancel()
	n.work.Wait()
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
