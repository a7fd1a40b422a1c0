package network

import (
	"net/netip"

	"github.com/moby/moby/api/types/network"
)

// assignSubnets gives a new network its subnets: the user's, else free ones. setup is held.
func (m *Manager) assignSubnets(n *netEntry, ipam *network.IPAM) error {
	if ipam != nil {
		for _, c := range ipam.Config {
			if err := n.addSubnet(c); err != nil {
				return err
			}
		}
	}
	if n.ConfigOnly {
		return nil
	}
	t, err := m.takenSubnets(n)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		wanted, v6 bool
		s          **subnet
	}{{!n.NoIPv4, false, &n.V4}, {n.IPv6, true, &n.V6}} {
		if !f.wanted {
			*f.s = nil
			continue
		}
		if *f.s == nil {
			p, err := m.choose(t, f.v6)
			if err != nil {
				return err
			}
			*f.s = &subnet{Pool: p, Chosen: true}
		} else if m.overlapsOurs((*f.s).Pool, n) {
			return forbidden("invalid pool request: Pool overlaps with other one on this address space")
		}
		(*f.s).settleGateway(n.gatewayless(f.v6))
	}
	return nil
}

// addSubnet takes one subnet of the user's.
func (n *netEntry) addSubnet(c network.IPAMConfig) error {
	if !c.Subnet.IsValid() || c.Subnet.Addr().IsUnspecified() {
		return nil
	}
	s := &subnet{Pool: c.Subnet.Masked(), Range: c.IPRange, Gateway: c.Gateway.Unmap(), Aux: c.AuxAddress}
	slot := &n.V4
	if c.Subnet.Addr().Is6() {
		if !n.IPv6 {
			return nil
		}
		if ll := netip.MustParsePrefix("fe80::/64"); s.Pool != ll && ll.Overlaps(s.Pool) {
			return invalid("'%s' clashes with the Link-Local prefix 'fe80::/64'", s.Pool)
		}
		slot = &n.V6
	}
	if s.Pool.Addr().IsMulticast() || s.Pool.Addr().IsLoopback() {
		return invalid("multicast and loopback subnets are not allowed: %s", s.Pool)
	}
	if *slot != nil {
		return forbidden("%s driver doesn't support multiple subnets", n.Driver)
	}
	*slot = s
	return nil
}

// settleGateway chooses the gateway's address: the first that a container could have.
func (s *subnet) settleGateway(none bool) {
	if s.Gateway.IsValid() || none {
		return
	}
	if addr, err := newIPAM(&subnet{Pool: s.Pool, Range: s.Range, Aux: s.Aux}).firstFree(); err == nil {
		s.Gateway = addr
	}
}

// overlapsOurs reports whether p overlaps a subnet of another network of ours.
func (m *Manager) overlapsOurs(p netip.Prefix, except *netEntry) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.nets {
		if n == except || n.ConfigOnly {
			continue
		}
		for _, s := range []*subnet{n.V4, n.V6} {
			if s != nil && s.Pool.Overlaps(p) {
				return true
			}
		}
	}
	return false
}

// gatewayless networks set no address aside for a gateway: nobody would have it, or nobody go by it.
func (n *netEntry) gatewayless(v6 bool) bool {
	return n.Driver != driverBridge || n.noAddress(v6) && n.Internal
}
