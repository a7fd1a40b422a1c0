package network

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	stdnet "net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// bringUp makes sure that the network's bridge exists with its addresses, and that the table knows it. A subnet of our
// choice that meanwhile collides with one of the host's routes is replaced, unless the bridge is still there. setup is
// held.
func (m *Manager) bringUp(n *netEntry) error {
	n.nameDevice(m.opts.MTU)
	link, err := findBridge(n.Device)
	if err != nil {
		return err
	}
	if err := m.settleSubnets(n, link != nil); err != nil {
		return err
	}
	if link == nil {
		if link, err = createBridge(n); err != nil {
			return err
		}
	}
	if err := m.configureBridge(n, link); err != nil {
		return err
	}
	m.mu.Lock()
	n.index, n.ipam4, n.ipam6 = link.Attrs().Index, nil, nil
	if n.V4 != nil {
		n.ipam4 = newIPAM(n.V4)
	}
	if n.V6 != nil {
		n.ipam6 = newIPAM(n.V6)
	}
	err, ready := n.findShards(), m.restored
	m.mu.Unlock()
	if err != nil {
		return err
	}
	if err := m.enableForwarding(n); err != nil {
		return err
	}
	if !ready {
		return nil // Restore writes the whole table
	}
	if err := m.tellTable(func() error { return m.table.addNetwork(n) }); err != nil {
		return err
	}
	return m.guard.add(n)
}

// nameDevice chooses the bridge's name and MTU, once.
func (n *netEntry) nameDevice(mtu int) {
	n.Device = cmp.Or(n.Device, n.bridgeOptions.name)
	if n.Device == "" {
		n.Device = "br-" + n.ID[:12]
	}
	n.MTU = cmp.Or(n.MTU, n.bridgeOptions.mtu, mtu)
}

// claimDevice chooses the bridge of a new network, and finds out whether it is the user's own.
func (m *Manager) claimDevice(n *netEntry) error {
	n.nameDevice(m.opts.MTU)
	if other := m.ownerOf(n.Device); other != nil {
		return forbidden("cannot create network %s (%s): conflicts with network %s (%s): networks have same bridge name",
			n.ID, n.Device, other.ID, other.Device)
	}
	link, err := findBridge(n.Device)
	n.Borrowed = link != nil
	return err
}

// findBridge returns the bridge of that name, nil when there is none.
func findBridge(name string) (netlink.Link, error) {
	if len(name) >= unix.IFNAMSIZ || strings.ContainsAny(name, "/ \t\n:") {
		return nil, invalid("invalid bridge name: %q: an interface's name has at most 15 characters", name)
	}
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("find %s: %w", name, err)
	case link.Type() != "bridge":
		return nil, invalid("%s is a %s, not a bridge", name, link.Type())
	}
	return link, nil
}

// ownerOf returns our network that has the bridge.
func (m *Manager) ownerOf(device string) *netEntry {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.nets {
		if n.Device == device {
			return n
		}
	}
	return nil
}

// settleSubnets gives n subnets that are free, where it has none or the host uses them by now, and stores them.
func (m *Manager) settleSubnets(n *netEntry, exists bool) error {
	if exists && (n.V4 != nil || n.NoIPv4) && (n.V6 != nil || !n.IPv6) || n.Unfinished {
		return nil
	}
	t, err := m.takenSubnets(n)
	if err != nil {
		return err
	}
	changed := false
	for _, f := range []struct {
		wanted, v6 bool
		s          **subnet
	}{{!n.NoIPv4, false, &n.V4}, {n.IPv6, true, &n.V6}} {
		old := *f.s
		if !f.wanted || old != nil && exists {
			continue
		}
		if old != nil {
			other, bad := t.overlaps(old.Pool)
			if !bad {
				continue
			}
			if !old.Chosen {
				m.opts.Log.Warn("network: the host uses the subnet too", "network", n.Name, "subnet", old.Pool, "host", other)
				continue
			}
		}
		p, err := m.choose(t, f.v6)
		if err != nil {
			return err
		}
		s := &subnet{Pool: p, Chosen: true}
		s.settleGateway(n.gatewayless(f.v6))
		*f.s, changed = s, true
		if old != nil {
			m.opts.Log.Warn("network: subnet replaced, the host uses it otherwise now", "network", n.Name, "old", old.Pool, "new", p)
		}
	}
	if !changed {
		return nil
	}
	return m.saveNetwork(n, false)
}

