package network

import (
	"errors"
	"fmt"
	"hash/crc32"
	stdnet "net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linkGroup marks our host's sides of veth pairs, so that a next engine finds those that belong to nobody.
func (m *Manager) linkGroup() uint32 { return crc32.ChecksumIEEE([]byte("naru "+m.opts.Name)) | 1<<30 }

// inside runs fn on a thread in the namespace, with a netlink socket of it.
func (m *Manager) inside(pin string, fn func(h *netlink.Handle) error) error {
	return m.host.inNS(filepath.Join(m.pins, pin), func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("open netlink: %w", err)
		}
		defer h.Close()
		return fn(h)
	})
}

// newPair makes a veth pair between the host's namespace and the calling thread's, and returns the name of the host's
// side. mac and mtu are those inside; nil and 0 leave them open.
func (m *Manager) newPair(inside string, mac stdnet.HardwareAddr, mtu int) (string, error) {
	self, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(self)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Group = "veth"+newID()[:7], mtu, m.linkGroup()
	pair := &netlink.Veth{
		LinkAttrs: attrs, PeerName: inside, PeerHardwareAddr: mac,
		PeerNamespace: netlink.NsFd(self), PeerTxQLen: -1, PeerMTU: uint32(mtu),
	}
	if err := m.host.handle.LinkAdd(pair); err != nil {
		return "", fmt.Errorf("make veth pair: %w", err)
	}
	return attrs.Name, nil
}

// plug puts the calling thread's namespace on the network as ep says: with the pair that ep has, else with a new one.
// ep.Link is set as soon as there is one.
func (m *Manager) plug(n *netEntry, ep *endpoint, inside *netlink.Handle) (err error) {
	fresh := ep.Link == ""
	if fresh {
		if ep.Link, err = m.newPair(ep.Inside, stdnet.HardwareAddr(ep.MAC), n.MTU); err != nil {
			return err
		}
	}
	outer, err := m.host.handle.LinkByName(ep.Link)
	if err != nil {
		return fmt.Errorf("find %s: %w", ep.Link, err)
	}
	if err := m.joinBridge(n, outer); err != nil {
		return err
	}
	name := ep.Inside
	if !fresh {
		name = "eth0"
	}
	link, err := inside.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if !fresh {
		if err := m.reshape(n, ep, inside, link, outer); err != nil {
			return err
		}
	}
	return configureInside(n, ep, inside, link)
}

// reshape gives a ready pair the name, the MAC and the MTU that the endpoint wants.
func (m *Manager) reshape(n *netEntry, ep *endpoint, inside *netlink.Handle, link, outer netlink.Link) error {
	if err := inside.LinkSetHardwareAddr(link, stdnet.HardwareAddr(ep.MAC)); err != nil {
		return fmt.Errorf("set MAC address %s: %w", ep.MAC, err)
	}
	if link.Attrs().MTU != n.MTU {
		if err := errors.Join(inside.LinkSetMTU(link, n.MTU), m.host.handle.LinkSetMTU(outer, n.MTU)); err != nil {
			return fmt.Errorf("set MTU %d: %w", n.MTU, err)
		}
	}
	if ep.Inside == "eth0" {
		return nil
	}
	if err := inside.LinkSetName(link, ep.Inside); err != nil {
		return fmt.Errorf("name the interface %s: %w", ep.Inside, err)
	}
	return nil
}

// configureInside sets addresses and sysctls of the container's interface and brings it up.
func configureInside(n *netEntry, ep *endpoint, inside *netlink.Handle, link netlink.Link) error {
	if ep.Addr6.IsValid() {
		if err := setSysctls([]sysctl{{"net/ipv6/conf/" + ep.Inside + "/disable_ipv6", "0"}}); err != nil {
			return err
		}
	}
	if err := setSysctls(ep.sysctls()); err != nil {
		return err
	}
	for _, a := range ep.prefixes(n) {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD // nobody else has it
		}
		if err := inside.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("set address %s: %w", a, err)
		}
	}
	if err := inside.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", ep.Inside, err)
	}
	return nil
}

// prefixes are the endpoint's addresses, with the length of their subnets.
func (ep *endpoint) prefixes(n *netEntry) (list []netip.Prefix) {
	if ep.Addr.IsValid() {
		list = append(list, netip.PrefixFrom(ep.Addr, n.V4.Pool.Bits()))
	}
	if ep.Addr6.IsValid() {
		list = append(list, netip.PrefixFrom(ep.Addr6, n.V6.Pool.Bits()))
	}
	if ep.Settings != nil && ep.Settings.IPAMConfig != nil {
		for _, a := range ep.Settings.IPAMConfig.LinkLocalIPs {
			bits := 16
			if a.Is6() {
				bits = 64
			}
			list = append(list, netip.PrefixFrom(a, bits))
		}
	}
	return list
}

// Options of an endpoint, by Docker's names.
const (
	optSysctls = "com.docker.network.endpoint.sysctls"
	optIfName  = "com.docker.network.endpoint.ifname"
)

// sysctls are those that the user wants for the interface: "net.ipv4.conf.IFNAME.log_martians=1,…", checked by
// checkSettings.
func (ep *endpoint) sysctls() (list []sysctl) {
	if ep.Settings == nil || ep.Settings.DriverOpts[optSysctls] == "" {
		return nil
	}
	for s := range strings.SplitSeq(ep.Settings.DriverOpts[optSysctls], ",") {
		name, value, _ := strings.Cut(s, "=")
		part := strings.SplitN(name, ".", 5)
		list = append(list, sysctl{strings.Join([]string{part[0], part[1], part[2], ep.Inside, part[4]}, "/"), value})
	}
	return list
}

// setDefaultRoute makes gateway the way out of the calling thread's namespace, or replaces what was.
func setDefaultRoute(inside *netlink.Handle, device string, gateway netip.Addr) error {
	link, err := inside.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	any := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if gateway.Is6() {
		any = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(any), Gw: gateway.AsSlice()}
	if err := inside.RouteReplace(route); err != nil {
		return fmt.Errorf("set default route: %w", err)
	}
	return nil
}

// dropDefaultRoute removes the default routes of one family.
func dropDefaultRoute(inside *netlink.Handle, family int) error {
	routes, err := inside.RouteList(nil, family)
	if err != nil && !interrupted(err) {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() != "0.0.0.0/0" && r.Dst.String() != "::/0" || r.Gw == nil {
			continue
		}
		if err := inside.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("drop default route: %w", err)
		}
	}
	return nil
}

// joinBridge puts the host's side of a pair on a bridge of the network and brings it up.
func (m *Manager) joinBridge(n *netEntry, link netlink.Link) error {
	if err := m.master(n, link); err != nil {
		return err
	}
	// Frames may leave by the port they came from: with br_netfilter a container reaches its own published port so.
	if err := m.host.handle.LinkSetHairpin(link, true); err != nil {
		return fmt.Errorf("set hairpin mode: %w", err)
	}
	if !n.icc {
		// Isolated ports of a bridge exchange no frames; by way of the host they still reach published ports.
		if err := m.host.handle.LinkSetIsolated(link, true); err != nil {
			return fmt.Errorf("isolate %s: %w", link.Attrs().Name, err)
		}
	}
	if err := m.host.handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", link.Attrs().Name, err)
	}
	return nil
}
