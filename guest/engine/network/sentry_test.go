package network

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// wire sends and hears whole frames on an interface of a namespace.
type wire struct {
	fd int
	to unix.SockaddrLinklayer
}

func newWire(t *testing.T, path string) *wire {
	t.Helper()
	return in(t, path, func() (*wire, error) {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return nil, err
		}
		all := binary.BigEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all<<8|all>>8))
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		w := &wire{fd, unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: link.Attrs().Index}}
		return w, unix.Bind(fd, &w.to)
	})
}

// hears waits for a frame with these bytes in it.
func (w *wire) hears(t *testing.T, mark []byte, wait time.Duration) bool {
	t.Helper()
	buf := make([]byte, 2048)
	for end := time.Now().Add(wait); ; {
		left := time.Until(end)
		if left <= 0 {
			return false
		}
		tv := unix.NsecToTimeval(left.Nanoseconds())
		if err := unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			t.Fatal(err)
		}
		if n, _, err := unix.Recvfrom(w.fd, buf, 0); err == nil && bytes.Contains(buf[:n], mark) {
			return true
		}
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// TestSpoofing: what a container sends in another's name does not arrive; with CAP_NET_ADMIN, or where the network says
// so, it does.
func TestSpoofing(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "one", EnableIPv6: ptr(true)})
	w.create(network.CreateRequest{Name: "free", EnableIPv6: ptr(true), Options: map[string]string{optSpoof: "false"}})
	c, _ := w.join(on("c", "one")), w.join(on("victim", "one"))
	hear := newWire(t, c.Path)
	admin := on("admin", "one")
	admin.NetAdmin = true
	for _, x := range []struct {
		name string
		box  *Sandbox
		free bool
	}{{"a container", w.join(on("a", "one")), false}, {"one with CAP_NET_ADMIN", w.join(admin), true}} {
		send := newWire(t, x.box.Path)
		for _, f := range frames(w, x.box, c) {
			mark := []byte(newID()[:16])
			frame := append(f.bytes, mark...)
			if err := unix.Sendto(send.fd, frame, 0, &send.to); err != nil {
				t.Fatal(err)
			}
			want, wait := f.honest || x.free, short
			if want {
				wait = long
			}
			if got := hear.hears(t, mark, wait); got != want {
				t.Errorf("%s: %s: arrives: %v", x.name, f.name, got)
			}
		}
	}
	if len(w.m.posts.posts) == 0 {
		t.Error("nobody is watched")
	}
	for link := range w.m.posts.posts {
		if ep := w.m.boxes["admin"].Endpoints[0]; link == ep.Link {
			t.Error("the admin is watched")
		}
	}
	f1, f2 := w.join(on("f1", "free")), w.join(on("f2", "free"))
	ear, mouth := newWire(t, f2.Path), newWire(t, f1.Path)
	mark := []byte(newID()[:16])
	lie := append(frames(w, f1, f2)[1].bytes, mark...)
	if err := unix.Sendto(mouth.fd, lie, 0, &mouth.to); err != nil || !ear.hears(t, mark, long) {
		t.Errorf("on a network without the protection: %v", err)
	}
}

type frame struct {
	name   string
	honest bool
	bytes  []byte
}

// frames are what from sends to the network that to is on.
func frames(w *world, from, to *Sandbox) []frame {
	var net string
	for net = range from.Networks {
	}
	own, other := from.Networks[net], to.Networks[net]
	mac, foreign := []byte(own.MacAddress), []byte(other.MacAddress)
	all := bytes.Repeat([]byte{0xff}, 6)
	group6 := []byte{0x33, 0x33, 0, 0, 0, 1}
	ip, theirs := own.IPAddress.AsSlice(), other.IPAddress.AsSlice()
	ip6, theirs6 := own.GlobalIPv6Address.AsSlice(), other.GlobalIPv6Address.AsSlice()
	ether := func(dst, src []byte, proto uint16) []byte {
		return join(dst, src, binary.BigEndian.AppendUint16(nil, proto))
	}
	ipv4 := func(src, dst []byte) []byte {
		header := join([]byte{0x45, 0, 0, 20 + 8 + 16, 0, 0, 0, 0, 64, 17, 0, 0}, src, dst)
		var sum uint32
		for i := 0; i < len(header); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(header[i:]))
		}
		binary.BigEndian.PutUint16(header[10:], ^uint16(sum+sum>>16))
		return join(header, []byte{0, 9, 0, 9, 0, 24, 0, 0})
	}
	arp := func(sha, spa []byte) []byte {
		return join([]byte{0, 1, 8, 0, 6, 4, 0, 1}, sha, spa, make([]byte, 6), theirs)
	}
	ipv6 := func(src []byte, next byte, more ...byte) []byte {
		size := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(more)+16))
		return join(size, []byte{next, 255}, src, netip.MustParseAddr("ff02::1").AsSlice(), more)
	}
	advert := func(kind byte, target []byte) []byte { return join([]byte{kind, 0, 0, 0, 0xa0, 0, 0, 0}, target) }
	local := linkLocal(mac)
	foreignLocal := linkLocal(foreign)
	zero := make([]byte, 4)
	return []frame{
		{"its own IPv4", true, join(ether(all, mac, unix.ETH_P_IP), ipv4(ip, theirs))},
		{"another's IPv4", false, join(ether(all, mac, unix.ETH_P_IP), ipv4(theirs, ip))},
		{"another's MAC", false, join(ether(all, foreign, unix.ETH_P_IP), ipv4(ip, theirs))},
		{"no address yet", true, join(ether(all, mac, unix.ETH_P_IP), ipv4(zero, theirs))},
		{"its own ARP", true, join(ether(all, mac, unix.ETH_P_ARP), arp(mac, ip))},
		{"an ARP probe", true, join(ether(all, mac, unix.ETH_P_ARP), arp(mac, zero))},
		{"ARP for another's address", false, join(ether(all, mac, unix.ETH_P_ARP), arp(mac, theirs))},
		{"ARP with another's MAC", false, join(ether(all, mac, unix.ETH_P_ARP), arp(foreign, ip))},
		{"its own IPv6", true, join(ether(group6, mac, unix.ETH_P_IPV6), ipv6(ip6, 17, make([]byte, 8)...))},
		{"its own link-local address", true, join(ether(group6, mac, unix.ETH_P_IPV6), ipv6(local[:], 17, make([]byte, 8)...))},
		{"another's IPv6", false, join(ether(group6, mac, unix.ETH_P_IPV6), ipv6(theirs6, 17, make([]byte, 8)...))},
		{"another's link-local address", false, join(ether(group6, mac, unix.ETH_P_IPV6), ipv6(foreignLocal[:], 17, make([]byte, 8)...))},
		{"its own neighbour advertisement", true, join(ether(group6, mac, unix.ETH_P_IPV6), ipv6(ip6, 58, advert(136, ip6)...))},
		{"another's neighbour advertisement", false, join(ether(group6, mac, unix.ETH_P_IPV6), ipv6(ip6, 58, advert(136, theirs6)...))},
		{"a router advertisement", false, join(ether(group6, mac, unix.ETH_P_IPV6), ipv6(local[:], 58, advert(134, ip6)...))},
	}
}
