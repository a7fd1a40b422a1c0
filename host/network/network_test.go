package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// guest is a client on the virtual network: a stack of its own at the other end of the wire.
type guest struct {
	stack *stack.Stack
	wire  net.Conn
}

// newGuest makes a network and a guest on it.
func newGuest(t *testing.T) *guest {
	t.Helper()
	n, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := wire(t)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.Serve(ctx, ours) })

	link := channel.New(4096, MTU, "\x5a\x94\xef\xe4\x0c\xee")
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	must(t, s.CreateNIC(1, ethernet.New(link)))
	for protocol, own := range map[tcpip.NetworkProtocolNumber]netip.Prefix{ipv4.ProtocolNumber: Guest, ipv6.ProtocolNumber: Guest6} {
		address := tcpip.AddressWithPrefix{Address: address(own.Addr()), PrefixLen: own.Bits()}
		must(t, s.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: protocol, AddressWithPrefix: address}, stack.AddressProperties{}))
	}
	s.SetRouteTable([]tcpip.Route{
		{Destination: subnet(Subnet), NIC: 1}, {Destination: subnet(Subnet6), NIC: 1},
		{Destination: subnet(netip.MustParsePrefix("0.0.0.0/0")), Gateway: address(Gateway), NIC: 1},
		{Destination: subnet(netip.MustParsePrefix("::/0")), Gateway: address(Gateway6), NIC: 1},
	})
	wg.Go(func() {
		for pkt := link.ReadContext(ctx); pkt != nil; pkt = link.ReadContext(ctx) {
			data := pkt.ToView().AsSlice()
			_, _ = theirs.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...))
			pkt.DecRef()
		}
	})
	wg.Go(func() {
		in := newReader(theirs)
		for {
			var head [4]byte
			if _, err := io.ReadFull(in, head[:]); err != nil {
				return
			}
			frame := make([]byte, binary.BigEndian.Uint32(head[:]))
			if _, err := io.ReadFull(in, frame); err != nil {
				return
			}
			link.InjectInbound(0, stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)}))
		}
	})
	t.Cleanup(func() {
		cancel()
		theirs.Close()
		wg.Wait()
		s.Close()
		n.Close()
	})
	return &guest{stack: s, wire: theirs}
}

// wire is a connected pair of sockets.
func wire(t *testing.T) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "w"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial("unix", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func must(t *testing.T, err tcpip.Error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dial connects from the guest.
func (g *guest) dial(to netip.AddrPort) (net.Conn, error) {
	return g.dialWithin(to, 20*time.Second)
}

func (g *guest) dialWithin(to netip.AddrPort, d time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return gonet.DialContextTCP(ctx, g.stack, full(to), family(to.Addr()))
}

func family(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is6() {
		return ipv6.ProtocolNumber
	}
	return ipv4.ProtocolNumber
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: 1, Addr: address(a.Addr()), Port: a.Port()}
}

// TestOnlyDNSAnswersOnTheGateway scans all ports of the gateway's addresses.
func TestOnlyDNSAnswersOnTheGateway(t *testing.T) {
	g := newGuest(t)
	for gateway, want := range map[netip.Addr][]uint16{Gateway: {53}, Gateway6: nil} {
		if open := g.scan(gateway); !slices.Equal(open, want) {
			t.Errorf("open TCP ports of %s: %v, want %v", gateway, open, want)
		}
	}
}

// scan returns the ports of an address that take connections.
func (g *guest) scan(addr netip.Addr) (open []uint16) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 256)
	for port := 1; port < 1<<16; port++ {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c, err := g.dial(netip.AddrPortFrom(addr, uint16(port)))
			if err == nil {
				c.Close()
				mu.Lock()
				open = append(open, uint16(port))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return open
}

// TestLoopbackOfTheHost tries to reach a service on the host's loopback by any address that might lead there.
func TestLoopbackOfTheHost(t *testing.T) {
	g := newGuest(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	reached := make(chan struct{}, 16)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			reached <- struct{}{}
			c.Close()
		}
	}()
	if ln6, err := net.Listen("tcp", fmt.Sprintf("[::1]:%d", ln.Addr().(*net.TCPAddr).Port)); err == nil {
		defer ln6.Close()
		go func() {
			for c, err := ln6.Accept(); err == nil; c, err = ln6.Accept() {
				reached <- struct{}{}
				c.Close()
			}
		}()
	}
	packets, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", ln.Addr().(*net.TCPAddr).Port))
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	port := uint16(ln.Addr().(*net.TCPAddr).Port)
	for _, a := range []string{
		"127.0.0.1", "127.1.2.3", "0.0.0.0", "0.0.0.1", "192.168.127.1", "192.168.127.254", "192.168.127.2",
		"169.254.169.254", "255.255.255.255", "224.0.0.1",
		"::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "fe80::1", "ff02::1", "fd6e:6172:75::1", "fd6e:6172:75::2",
	} {
		to := netip.AddrPortFrom(netip.MustParseAddr(a), port)
		if allowed(to.Addr()) {
			t.Errorf("the guest may reach %s", a)
		}
		if c, err := g.dialWithin(to, time.Second); err == nil {
			c.Close()
			t.Errorf("the guest reached %s", to)
		}
		remote := full(to)
		if c, err := gonet.DialUDP(g.stack, nil, &remote, family(to.Addr())); err == nil {
			_, _ = c.Write([]byte("hello"))
			c.Close()
		}
	}
	// A real service of the host's own comes last: once it has answered, all packets before it were dealt with.
	g.viaHost(t, outside(t, false))
	select {
	case <-reached:
		t.Error("a connection of the guest arrived at the host's loopback")
	default:
	}
	_ = packets.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, from, err := packets.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes from %v arrived at the host's loopback", n, from)
	}
}