// createBridge makes the bridge with a MAC of its own: else it would take that of its lowest port, and change.
func createBridge(n *netEntry) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = n.Device, n.MTU
	s := cmp.Or(n.V4, n.V6)
	if attrs.HardwareAddr = macFor(s.Gateway); !s.Gateway.IsValid() {
		attrs.HardwareAddr = macFor(s.Pool.Addr())
	}
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return nil, fmt.Errorf("make bridge %s: %w", n.Device, err)
	}
	return netlink.LinkByName(n.Device)
}

// configureBridge sets the addresses and our sysctls on the bridge and brings it up. Idempotent.
func (m *Manager) configureBridge(n *netEntry, link netlink.Link) error {
	sysctls := []sysctl{{"net/ipv6/conf/" + n.Device + "/accept_ra", "0"}}
	if !n.Borrowed {
		// Without IPv6 there is no link-local way from containers to the host's services either.
		sysctls = append(sysctls, sysctl{"net/ipv6/conf/" + n.Device + "/disable_ipv6", strconv.Itoa(1 - b2i(n.V6 != nil && !n.isolated6))})
	}
	if n.Internal && !n.Borrowed {
		// Nothing that comes from it is forwarded, whatever becomes of the table. IPv6 has no such setting.
		sysctls = append(sysctls, sysctl{"net/ipv4/conf/" + n.Device + "/forwarding", "0"})
	}
	if m.opts.Mode == api.ModeDirect && !n.Internal {
		// Connections from the host's 127.0.0.1 go out by the bridge after DNAT. The table's raw chain keeps
		// containers from using it the other way round.
		sysctls = append(sysctls, sysctl{"net/ipv4/conf/" + n.Device + "/route_localnet", "1"})
	}
	if err := setSysctls(sysctls); err != nil {
		return err
	}
	for _, s := range []*subnet{n.V4, n.V6} {
		if s == nil || !s.Gateway.IsValid() || n.noAddress(s.Pool.Addr().Is6()) {
			continue
		}
		addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(s.Gateway, s.Pool.Bits()))}
		if s.Gateway.Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("set address %s on %s: %w", s.Gateway, n.Device, err)
		}
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
	if err != nil && !interrupted(err) {
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

// enableForwarding turns forwarding on where n needs it and it is off. It is not turned off again: others may rely on it
// by then.
func (m *Manager) enableForwarding(n *netEntry) error {
	if n.Internal {
		return nil
	}
	if n.V4 != nil {
		if err := m.turnOn("net/ipv4/ip_forward", "IPv4 forwarding"); err != nil {
			return err
		}
	}
	if n.V6 == nil {
		return nil
	}
	return m.turnOn("net/ipv6/conf/all/forwarding", "IPv6 forwarding")
}

func (m *Manager) turnOn(path, what string) error {
	now, err := os.ReadFile(filepath.Join("/proc/sys", path))
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(now)) == "1" {
		return nil
	}
	if err := setSysctls([]sysctl{{path, "1"}}); err != nil {
		return fmt.Errorf("turn on %s: %w", what, err)
	}
	m.opts.Log.Info("network: turned on "+what+" on this host", "sysctl", path)
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
	if addr.Is4() {
		ip := addr.As4()
		return stdnet.HardwareAddr{0x02, 0x42, ip[0], ip[1], ip[2], ip[3]}
	}
	sum := sha256.Sum256(addr.AsSlice())
	return stdnet.HardwareAddr{0x02, 0x42, sum[0], sum[1], sum[2], sum[3]}
}

func ipNet(p netip.Prefix) *stdnet.IPNet {
	return &stdnet.IPNet{IP: stdnet.IP(p.Addr().AsSlice()), Mask: stdnet.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func interrupted(err error) bool { return errors.Is(err, netlink.ErrDumpInterrupted) }
