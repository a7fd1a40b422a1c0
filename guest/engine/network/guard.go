package network

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// guard keeps packets away from containers while the nftables table is gone, because somebody restarts the host's
// firewall. It is made of what a flush of nftables does not touch: the table's chain "alive" marks each packet that may
// be forwarded into a network of ours; a routing rule sends those without the mark to a routing table in which all our
// subnets are black holes.
//
//	pref N:   from the host itself: go on at N+2
//	pref N+1: without the mark: look into the table of black holes
//	pref N+2: nothing
//
// N, the mark's bit and the number of the table follow from the installation's name.
type guard struct {
	bit   uint32
	table int
	pref  int
}

// The preferences lie behind the local table, which is 0, and before main and what VPNs put around it. The bits are
// ones that neither Kubernetes nor Tailscale, WireGuard or Cilium use.
const (
	guardPrefs = 1000 // the first of them
	guardSlots = 1000
	guardBits  = 24 // the first of four
)

func newGuard(name string) *guard {
	sum := crc32.ChecksumIEEE([]byte("naru guard " + name))
	return &guard{bit: 1 << (guardBits + sum%4), table: int(sum&0x3fffffff | 1<<30), pref: guardPrefs + 3*int(sum%guardSlots)}
}

// rules are the routing rules of one family, in the order in which they are made.
func (g *guard) rules(family int) []*netlink.Rule {
	rule := func(pref int) *netlink.Rule {
		r := netlink.NewRule()
		r.Family, r.Priority = family, pref
		return r
	}
	end, host, lookup := rule(g.pref+2), rule(g.pref), rule(g.pref+1)
	end.Type = ruleNop
	host.IifName, host.Goto = "lo", g.pref+2
	lookup.Mark, lookup.Mask, lookup.Invert, lookup.Table = g.bit, &g.bit, true, g.table
	return []*netlink.Rule{end, host, lookup}
}

const ruleNop = 3 // FR_ACT_NOP

// families of IP. A kernel without IPv6 answers EAFNOSUPPORT or EOPNOTSUPP.
var families = []int{unix.AF_INET, unix.AF_INET6}

func unsupported(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)
}

// sync makes the rules, and black holes for exactly these networks. Idempotent.
func (g *guard) sync(nets []*netEntry) error {
	wanted := map[netip.Prefix]bool{}
	for _, n := range nets {
		if n.Driver != driverBridge || n.index == 0 {
			continue
		}
		for _, p := range n.pools() {
			wanted[p] = true
		}
		if err := g.add(n); err != nil {
			return err
		}
	}
	for _, family := range families {
		for _, r := range g.rules(family) {
			if err := netlink.RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) && !unsupported(err) {
				return fmt.Errorf("make routing rule %d: %w", r.Priority, err)
			}
		}
	}
	return g.prune(func(p netip.Prefix) bool { return !wanted[p] })
}

// add makes black holes of a network's subnets. Idempotent.
func (g *guard) add(n *netEntry) error {
	for _, p := range n.pools() {
		if err := netlink.RouteReplace(g.hole(p)); err != nil && !unsupported(err) {
			return fmt.Errorf("guard subnet %s: %w", p, err)
		}
	}
	return nil
}

// drop forgets a network. Idempotent.
func (g *guard) drop(n *netEntry) error {
	for _, p := range n.pools() {
		if err := netlink.RouteDel(g.hole(p)); err != nil && !errors.Is(err, unix.ESRCH) && !unsupported(err) {
			return fmt.Errorf("guard subnet %s: %w", p, err)
		}
	}
	return nil
}

func (g *guard) hole(p netip.Prefix) *netlink.Route {
	family := unix.AF_INET
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	return &netlink.Route{Family: family, Table: g.table, Type: unix.RTN_BLACKHOLE, Dst: ipNet(p.Masked())}
}

// prune removes the black holes that which names.
func (g *guard) prune(which func(netip.Prefix) bool) error {
	for _, family := range families {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: g.table, Type: unix.RTN_BLACKHOLE}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
		if err != nil && !unsupported(err) && !interrupted(err) {
			return fmt.Errorf("list guarded subnets: %w", err)
		}
		for _, r := range routes {
			if r.Dst == nil {
				continue
			}
			addr, _ := netip.AddrFromSlice(r.Dst.IP)
			bits, _ := r.Dst.Mask.Size()
			p := netip.PrefixFrom(addr.Unmap(), bits)
			if !which(p) {
				continue
			}
			if err := netlink.RouteDel(g.hole(p)); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("guard subnet %s: %w", p, err)
			}
		}
	}
	return nil
}

// remove takes all of it back. Idempotent.
func (g *guard) remove() error {
	var errs []error
	for _, family := range families {
		for _, r := range g.rules(family) {
			if err := netlink.RuleDel(r); err != nil && !errors.Is(err, unix.ENOENT) && !unsupported(err) {
				errs = append(errs, fmt.Errorf("remove routing rule %d: %w", r.Priority, err))
			}
		}
	}
	return errors.Join(append(errs, g.prune(func(netip.Prefix) bool { return true }))...)
}

// pools are the network's subnets.
func (n *netEntry) pools() (list []netip.Prefix) {
	for _, s := range []*subnet{n.V4, n.V6} {
		if s != nil {
			list = append(list, s.Pool)
		}
	}
	return list
}
