package boot

import (
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// resolvConf is what /etc/resolv.conf links to in the image.
const resolvConf = "/run/resolv.conf"

// configureNetwork gives the guest its name, its loopback and the address the host chose for it. There is no DHCP: the
// host's user-mode network has one guest only. Without an address in the document the guest stays without a network.
func configureNetwork(c *api.Config) error {
	if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
		return fmt.Errorf("set the host name %q: %w", c.Hostname, err)
	}
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t" + c.Hostname + "\n"
	if err := os.WriteFile("/etc/hosts", []byte(hosts), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(resolvConf, resolv(c.Network.DNS), 0o644); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	if c.Network.Address == "" {
		return nil
	}
	return configureCard(&c.Network)
}

func configureCard(n *api.Network) error {
	const name = "eth0"
	eth, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if n.MTU > 0 {
		if err := netlink.LinkSetMTU(eth, n.MTU); err != nil {
			return fmt.Errorf("set the MTU of %s to %d: %w", name, n.MTU, err)
		}
	}
	for _, address := range []string{n.Address, n.Address6} {
		if err := giveAddress(eth, address); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(eth); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	for _, gateway := range []string{n.Gateway, n.Gateway6} {
		if err := routeThrough(eth, gateway); err != nil {
			return err
		}
	}
	return nil
}

func giveAddress(eth netlink.Link, address string) error {
	if address == "" {
		return nil
	}
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if addr.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD // nobody else is on the wire, and asking takes a second
	}
	if err := netlink.AddrReplace(eth, addr); err != nil {
		return fmt.Errorf("give %s to %s: %w", address, eth.Attrs().Name, err)
	}
	return nil
}

func routeThrough(eth netlink.Link, gateway string) error {
	if gateway == "" {
		return nil
	}
	gw := net.ParseIP(gateway)
	if gw == nil {
		return fmt.Errorf("gateway %q is not an address", gateway)
	}
	if err := netlink.RouteReplace(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: gw}); err != nil {
		return fmt.Errorf("route through %s: %w", gw, err)
	}
	return nil
}

// resolv is a resolv.conf of these servers.
func resolv(servers []string) []byte {
	var b strings.Builder
	for _, s := range servers {
		b.WriteString("nameserver " + s + "\n")
	}
	return []byte(b.String())
}
