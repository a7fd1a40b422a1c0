package network

import (
	"errors"
	"fmt"
	stdnet "net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The drivers macvlan and ipvlan put containers straight onto a link of the host's, the parent: no bridge, no
// translation of addresses, no published ports. Without a parent there is a dummy that leads nowhere.

// Options of both, by Docker's names.
const (
	optParent  = "parent"
	optMacMode = "macvlan_mode"
	optIPMode  = "ipvlan_mode"
	optIPFlag  = "ipvlan_flag"
)

// lanOptions are the options of a macvlan or ipvlan network, read.
type lanOptions struct {
	macMode netlink.MacvlanMode
	ipMode  netlink.IPVlanMode
	ipFlag  netlink.IPVlanFlag
}

var macModes = map[string]netlink.MacvlanMode{
	"bridge": netlink.MACVLAN_MODE_BRIDGE, "private": netlink.MACVLAN_MODE_PRIVATE,
	"vepa": netlink.MACVLAN_MODE_VEPA, "passthru": netlink.MACVLAN_MODE_PASSTHRU,
}

var ipModes = map[string]netlink.IPVlanMode{"l2": netlink.IPVLAN_MODE_L2, "l3": netlink.IPVLAN_MODE_L3, "l3s": netlink.IPVLAN_MODE_L3S}

var ipFlags = map[string]netlink.IPVlanFlag{"bridge": netlink.IPVLAN_FLAG_BRIDGE, "private": netlink.IPVLAN_FLAG_PRIVATE, "vepa": netlink.IPVLAN_FLAG_VEPA}

func parseLanOptions(driver string, options map[string]string) (o lanOptions, err error) {
	pick := func(name, fallback string) string {
		if v := options[name]; v != "" {
			return v
		}
		return fallback
	}
	var known bool
	if driver == driverMacvlan {
		if o.macMode, known = macModes[pick(optMacMode, "bridge")]; !known {
			return o, invalid("requested macvlan mode '%s' is not valid, 'bridge' mode is the macvlan driver default", options[optMacMode])
		}
	} else {
		if o.ipMode, known = ipModes[pick(optIPMode, "l2")]; !known {
			return o, invalid("requested ipvlan mode '%s' is not valid, 'l2' mode is the ipvlan driver default", options[optIPMode])
		}
		if o.ipFlag, known = ipFlags[pick(optIPFlag, "bridge")]; !known {
			return o, invalid("requested ipvlan flag '%s' is not valid, 'bridge' is the ipvlan driver default", options[optIPFlag])
		}
	}
	if options[optParent] == "lo" {
		return o, invalid("loopback interface is not a valid %s parent link", driver)
	}
	return o, nil
}

// isLan reports whether containers on n are straight on a link of the host's.
func (n *netEntry) isLan() bool { return n.Driver == driverMacvlan || n.Driver == driverIPvlan }

// leadsNowhere reports whether nothing but the network's own containers can be reached.
func (n *netEntry) leadsNowhere() bool { return n.Internal || n.isLan() && n.Options[optParent] == "" }

// routed reports whether containers have no neighbours on n: the kernel routes for them.
func (n *netEntry) routed() bool {
	return n.Driver == driverIPvlan && n.lan.ipMode != netlink.IPVLAN_MODE_L2
}

// claimParent names the parent of a new network and refuses one that another network has. setup is held.
func (m *Manager) claimParent(n *netEntry) error {
	n.Device = n.Options[optParent]
	if n.Device == "" {
		n.Device = "dm-" + n.ID[:12]
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range m.nets {
		if other.Device != n.Device || !other.isLan() {
			continue
		}
		switch {
		case n.Driver == driverIPvlan || other.Driver == driverIPvlan:
			return forbidden("network %s is already using parent interface %s", other.ID, n.Device)
		case n.lan.macMode == netlink.MACVLAN_MODE_PASSTHRU:
			return forbidden("cannot use mode passthru, macvlan network %s is already using parent interface %s", other.ID, n.Device)
		case other.lan.macMode == netlink.MACVLAN_MODE_PASSTHRU:
			return forbidden("macvlan network %s is already using parent interface %s in mode passthru", other.ID, n.Device)
		}
		n.MadeParent = n.MadeParent || other.MadeParent // whoever is the last removes it
	}
	return nil
}

// bringUpLan makes sure that the parent is there. setup is held.
func (m *Manager) bringUpLan(n *netEntry) error {
	link, err := netlink.LinkByName(n.Device)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		link, err = m.makeParent(n)
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n.index, n.ipam4, n.ipam6 = link.Attrs().Index, nil, nil
	if n.V4 != nil {
		n.ipam4 = newIPAM(n.V4)
	}
	if n.V6 != nil {
		n.ipam6 = newIPAM(n.V6)
	}
	return nil
}

// makeParent makes a dummy, or the VLAN that a name such as eth0.10 means.
func (m *Manager) makeParent(n *netEntry) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.Device
	var link netlink.Link = &netlink.Dummy{LinkAttrs: attrs}
	if n.Options[optParent] != "" {
		trunk, id, err := parseVLAN(n.Device)
		if err != nil {
			return nil, err
		}
		parent, err := netlink.LinkByName(trunk)
		if err != nil {
			return nil, invalid("-o parent interface was not found on the host: %s", trunk)
		}
		attrs.ParentIndex = parent.Attrs().Index
		link = &netlink.Vlan{LinkAttrs: attrs, VlanId: id}
	}
	n.MadeParent = true
	if err := m.saveNetwork(n, false); err != nil {
		return nil, err
	}
	if err := netlink.LinkAdd(link); err != nil {
		return nil, fmt.Errorf("make %s: %w", n.Device, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("bring up %s: %w", n.Device, err)
	}
	return netlink.LinkByName(n.Device)
}

// parseVLAN reads eth0.10.
func parseVLAN(name string) (trunk string, id int, err error) {
	trunk, number, found := cutLast(name, ".")
	if !found {
		return "", 0, invalid("invalid subinterface vlan name %s, example formatting is eth0.10", name)
	}
	if id, err = strconv.Atoi(number); err != nil {
		return "", 0, invalid("unable to parse a valid vlan id from: %s (ex. eth0.10 for vlan 10)", number)
	}
	if id < 1 || id > 4094 {
		return "", 0, invalid("vlan id must be between 1-4094, received: %d", id)
	}
	return trunk, id, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// removeParent removes a parent that we made, once nobody else uses it. Idempotent.
func (m *Manager) removeParent(n *netEntry) error {
	if !n.MadeParent {
		return nil
	}
	m.mu.Lock()
	for _, other := range m.nets {
		if other != n && other.isLan() && other.Device == n.Device && other.index != 0 {
			m.mu.Unlock()
			return nil
		}
	}
	m.mu.Unlock()
	link, err := netlink.LinkByName(n.Device)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err == nil && !slices.Contains([]string{"dummy", "vlan"}, link.Type()) {
		return nil // somebody else's by now
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete %s: %w", n.Device, err)
	}
	return nil
}

// plugLan puts the calling thread's namespace on the parent, as ep says.
func (m *Manager) plugLan(n *netEntry, ep *endpoint, inside *netlink.Handle) error {
	self, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(self)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.Namespace = "lan"+newID()[:8], n.index, netlink.NsFd(self) // the host may have an eth0
	if n.MTU != 0 {
		attrs.MTU = n.MTU
	}
	var link netlink.Link
	if n.Driver == driverMacvlan {
		attrs.HardwareAddr = stdnet.HardwareAddr(ep.MAC)
		link = &netlink.Macvlan{LinkAttrs: attrs, Mode: n.lan.macMode}
	} else {
		ep.MAC = nil // all have the parent's
		link = &netlink.IPVlan{LinkAttrs: attrs, Mode: n.lan.ipMode, Flag: n.lan.ipFlag}
	}
	if err := m.host.handle.LinkAdd(link); err != nil {
		return fmt.Errorf("join %s by %s: %w", n.Device, n.Driver, err)
	}
	there, err := inside.LinkByName(attrs.Name)
	if err == nil {
		err = inside.LinkSetName(there, ep.Inside)
	}
	if err != nil {
		return fmt.Errorf("name the interface %s: %w", ep.Inside, err)
	}
	return configureInside(n, ep, inside, there)
}

// unplugLan removes the endpoint's interface from the calling thread's namespace. Idempotent.
func unplugLan(ep *endpoint, inside *netlink.Handle) error {
	link, err := inside.LinkByName(ep.Inside)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err == nil {
		err = inside.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete %s: %w", ep.Inside, err)
	}
	return nil
}

// setDefaultDevice makes an interface the way out, without a gateway.
func setDefaultDevice(inside *netlink.Handle, device string, v6 bool) error {
	link, err := inside.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if v6 {
		all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if err := inside.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(all), Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("set default route: %w", err)
	}
	return nil
}
