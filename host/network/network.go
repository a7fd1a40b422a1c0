// Package network is the VM's way out: a TCP/IP stack in this process (gVisor's) at the other end of the guest's one
// network card. What the guest sends to anybody outside is opened again as an ordinary socket of this process, so it
// goes the way of the host's own programs, through its VPN and its firewall, and needs no privilege.
//
// What the guest can reach:
//   - the gateway's DNS, port 53 UDP and TCP, which asks the host's own resolver at each question; nothing else there
//   - every unicast address that the host can reach, but for the host's loopback (127.0.0.0/8, 0.0.0.0/8), link-local
//     addresses (cloud metadata services), and the virtual network itself. TCP gets a reset there, UDP an ICMP
//     "port unreachable".
//
// The same by IPv6, but for "::1", link-local addresses, and those that stand for IPv4 ones. The guest's own address there is a
// unique local one (RFC 4193): programs then prefer IPv4 where a name has both (RFC 6724), so that a host without IPv6
// costs them nothing.
//
// There is no DHCP server (the guest's addresses are in its config document), no way in (published ports are
// streams over vsock), and no control API. The design page names gvisor-tap-vsock for this; only its NAT could have
// been used, and that dials 127.0.0.1 and 0.0.0.0 when a guest asks for them, has room for ten connections that are
// being opened, answers pings in the name of everybody, and can be crashed by a frame shorter than its header.
package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// The virtual network. It is the same for every VM: each has a stack of its own, so nothing clashes but a LAN of the
// same addresses, which the guest then cannot reach.
var (
	Subnet  = netip.MustParsePrefix("192.168.127.0/24")
	Gateway = netip.MustParseAddr("192.168.127.1")
	Guest   = netip.MustParsePrefix("192.168.127.2/24") // the guest's address and prefix length

	Subnet6  = netip.MustParsePrefix("fd6e:6172:75::/64")
	Gateway6 = netip.MustParseAddr("fd6e:6172:75::1")
	Guest6   = netip.MustParsePrefix("fd6e:6172:75::2/64")
)

const (
	// GuestMAC is the address of the guest's card.
	GuestMAC = "5a:94:ef:e4:0c:ee"
	// MTU is the largest packet in bytes. There is no wire that would limit it, and fewer, larger packets bring an image
	// into an emulated machine at 100 instead of 35 MB/s. Containers have bridges of their own, with 1500.
	MTU = 65520

	gatewayMAC = "\x5a\x94\xef\xe4\x0c\xdd"
	nicID      = 1
	maxFrame   = 1 << 17
)

// Network is one virtual network. Its methods are safe for concurrent use.
type Network struct {
	log   *slog.Logger
	stack *stack.Stack
	link  *link
	dns   *dnsServer
	nat   *nat
}

// New makes the network and begins to answer on it. The caller closes it.
func New(log *slog.Logger) (*Network, error) {
	n := &Network{log: log, link: &link{mtu: MTU, addr: gatewayMAC}}
	n.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	if err := n.setUp(); err != nil {
		n.Close()
		return nil, fmt.Errorf("make the virtual network: %w", err)
	}
	return n, nil
}

func (n *Network) setUp() error {
	if err := tuneTCP(n.stack); err != nil {
		return err
	}
	if err := n.stack.CreateNIC(nicID, ethernet.New(n.link)); err != nil {
		return errors.New(err.String())
	}
	for protocol, gateway := range map[tcpip.NetworkProtocolNumber]netip.Addr{ipv4.ProtocolNumber: Gateway, ipv6.ProtocolNumber: Gateway6} {
		own := tcpip.ProtocolAddress{Protocol: protocol, AddressWithPrefix: address(gateway).WithPrefix()}
		if err := n.stack.AddProtocolAddress(nicID, own, stack.AddressProperties{}); err != nil {
			return errors.New(err.String())
		}
	}
	// Take packets for any address, and answer in its name: that is what a NAT does.
	n.stack.SetPromiscuousMode(nicID, true)
	n.stack.SetSpoofing(nicID, true)
	n.stack.SetRouteTable([]tcpip.Route{{Destination: subnet(Subnet), NIC: nicID}, {Destination: subnet(Subnet6), NIC: nicID}})
	n.nat = newNAT(n.log, n.stack)
	return n.serveDNS()
}

// serveDNS listens on the gateway's port 53.
func (n *Network) serveDNS() error {
	at := tcpip.FullAddress{NIC: nicID, Addr: address(Gateway), Port: 53}
	packets, err := gonet.DialUDP(n.stack, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return fmt.Errorf("listen for DNS: %w", err)
	}
	streams, err := gonet.ListenTCP(n.stack, at, ipv4.ProtocolNumber)
	if err != nil {
		_ = packets.Close()
		return fmt.Errorf("listen for DNS: %w", err)
	}
	n.dns = startDNS(n.log, net.DefaultResolver, packets, streams)
	return nil
}

// Serve takes the guest's frames from conn until it ends or ctx does, and closes it. One guest at a time.
func (n *Network) Serve(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	err := n.link.run(conn)
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return ctx.Err()
	}
	return fmt.Errorf("virtual network: %w", err)
}

// Close ends every connection through the network and waits for them.
func (n *Network) Close() {
	if n.dns != nil {
		n.dns.close()
	}
	if n.nat != nil {
		n.nat.close()
	}
	n.stack.Close()
	n.stack.Wait()
}

// tuneTCP sets what every host of today has: selective acknowledgement, windows of megabytes, CUBIC.
func tuneTCP(s *stack.Stack) error {
	sack := tcpip.TCPSACKEnabled(true)
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	cubic := tcpip.CongestionControlOption("cubic")
	rcv := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 1 << 20, Max: 4 << 20}
	snd := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 1 << 20, Max: 4 << 20}
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &cubic, &rcv, &snd} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return errors.New(err.String())
		}
	}
	return nil
}

func address(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func subnet(p netip.Prefix) tcpip.Subnet {
	return tcpip.AddressWithPrefix{Address: address(p.Addr()), PrefixLen: p.Bits()}.Subnet()
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, maxFrame) }
