package network

import (
	"errors"
	"fmt"
	stdnet "net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// bringUp makes sure that the network's bridge exists with its address, choosing a subnet the first time. A subnet
// that meanwhile collides with one of the host's routes is replaced, unless the bridge is still there.
func (m *Manager) bringUp(n *netEntry) error {
	link, err := netlink.LinkByName(n.Device)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		link = nil
	case err != nil:
		return fmt.Errorf("find %s: %w", n.Device, err)
	case link.Type() != "bridge":
		return fmt.Errorf("%s is a %s, not a bridge", n.Device, link.Type())
	}
	if err := m.settleSubnet(n, link != nil); err != nil {
		return err
	}
	if link == nil {
		if link, err = createBridge(n); err != nil {
			return err
		}
	}
	n.index = link.Attrs().Index
	n.ipam = newIPAM(n.Subnet)
	return m.configureBridge(n, link)
}

// settleSubnet gives n a subnet that is free, and stores it.
func (m *Manager) settleSubnet(n *netEntry, exists bool) error {
	if n.Subnet.IsValid() && exists {
		return nil
	}
	taken, err := takenPrefixes(n.Device)
	if err != nil {
		return err
	}
	for _, other := range m.nets {
		if other != n && other.Subnet.IsValid() {
			taken = append(taken, other.Subnet)
		}
	}
	old := n.Subnet
	if old.IsValid() && !overlapsAny(old, taken) {
		return nil
	}
	if n.Subnet, err = chooseSubnet(taken); err != nil {
		return err
	}
	n.Gateway = n.Subnet.Addr().Next()
	if old.IsValid() {
		m.opts.Log.Warn("network: subnet replaced, the host uses it otherwise now",
			"network", n.Name, "old", old, "new", n.Subnet)
	}
	return m.saveNetwork(n)
}

// createBridge makes the bridge with a MAC of its own: else it would take that of its lowest port, and change.
func createBridge(n *netEntry) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = n.Device, n.MTU, macFor(n.Gateway)
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return nil, fmt.Errorf("make bridge %s: %w", n.Device, err)
	}
	return netlink.LinkByName(n.Device)
}

// configureBridge sets the address and our sysctls on the bridge and brings it up. Idempotent.
func (m *Manager) configureBridge(n *netEntry, link netlink.Link) error {
	sysctls := []sysctl{
		{"net/ipv6/conf/" + n.Device + "/disable_ipv6", "1"}, // no link-local way from containers to the host's services
		{"net/ipv6/conf/" + n.Device + "/accept_ra", "0"},
	}
	if m.opts.Mode == api.ModeDirect {
		// Connections from the host's 127.0.0.1 go out by the bridge after DNAT. The table's raw chain keeps
		// containers from using it the other way round.
		sysctls = append(sysctls, sysctl{"net/ipv4/conf/" + n.Device + "/route_localnet", "1"})
	}
	if err := setSysctls(sysctls); err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(n.Gateway, n.Subnet.Bits()))}
	if err := netlink.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("set address %s on %s: %w", n.Gateway, n.Device, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", n.Device, err)
	}
	return nil
}

// removeBridge deletes the ports of the bridge that are still there, and the bridge. A port goes away by itself some
// time after its namespace was dropped; deleting it explicitly waits for that.
func removeBridge(device string) error {
	bridge, err := netlink.LinkByName(device)
	if err != nil {
		var missing netlink.LinkNotFoundError
		if errors.As(err, &missing) {
			return nil
		}
		return err
	}
	ports, err := bridgePorts(bridge.Attrs().Index)
	if err != nil {
		return err
	}
	for _, p := range ports {
		if err := netlink.LinkDel(p); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("delete %s: %w", p.Attrs().Name, err)
		}
	}
	if err := netlink.LinkDel(bridge); err != nil {
		return fmt.Errorf("delete bridge %s: %w", device, err)
	}
	return nil
}

func bridgePorts(index int) ([]netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var out []netlink.Link
	for _, l := range links {
		if l.Attrs().MasterIndex == index {
			out = append(out, l)
		}
	}
	return out, nil
}

// takenPrefixes are the IPv4 networks that the host knows by routes and addresses, those of except left out.
func takenPrefixes(except string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	skip := -1
	if l, err := netlink.LinkByName(except); err == nil {
		skip = l.Attrs().Index
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, 0)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst != nil && r.LinkIndex != skip {
			out = appendPrefix(out, r.Dst)
		}
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if a.LinkIndex != skip {
			out = appendPrefix(out, a.IPNet)
		}
	}
	return out, nil
}

// appendPrefix appends n, unless it is the default route.
func appendPrefix(list []netip.Prefix, n *stdnet.IPNet) []netip.Prefix {
	addr, ok := netip.AddrFromSlice(n.IP.To4())
	bits, _ := n.Mask.Size()
	if !ok || bits == 0 {
		return list
	}
	return append(list, netip.PrefixFrom(addr, bits).Masked())
}

func overlapsAny(p netip.Prefix, list []netip.Prefix) bool {
	for _, q := range list {
		if p.Overlaps(q) {
			return true
		}
	}
	return false
}

// enableForwarding turns IPv4 forwarding on if it is off. It is not turned off again: others may rely on it by then.
func (m *Manager) enableForwarding() error {
	const path = "/proc/sys/net/ipv4/ip_forward"
	now, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(now)) == "1" {
		return nil
	}
	if err := os.WriteFile(path, []byte("1"), 0); err != nil {
		return fmt.Errorf("turn on IPv4 forwarding: %w", err)
	}
	m.opts.Log.Info("network: turned on IPv4 forwarding on this host", "sysctl", "net.ipv4.ip_forward")
	return nil
}

// sysctl is one setting: the path under /proc/sys, of the calling thread's network namespace, and the value.
type sysctl struct{ path, value string }

// setSysctls writes the settings. One that the kernel does not have is left out: IPv6 may be compiled out.
func setSysctls(list []sysctl) error {
	for _, s := range list {
		err := os.WriteFile(filepath.Join("/proc/sys", s.path), []byte(s.value), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("set %s: %w", s.path, err)
		}
	}
	return nil
}

// macFor derives a locally administered MAC from an address, as Docker long did: the same address always has the
// same MAC, so that no neighbour table ever holds a stale one.
func macFor(addr netip.Addr) stdnet.HardwareAddr {
	ip := addr.As4()
	return stdnet.HardwareAddr{0x02, 0x42, ip[0], ip[1], ip[2], ip[3]}
}

func ipNet(p netip.Prefix) *stdnet.IPNet {
	return &stdnet.IPNet{IP: stdnet.IP(p.Addr().AsSlice()), Mask: stdnet.CIDRMask(p.Bits(), 32)}
}
