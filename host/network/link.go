package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// link is the wire to the guest as the stack sees it. Frames travel as QEMU's stream netdev sends them: their length
// as 32 bits, big-endian, then the frame.
//
// A send blocks while the guest does not take frames: that slows a sender down, where a queue that drops would make
// TCP find out by loss.
type link struct {
	mtu uint32

	// mu guards the fields below, and the order of frames on conn.
	mu         sync.Mutex
	conn       net.Conn // nil while no guest is connected: frames are lost then
	dispatcher stack.NetworkDispatcher
	addr       tcpip.LinkAddress
}

var errBusy = errors.New("a guest is connected already")

// run takes frames from conn until it ends.
func (l *link) run(conn net.Conn) error {
	l.mu.Lock()
	if l.conn != nil {
		l.mu.Unlock()
		return errBusy
	}
	l.conn = conn
	dispatcher := l.dispatcher
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.conn = nil
		l.mu.Unlock()
	}()
	return l.receive(conn, dispatcher)
}

// receive reads frame after frame. The guest is not trusted: a length that no frame can have ends the link, a frame
// that is none is dropped.
func (l *link) receive(conn io.Reader, dispatcher stack.NetworkDispatcher) error {
	in := newReader(conn)
	var head [4]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(head[:])
		if size > maxFrame {
			return fmt.Errorf("a frame of %d bytes", size)
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		if !l.wanted(frame) {
			continue
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
		dispatcher.DeliverNetworkPacket(0, pkt) // the Ethernet layer above finds out the protocol
		pkt.DecRef()
	}
}

// wanted drops what the stack would answer in a way that is not true, for it takes every address as its own: ARP and neighbour
// solicitations for others than the gateway, and pings of hosts that were never asked.
func (l *link) wanted(frame []byte) bool {
	if len(frame) < header.EthernetMinimumSize {
		return false
	}
	payload := frame[header.EthernetMinimumSize:]
	switch header.Ethernet(frame).Type() {
	case header.ARPProtocolNumber:
		arp := header.ARP(payload)
		return arp.IsValid() && tcpip.AddrFrom4Slice(arp.ProtocolAddressTarget()) == address(Gateway)
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(payload)
		return ip.IsValid(len(payload)) &&
			(ip.TransportProtocol() != header.ICMPv4ProtocolNumber || ip.DestinationAddress() == address(Gateway))
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(payload)
		return ip.IsValid(len(payload)) && wanted6(ip)
	default:
		return false
	}
}

// wanted6 takes TCP, UDP and their fragments; of ICMP what finds the gateway, and pings of it. Other headers before those
// (multicast reports, routing) lead nowhere here.
func wanted6(ip header.IPv6) bool {
	switch ip.NextHeader() {
	case uint8(header.TCPProtocolNumber), uint8(header.UDPProtocolNumber), uint8(header.IPv6FragmentHeader):
		return true
	case uint8(header.ICMPv6ProtocolNumber):
		icmp := header.ICMPv6(ip.Payload())
		if len(icmp) < header.ICMPv6MinimumSize {
			return false
		}
		if icmp.Type() == header.ICMPv6NeighborSolicit && len(icmp) >= header.ICMPv6NeighborSolicitMinimumSize {
			return header.NDPNeighborSolicit(icmp.MessageBody()).TargetAddress() == address(Gateway6)
		}
		return ip.DestinationAddress() == address(Gateway6)
	}
	return false
}

// WritePackets sends frames to the guest.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, pkt := range pkts.AsSlice() {
		if l.conn == nil {
			return n, &tcpip.ErrNoNet{}
		}
		head := binary.BigEndian.AppendUint32(nil, uint32(pkt.Size()))
		frame := net.Buffers(append([][]byte{head}, pkt.AsSlices()...))
		if _, err := frame.WriteTo(l.conn); err != nil {
			return n, &tcpip.ErrClosedForSend{}
		}
		n++
	}
	return n, nil
}

// The rest of stack.LinkEndpoint.

func (l *link) MTU() uint32                   { return l.mtu }
func (l *link) SetMTU(uint32)                 {}
func (l *link) MaxHeaderLength() uint16       { return 0 }
func (l *link) Wait()                         {}
func (l *link) Close()                        {}
func (l *link) SetOnCloseAction(func())       {}
func (l *link) AddHeader(*stack.PacketBuffer) {}

func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// Capabilities leaves checksums of what arrives unchecked: it came through memory, not over a wire.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

func (l *link) LinkAddress() tcpip.LinkAddress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addr
}

func (l *link) SetLinkAddress(addr tcpip.LinkAddress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addr = addr
}

func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

func (l *link) IsAttached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dispatcher != nil
}
