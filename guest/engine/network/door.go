package network

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/engine/splice"
)

// door passes on the TCP connections of a published port that nftables cannot lead to the container: those to ::1, which Linux
// routes nowhere else, and those by IPv6 to a container that has IPv4 only. Everything else goes past it in the kernel.
type door struct {
	ln     net.Listener
	target netip.AddrPort
	slots  chan struct{}
	work   sync.WaitGroup
	life   context.Context
	end    context.CancelFunc
}

const (
	maxThrough  = 4096 // connections through one door
	doorBacklog = 1024
	doorDial    = 30 * time.Second
)

// needsDoor tells whether some connections to ip do not get to the container by themselves.
func needsDoor(proto string, ip, container netip.Addr) bool {
	return proto == "tcp" && ip.Is6() && (container.Is4() || ip.IsUnspecified() || ip.IsLoopback())
}

// openDoor serves what comes to fd, a socket of holdPort's, which stays the caller's.
func openDoor(fd int, target netip.AddrPort) (*door, error) {
	if err := letIn(fd, target.Addr().Is6()); err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, doorBacklog); err != nil {
		return nil, err
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(own), "published port")
	defer file.Close()
	ln, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	d := &door{ln: ln, target: target, slots: make(chan struct{}, maxThrough)}
	d.life, d.end = context.WithCancel(context.Background())
	d.work.Go(d.run)
	return d, nil
}

// loopbackOnly is a socket filter that lets in what comes to ::1: the destination lies 24 bytes into the IPv6 header.
var loopbackOnly = func() (f [10]unix.SockFilter) {
	const network = uint32(0xfff00000) // SKF_NET_OFF: loads count from the network header
	for i, want := range []uint32{0, 0, 0, 1} {
		f[2*i] = unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: network + 24 + uint32(4*i)}
		f[2*i+1] = unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: uint8(7 - 2*i), K: want} // to the last
	}
	f[8] = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: ^uint32(0)}
	f[9] = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	return f
}()

// letIn takes away holdPort's filter; with loopback it leaves one that lets in what comes to ::1 only, for the rest is led on in
// the kernel, and comes here only before its rule is there.
func letIn(fd int, loopback bool) error {
	if !loopback {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	}
	filter := &unix.SockFprog{Len: uint16(len(loopbackOnly)), Filter: &loopbackOnly[0]}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, filter)
}

func (d *door) run() {
	for {
		d.slots <- struct{}{}
		conn, err := d.ln.Accept()
		if err != nil {
			if d.life.Err() != nil {
				return
			}
			<-d.slots
			time.Sleep(10 * time.Millisecond) // no descriptor is free
			continue
		}
		d.work.Go(func() {
			defer func() { <-d.slots }()
			d.pass(conn.(*net.TCPConn))
		})
	}
}

// pass carries one connection to the container and back.
func (d *door) pass(in *net.TCPConn) {
	defer in.Close()
	dialer := net.Dialer{Timeout: doorDial}
	conn, err := dialer.DialContext(d.life, "tcp", d.target.String())
	if err != nil {
		_ = in.SetLinger(0) // a reset, as the container's own refusal would be
		return
	}
	out := conn.(*net.TCPConn)
	defer out.Close()
	defer context.AfterFunc(d.life, func() { _ = in.Close(); _ = out.Close() })()
	splice.Both(in, out)
}

// close ends the door and all that goes through it.
func (d *door) close() {
	d.end()
	_ = d.ln.Close()
	d.work.Wait()
}
