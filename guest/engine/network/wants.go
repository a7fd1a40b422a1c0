package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// want is a network that a container is to be on.
type want struct {
	n *netEntry
	s *network.EndpointSettings // the user's wishes, nil for none
}

// modeName is the network that a mode names.
func modeName(mode container.NetworkMode) string {
	if mode == "" || mode.IsDefault() {
		return network.NetworkBridge
	}
	return string(mode)
}

// wants finds the networks of a request, the mode's first and the others by name. The caller holds mu.
func (m *Manager) wants(req Request) ([]want, error) {
	first := modeName(req.Mode)
	settings := req.Settings
	if settings == nil {
		settings = map[string]*network.EndpointSettings{first: nil}
	}
	var list []want
	for ref, s := range settings {
		if ref == network.NetworkDefault {
			ref = network.NetworkBridge
		}
		n, err := m.find(ref)
		if err == nil && n.going {
			err = notFound(ref)
		}
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(list, func(w want) bool { return w.n == n }) {
			list = append(list, want{n, s})
		}
	}
	isFirst := func(n *netEntry) bool { return n.Name == first || strings.HasPrefix(n.ID, first) }
	slices.SortFunc(list, func(a, b want) int {
		return cmp.Or(cmp.Compare(b2i(isFirst(b.n)), b2i(isFirst(a.n))), cmp.Compare(a.n.Name, b.n.Name))
	})
	for i, w := range list {
		for _, other := range list[:i] {
			if err := compatible(other.n, w.n); err != nil {
				return nil, err
			}
		}
		if err := w.check(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func notFound(ref string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", ref))
}

// compatible reports whether a container can be on both networks, in Docker's words.
func compatible(a, b *netEntry) error {
	if a.Driver == driverHost || b.Driver == driverHost {
		return invalid("container sharing network namespace with another container or host cannot be connected to any other network")
	}
	if a.Driver == driverNull || b.Driver == driverNull {
		return invalid("container cannot be connected to multiple networks with one of the networks in private (none) mode")
	}
	return nil
}

// check refuses wishes that the network cannot fulfil.
func (w want) check() error {
	if w.n.ConfigOnly {
		return forbidden("cannot create endpoint on configuration-only network")
	}
	if err := checkSettings(w.n, w.n.Name, w.s); err != nil {
		return err
	}
	return nil
}

// checkSettings refuses settings that no network, or not this one, can fulfil. n is nil for a network that is not there
// yet.
func checkSettings(n *netEntry, name string, s *network.EndpointSettings) error {
	if s == nil {
		return nil
	}
	var errs []string
	say := func(format string, args ...any) { errs = append(errs, fmt.Sprintf(format, args...)) }
	ipam := s.IPAMConfig
	if ipam == nil {
		ipam = &network.EndpointIPAMConfig{}
	}
	if isPredefined(name) {
		if ipam.IPv4Address.IsValid() || ipam.IPv6Address.IsValid() {
			say("user-specified IP address is supported on user-defined networks only")
		}
		if len(s.Aliases) > 0 {
			say("network-scoped aliases are only supported for user-defined networks")
		}
	}
	if a := ipam.IPv4Address; a.IsValid() && (!a.Unmap().Is4() || a.IsUnspecified()) {
		say("invalid IPv4 address: %s", a)
	}
	if a := ipam.IPv6Address; a.IsValid() && (!a.Is6() || a.Is4In6() || a.IsUnspecified() || a.Zone() != "") {
		say("invalid IPv6 address: %s", a)
	}
	for _, a := range ipam.LinkLocalIPs {
		if !a.IsLinkLocalUnicast() {
			say("invalid link-local IP address: %s", a)
		}
	}
	if n != nil {
		n.checkInside(ipam, say)
	}
	if n != nil && n.Driver == driverIPvlan && len(s.MacAddress) > 0 {
		say("ipvlan interfaces do not support custom mac address assignment")
	}
	checkDriverOpts(s.DriverOpts, say)
	if m := s.MacAddress; len(m) > 0 && (len(m) != 6 || m[0]&1 != 0) {
		say("invalid MAC address: %s: six bytes are wanted, and no multicast address", m)
	}
	if len(errs) > 0 {
		return invalid("invalid endpoint settings:\n%s", bullets(errs))
	}
	return nil
}

// checkInside refuses addresses that are not of the network's subnets.
func (n *netEntry) checkInside(ipam *network.EndpointIPAMConfig, say func(string, ...any)) {
	for _, c := range []struct {
		addr netip.Addr
		s    *subnet
	}{{ipam.IPv4Address.Unmap(), n.V4}, {ipam.IPv6Address, n.V6}} {
		if c.addr.IsValid() && (c.s == nil || !c.s.Pool.Contains(c.addr)) {
			say("no configured subnet contains IP address %s", c.addr)
		}
	}
}

func checkDriverOpts(opts map[string]string, say func(string, ...any)) {
	if list := opts[optSysctls]; list != "" {
		for s := range strings.SplitSeq(list, ",") {
			name, _, _ := strings.Cut(s, "=")
			part := strings.SplitN(name, ".", 5)
			if len(part) != 5 || part[0] != "net" || !slices.Contains([]string{"ipv4", "ipv6", "mpls"}, part[1]) ||
				part[3] != "IFNAME" && part[3] != "ifname" || strings.ContainsAny(name, "/") || !strings.Contains(s, "=") {
				say("unrecognised network interface sysctl '%s'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'", s)
			}
		}
	}
	if name := opts[optIfName]; len(name) > 15 || strings.ContainsAny(name, "/: \t\n") || name == "lo" || name == "." || name == ".." {
		say("invalid interface name: %q", name)
	}
}

// Validate checks at creation what Attach would refuse at start whatever the state of the host. A network that is not
// there yet may come before the start, as in Docker.
func (m *Manager) Validate(req Request) error {
	if _, err := wishes(req.Ports); err != nil {
		return err
	}
	if req.Mode.IsContainer() {
		if len(req.Ports) > 0 {
			return invalid("conflicting options: port publishing and the container type network mode")
		}
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []string
	for ref, s := range req.Settings {
		if ref == network.NetworkDefault {
			ref = network.NetworkBridge
		}
		n, _ := m.find(ref)
		if n != nil {
			ref = n.Name
		}
		if err := checkSettings(n, ref, s); err != nil {
			errs = append(errs, fmt.Sprintf("invalid config for network %s: %s", ref, err))
		}
	}
	if len(errs) > 0 {
		slices.Sort(errs)
		return invalid("%s", bullets(errs))
	}
	if _, err := m.wants(req); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}