// viaHost sends a megabyte through a TCP echo at an address of the host that is not loopback, and a packet through a
// UDP one.
func (g *guest) viaHost(t *testing.T, host netip.Addr) {
	t.Helper()
	ln, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		c.Close()
	}()
	c, err := g.dial(ln.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatalf("reach the host at %s: %v", ln.Addr(), err)
	}
	defer c.Close()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		_, _ = c.Write(sent)
		_ = c.(*gonet.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("echo through the network: %d bytes, %v", len(got), err)
	}

	packets, err := net.ListenPacket("udp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	go func() {
		buf := make([]byte, 2000)
		n, from, err := packets.ReadFrom(buf)
		if err == nil {
			_, _ = packets.WriteTo(buf[:n], from)
		}
	}()
	remote := full(packets.LocalAddr().(*net.UDPAddr).AddrPort())
	u, err := gonet.DialUDP(g.stack, nil, &remote, family(host))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	_ = u.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = u.Write([]byte("packet"))
	buf := make([]byte, 100)
	if n, err := u.Read(buf); err != nil || string(buf[:n]) != "packet" {
		t.Errorf("packet through the network: %q, %v", buf[:n], err)
	}
}

// TestIPv6 goes through the host by IPv6, with packets that the host takes in fragments.
func TestIPv6(t *testing.T) {
	newGuest(t).viaHost(t, outside(t, true))
}

// outside is an address of this host that is not loopback.
func outside(t *testing.T, v6 bool) netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is6() == v6 && allowed(prefix.Addr()) {
			return prefix.Addr()
		}
	}
	address := map[bool]string{false: "203.0.113.1/32", true: "2001:db8:113::1/128"}[v6]
	t.Skipf("this host has no such address but loopback; run: ip addr add %s dev lo", address)
	return netip.Addr{}
}

// TestRefused wants the guest to see a closed port as one.
func TestRefused(t *testing.T) {
	g := newGuest(t)
	ln, err := net.Listen("tcp", netip.AddrPortFrom(outside(t, false), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	closed := ln.Addr().(*net.TCPAddr).AddrPort()
	ln.Close()
	if _, err := g.dial(closed); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial of a closed port: %v", err)
	}
}

// TestBadFrames sends what no guest should: the network goes on.
func TestBadFrames(t *testing.T) {
	g := newGuest(t)
	for _, frame := range [][]byte{{}, {1}, bytes.Repeat([]byte{0xff}, 13), bytes.Repeat([]byte{0xff}, 20), append(make([]byte, 12), 0x08, 0x00), append(make([]byte, 12), 0x08, 0x06, 1)} {
		_, _ = g.wire.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	}
	c, err := g.dial(netip.AddrPortFrom(Gateway, 53))
	if err != nil {
		t.Fatalf("after bad frames: %v", err)
	}
	c.Close()
}

// TestDNS asks over both transports for a name that every host knows.
func TestDNS(t *testing.T) {
	g := newGuest(t)
	gateway := full(netip.AddrPortFrom(Gateway, 53))
	u, err := gonet.DialUDP(g.stack, nil, &gateway, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	c, err := g.dial(netip.AddrPortFrom(Gateway, 53))
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []*dns.Conn{{Conn: u, UDPSize: 4096}, {Conn: c}} {
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if err := conn.WriteMsg(new(dns.Msg).SetQuestion("localhost.", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		m, err := conn.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "127.0.0.1" {
			t.Errorf("answer: %v", m)
		}
		conn.Close()
	}
}

// stubResolver knows one name and fails for another.
type stubResolver struct{ resolver }

func (stubResolver) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if host == "broken.test." {
		return nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	}
	if host == "four.test." && network != "ip6" {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

func TestDNSTellsFailureFromAbsence(t *testing.T) {
	s := &dnsServer{log: slog.New(slog.DiscardHandler), up: stubResolver{}}
	for name, want := range map[string]int{"broken.test.": dns.RcodeServerFailure, "absent.test.": dns.RcodeNameError} {
		if _, got := s.answer(t.Context(), dns.Question{Name: name, Qtype: dns.TypeA, Qclass: dns.ClassINET}); got != want {
			t.Errorf("%s: %s, want %s", name, dns.RcodeToString[got], dns.RcodeToString[want])
		}
	}
	if answers, got := s.answer(t.Context(), dns.Question{Name: "four.test.", Qtype: dns.TypeAAAA}); len(answers) > 0 || got != dns.RcodeSuccess {
		t.Errorf("AAAA: %v, %s; a name that has IPv4 addresses exists", answers, dns.RcodeToString[got])
	}
}

func TestReversed(t *testing.T) {
	for name, want := range map[string]string{
		"10.2.0.192.in-addr.arpa.": "192.0.2.10",
		"b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.IP6.ARPA.": "4321:0:1:2:3:4:567:89ab",
		"2.0.192.in-addr.arpa.": "", "x.in-addr.arpa.": "", "www.example.test.": "", ".": "", "1.2.3.4.in-addr.example.": "",
	} {
		if addr, ok := reversed(name); ok != (want != "") || ok && addr.String() != want {
			t.Errorf("%s: %v, %t, want %q", name, addr, ok, want)
		}
	}
}
