package resolver

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Ports are where a container's sockets are bound, at Addr.
type Ports struct{ UDP, TCP uint16 }

// Sockets are one container's.
type Sockets struct {
	Ports
	udp, tcp int
}

// Listen opens sockets in the calling thread's network namespace, whose lo is up, and leads port 53 to them. again are the
// ports that they had before, zero for any; others are taken where those are in use by now.
func Listen(again Ports) (*Sockets, error) {
	s, err := open(again)
	if err != nil && again != (Ports{}) {
		s, err = open(Ports{})
	}
	if err != nil {
		return nil, fmt.Errorf("DNS sockets: %w", err)
	}
	if s.Ports == again {
		return s, nil // the rules are there
	}
	if err := redirect(s.Ports); err != nil {
		s.Close()
		return nil, fmt.Errorf("DNS rules: %w", err)
	}
	return s, nil
}

func open(p Ports) (*Sockets, error) {
	s := &Sockets{udp: -1, tcp: -1}
	var err error
	if s.udp, s.UDP, err = bind(unix.SOCK_DGRAM, p.UDP); err != nil {
		return nil, err
	}
	if s.tcp, s.TCP, err = bind(unix.SOCK_STREAM, p.TCP); err != nil {
		s.Close()
		return nil, err
	}
	if err := unix.Listen(s.tcp, 64); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func bind(kind int, port uint16) (fd int, bound uint16, err error) {
	fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, 0, err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
			fd = -1
		}
	}()
	if kind == unix.SOCK_STREAM {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return fd, 0, err
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: Addr.As4(), Port: int(port)}); err != nil {
		return fd, 0, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return fd, 0, err
	}
	in4, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		return fd, 0, errors.New("the socket has no IPv4 address")
	}
	return fd, uint16(in4.Port), nil
}

// Close closes them. Not after Server.Set has taken them over.
func (s *Sockets) Close() {
	for _, fd := range []int{s.udp, s.tcp} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// redirect writes the namespace's table:
//
//	chain output  nat     port 53 of 127.0.0.11 leads to the sockets
//	chain away    filter  while nobody has the sockets open the kernel would refuse questions, and clients would give up
//	                      at once: without the refusal they ask again
func redirect(p Ports) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "naru_dns"}
	c.AddTable(t)
	c.DelTable(t)
	c.AddTable(t)
	output := c.AddChain(&nftables.Chain{Table: t, Name: "output", Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest})
	away := c.AddChain(&nftables.Chain{Table: t, Name: "away", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
	addr := Addr.AsSlice()
	for proto, port := range map[byte]uint16{unix.IPPROTO_UDP: p.UDP, unix.IPPROTO_TCP: p.TCP} {
		c.AddRule(&nftables.Rule{Table: t, Chain: output, Exprs: []expr.Any{
			header(16, 4), equals(addr),
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equals([]byte{proto}),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, equals([]byte{0, 53}),
			&expr.Immediate{Register: 1, Data: addr},
			&expr.Immediate{Register: 2, Data: []byte{byte(port >> 8), byte(port)}},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
		}})
	}
	c.AddRule(&nftables.Rule{Table: t, Chain: away, Exprs: []expr.Any{
		header(12, 4), equals(addr),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equals([]byte{unix.IPPROTO_ICMP}),
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	return c.Flush()
}

func header(offset, length uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}
}

func equals(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }
