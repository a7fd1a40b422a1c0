package network

import (
	"crypto/sha256"
	"fmt"
	stdnet "net"
	"net/netip"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// pools4 calls try with each IPv4 subnet that a network of ours may get, until it returns true: first Docker's, in
// its order (/16s out of 172.16.0.0/12, then /20s of 192.168.0.0/16: 31 networks), then /20s of 10.0.0.0/8 from the
// top, where fewest sites number their hosts, and at last the benchmark networks of RFC 2544: more than 4,500.
func pools4(try func(netip.Prefix) bool) {
	for i := 17; i <= 31; i++ {
		if try(netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(i), 0, 0}), 16)) {
			return
		}
	}
	for i := 0; i < 256; i += 16 {
		if try(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(i), 0}), 20)) {
			return
		}
	}
	for i := 4095; i >= 0; i-- {
		if try(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 4), byte(i << 4), 0}), 20)) {
			return
		}
	}
	for i := range 512 {
		if try(netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(18 + i>>8), byte(i), 0}), 24)) {
			return
		}
	}
}

// pools6 calls try with the /64s of the installation's own /48 out of fd00::/8 (RFC 4193), until it returns true.
func pools6(name string, try func(netip.Prefix) bool) {
	sum := sha256.Sum256([]byte(machineID() + "\x00" + name))
	var b [16]byte
	b[0] = 0xfd
	copy(b[1:6], sum[:5])
	for i := range 1 << 16 {
		b[6], b[7] = byte(i>>8), byte(i)
		if try(netip.PrefixFrom(netip.AddrFrom16(b), 64)) {
			return
		}
	}
}

// machineID tells hosts apart, so that two of them on one network choose different IPv6 prefixes.
func machineID() string {
	id, err := readIfThere("/etc/machine-id")
	if err != nil {
		return ""
	}
	return string(id)
}

// taken are the subnets that a new network must not overlap.
type taken struct {
	exact map[netip.Prefix]bool // of our networks: the same pool is found at once
	list  []netip.Prefix        // all
}

// takenSubnets looks at the host's routes and addresses, its name servers, and our other networks. The caller holds
// setup or is alone.
func (m *Manager) takenSubnets(except *netEntry) (*taken, error) {
	t := &taken{exact: map[netip.Prefix]bool{}}
	m.mu.Lock()
	ours := map[netip.Prefix]bool{}
	for _, n := range m.nets {
		for _, s := range []*subnet{n.V4, n.V6} {
			if s == nil {
				continue
			}
			if n != except || n.index != 0 {
				ours[s.Pool] = true // its routes are its bridge's
			}
			if n != except {
				t.exact[s.Pool] = true
				t.list = append(t.list, s.Pool)
			}
		}
	}
	m.mu.Unlock()
	host, err := hostPrefixes()
	if err != nil {
		return nil, err
	}
	for _, p := range host {
		if !ours[p] {
			t.list = append(t.list, p)
		}
	}
	for _, s := range hostServers() {
		if !s.IsLoopback() {
			t.list = append(t.list, netip.PrefixFrom(s.WithZone(""), s.BitLen()))
		}
	}
	return t, nil
}

// overlaps returns what p overlaps.
func (t *taken) overlaps(p netip.Prefix) (netip.Prefix, bool) {
	if t.exact[p] {
		return p, true
	}
	for _, q := range t.list {
		if p.Overlaps(q) {
			return q, true
		}
	}
	return netip.Prefix{}, false
}

// choose returns the first pool of the family that is free.
func (m *Manager) choose(t *taken, v6 bool) (netip.Prefix, error) {
	var found netip.Prefix
	try := func(p netip.Prefix) bool {
		if _, bad := t.overlaps(p); bad {
			return false
		}
		found = p
		return true
	}
	family := "IPv4"
	if v6 {
		family = "IPv6"
		pools6(m.opts.Name, try)
	} else {
		pools4(try)
	}
	if !found.IsValid() {
		return found, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"could not find an available, non-overlapping %s address pool among the defaults to assign to the network", family))
	}
	return found, nil
}

// hostPrefixes are the networks that the host knows by routes and addresses.
func hostPrefixes() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{}, 0)
		if err != nil && !interrupted(err) {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			if r.Dst != nil {
				out = appendPrefix(out, r.Dst)
			}
		}
		addrs, err := netlink.AddrList(nil, family)
		if err != nil && !interrupted(err) {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		for _, a := range addrs {
			out = appendPrefix(out, a.IPNet)
		}
	}
	return out, nil
}

// appendPrefix appends n, unless it is the default route or every link's own fe80::/64.
func appendPrefix(list []netip.Prefix, n *stdnet.IPNet) []netip.Prefix {
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	if !ok || bits == 0 || addr.IsLinkLocalUnicast() && addr.Is6() {
		return list
	}
	return append(list, netip.PrefixFrom(addr.Unmap(), bits).Masked())
}
