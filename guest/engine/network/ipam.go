package network

import (
	"fmt"
	"math"
	"net/netip"
	"sync"

	"github.com/containerd/errdefs"
)

// ipam hands out the addresses of one subnet. The next one is the lowest free after the last that was given, so
// that an address rests as long as possible before somebody else gets it.
type ipam struct {
	pool netip.Prefix
	from netip.Prefix // the part that take chooses from

	mu   sync.Mutex // guards all below
	used map[netip.Addr]struct{}
	last netip.Addr
}

var errNoAddress = errdefs.ErrUnavailable.WithMessage("no available addresses on this pool")

// newIPAM reserves what no container can have: the network's own address, the broadcast address, the gateway's and
// the auxiliary ones.
func newIPAM(s *subnet) *ipam {
	a := &ipam{pool: s.Pool, from: s.Pool, used: map[netip.Addr]struct{}{}}
	if s.Range.IsValid() {
		a.from = s.Range
	}
	a.last = a.from.Masked().Addr()
	switch {
	case s.Range.IsValid():
		a.last = a.last.Prev() // so that the first of the range comes first
	case s.Gateway.IsValid():
		a.last = a.last.Next()
	}
	bits := s.Pool.Addr().BitLen() - s.Pool.Bits()
	if s.Pool.Addr().Is6() || bits > 1 { // RFC 3021: a /31 has no such addresses
		a.used[s.Pool.Masked().Addr()] = struct{}{}
	}
	if s.Pool.Addr().Is4() && bits > 1 {
		a.used[lastAddr(s.Pool)] = struct{}{}
	}
	if s.Gateway.IsValid() {
		a.used[s.Gateway] = struct{}{}
	}
	for _, aux := range s.Aux {
		a.used[aux] = struct{}{}
	}
	return a
}

// take returns a free address and marks it as used.
func (a *ipam) take() (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.from.Masked().Addr()
	start := a.last.Next()
	if !a.from.Contains(start) {
		start = first
	}
	for addr := start; ; {
		if _, taken := a.used[addr]; !taken {
			a.used[addr] = struct{}{}
			a.last = addr
			return addr, nil
		}
		if addr = addr.Next(); !a.from.Contains(addr) {
			addr = first
		}
		if addr == start {
			return netip.Addr{}, errNoAddress
		}
	}
}

// firstFree is the address that the host takes: the lowest that a container could have.
func (a *ipam) firstFree() (netip.Addr, error) {
	a.last = a.from.Masked().Addr().Prev()
	return a.take()
}

// reserve marks an address as used, and reports whether it was free.
func (a *ipam) reserve(addr netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, taken := a.used[addr]; taken || !a.pool.Contains(addr) {
		return false
	}
	a.used[addr] = struct{}{}
	return true
}

// want gives out exactly addr, or any free one when it is not valid.
func (a *ipam) want(addr netip.Addr) (netip.Addr, error) {
	if !addr.IsValid() {
		return a.take()
	}
	if !a.pool.Contains(addr) {
		return addr, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid address %s: It does not belong to any of this network's subnets", addr))
	}
	if !a.reserve(addr) {
		return addr, errdefs.ErrPermissionDenied.WithMessage("Address already in use")
	}
	return addr, nil
}

func (a *ipam) release(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.used, addr)
}

// count tells how many addresses are in use or reserved, and how many take could still give.
func (a *ipam) count() (used, free uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	inside := uint64(0)
	for addr := range a.used {
		if a.from.Contains(addr) {
			inside++
		}
	}
	host := a.from.Addr().BitLen() - a.from.Bits()
	if host >= 64 {
		return uint64(len(a.used)), math.MaxUint64 - inside
	}
	return uint64(len(a.used)), uint64(1)<<host - inside
}

// lastAddr is the last address of a prefix; an IPv4 subnet's broadcast address.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}
