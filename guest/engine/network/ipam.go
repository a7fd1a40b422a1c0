package network

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
)

// ipam hands out the addresses of one subnet. The next one is the lowest free after the last that was given, so
// that an address rests as long as possible before somebody else gets it.
type ipam struct {
	subnet netip.Prefix

	mu   sync.Mutex // guards all below
	used map[netip.Addr]struct{}
	last netip.Addr
}

var errNoAddress = errors.New("no available IPv4 addresses on this network's address pools")

// newIPAM reserves the network's, the gateway's and the broadcast address. The gateway is the first one.
func newIPAM(subnet netip.Prefix) *ipam {
	first := subnet.Masked().Addr()
	a := &ipam{subnet: subnet, used: map[netip.Addr]struct{}{}, last: first.Next()}
	a.used[first] = struct{}{}
	a.used[first.Next()] = struct{}{}
	a.used[lastAddr(subnet)] = struct{}{}
	return a
}

// take returns a free address and marks it as used.
func (a *ipam) take() (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for addr := a.last.Next(); ; addr = addr.Next() {
		if !a.subnet.Contains(addr) {
			addr = a.subnet.Masked().Addr()
		}
		if _, taken := a.used[addr]; !taken {
			a.used[addr] = struct{}{}
			a.last = addr
			return addr, nil
		}
		if addr == a.last {
			return netip.Addr{}, errNoAddress
		}
	}
}

// reserve marks an address as used, and reports whether it was free.
func (a *ipam) reserve(addr netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, taken := a.used[addr]; taken || !a.subnet.Contains(addr) {
		return false
	}
	a.used[addr] = struct{}{}
	return true
}

func (a *ipam) release(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.used, addr)
}

// lastAddr is the broadcast address of an IPv4 prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// subnetPools are Docker's default address pools, in its order: /16s out of 172.16.0.0/12, then /20s.
func subnetPools() []netip.Prefix {
	var out []netip.Prefix
	for i := 17; i <= 31; i++ {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(i), 0, 0}), 16))
	}
	for i := 0; i < 256; i += 16 {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(i), 0}), 20))
	}
	return out
}

// chooseSubnet returns the first pool that overlaps nothing in taken.
func chooseSubnet(taken []netip.Prefix) (netip.Prefix, error) {
	for _, p := range subnetPools() {
		if !slices.ContainsFunc(taken, p.Overlaps) {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network")
}
