package forward

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// datagrams is a UDP socket. One that is bound to every address of the host knows at which of them each datagram has come,
// and answers from there: a client takes no answer from another. (Windows does not tell for IPv4; the route's address is taken there.)
type datagrams struct {
	conn *net.UDPConn
	v4   *ipv4.PacketConn // nil where the socket has one address, or the system does not tell
	v6   *ipv6.PacketConn
}

func newDatagrams(conn *net.UDPConn) datagrams {
	d := datagrams{conn: conn}
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	switch {
	case !at.IsUnspecified():
	case at.Is4():
		if v4 := ipv4.NewPacketConn(conn); v4.SetControlMessage(ipv4.FlagDst, true) == nil {
			d.v4 = v4
		}
	default:
		if v6 := ipv6.NewPacketConn(conn); v6.SetControlMessage(ipv6.FlagDst, true) == nil {
			d.v6 = v6
		}
	}
	return d
}

// read returns a datagram, who sent it, and the address at which it has come, the zero Addr where there is but one.
func (d datagrams) read(buf []byte) (n int, peer netip.AddrPort, at netip.Addr, err error) {
	var from net.Addr
	var dst net.IP
	switch {
	case d.v4 != nil:
		var cm *ipv4.ControlMessage
		if n, cm, from, err = d.v4.ReadFrom(buf); cm != nil {
			dst = cm.Dst
		}
	case d.v6 != nil:
		var cm *ipv6.ControlMessage
		if n, cm, from, err = d.v6.ReadFrom(buf); cm != nil {
			dst = cm.Dst
		}
	default:
		n, peer, err = d.conn.ReadFromUDPAddrPort(buf)
		return n, peer, at, err
	}
	if udp, ok := from.(*net.UDPAddr); ok {
		peer = udp.AddrPort()
	}
	at, _ = netip.AddrFromSlice(dst)
	return n, peer, at, err
}

// write sends a datagram to peer from the address at, the zero Addr for any.
func (d datagrams) write(data []byte, peer netip.AddrPort, at netip.Addr) (err error) {
	switch {
	case d.v4 != nil && at.IsValid():
		_, err = d.v4.WriteTo(data, &ipv4.ControlMessage{Src: at.AsSlice()}, net.UDPAddrFromAddrPort(peer))
	case d.v6 != nil && at.IsValid():
		_, err = d.v6.WriteTo(data, &ipv6.ControlMessage{Src: at.AsSlice()}, net.UDPAddrFromAddrPort(peer))
	default:
		_, err = d.conn.WriteToUDPAddrPort(data, peer)
	}
	return err
}
