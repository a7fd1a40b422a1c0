package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Sizes of the pools: how many ready namespaces wait, and how many makers work at once. A maker holds one more.
const (
	bridgeReady, bridgeMakers = 6, 2
	noneReady, noneMakers     = 1, 1
)

// poolRetry is how long a maker rests after a failure that nobody waited for.
const poolRetry = time.Second

// space is a network namespace ready for a container: loopback up and, on a bridge, eth0 with address and default
// route. The address is taken when the space is made, so that giving it to a container needs no netlink call, which
// would queue behind the kernel's removal of other namespaces.
type space struct {
	Pin  string     // name under the folder of pins
	Addr netip.Addr `json:",omitzero"`
	Link string     `json:",omitempty"` // the host's side of the veth pair
}

// pool keeps ready spaces of one network. Its makers end with close.
type pool struct {
	ready  chan *space
	failed chan error // unbuffered: only for those who wait
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newPool(ready, makers int, create func() (*space, error), discard func(*space)) *pool {
	ctx, cancel := context.WithCancel(context.Background())
	p := &pool{ready: make(chan *space, ready), failed: make(chan error), cancel: cancel}
	for range makers {
		p.wg.Go(func() { p.run(ctx, create, discard) })
	}
	return p
}

func (p *pool) run(ctx context.Context, create func() (*space, error), discard func(*space)) {
	for ctx.Err() == nil {
		s, err := create()
		if err != nil {
			rest := time.NewTimer(poolRetry)
			select {
			case p.failed <- err:
			case <-rest.C:
			case <-ctx.Done():
			}
			rest.Stop()
			continue
		}
		select {
		case p.ready <- s:
		case <-ctx.Done():
			discard(s)
		}
	}
}

// take returns a ready space, waiting for one to be made when there is none.
func (p *pool) take(ctx context.Context) (*space, error) {
	select {
	case s, ok := <-p.ready:
		if !ok {
			return nil, errClosed
		}
		return s, nil
	default:
	}
	select {
	case s, ok := <-p.ready:
		if !ok {
			return nil, errClosed
		}
		return s, nil
	case err := <-p.failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// close ends the makers and discards what is ready.
func (p *pool) close(discard func(*space)) {
	p.cancel()
	p.wg.Wait()
	close(p.ready)
	for s := range p.ready {
		discard(s)
	}
}

// startPool begins to make spaces for n.
func (m *Manager) startPool(n *netEntry) {
	discard := func(s *space) {
		m.drop(s.Pin)
		if s.Addr.IsValid() {
			n.ipam.release(s.Addr)
		}
	}
	switch n.Driver {
	case driverBridge:
		n.pool = newPool(bridgeReady, bridgeMakers, func() (*space, error) { return m.newBridged(n) }, discard)
	case driverNull:
		n.pool = newPool(noneReady, noneMakers, m.newIsolated, discard)
	}
}

// spaceSysctls are set in each namespace, before any device but lo is there. Low ports and ping need no capability,
// as in Docker. IPv6 works on lo only.
var spaceSysctls = []sysctl{
	{"net/ipv4/ip_unprivileged_port_start", "0"},
	{"net/ipv4/ping_group_range", "0 2147483647"},
	{"net/ipv6/conf/default/disable_ipv6", "1"},
	{"net/ipv6/conf/default/accept_ra", "0"},
}

// newIsolated makes a space with nothing but lo.
func (m *Manager) newIsolated() (*space, error) {
	s := &space{Pin: newID()[:12]}
	err := m.host.inNewNS(func() error { return m.furnish(s, func(*netlink.Handle) error { return nil }) })
	if err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	return s, nil
}

// newBridged makes a space with an address on n's bridge.
func (m *Manager) newBridged(n *netEntry) (*space, error) {
	s := &space{Pin: newID()[:12]}
	var err error
	if s.Addr, err = n.ipam.take(); err != nil {
		return nil, err
	}
	err = m.host.inNewNS(func() error {
		return m.furnish(s, func(inside *netlink.Handle) error { return m.connect(n, s, inside) })
	})
	if err != nil {
		n.ipam.release(s.Addr)
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	return s, nil
}

// furnish pins and sets up the calling thread's new namespace; more adds devices to it.
func (m *Manager) furnish(s *space, more func(inside *netlink.Handle) error) (err error) {
	path := filepath.Join(m.pins, s.Pin)
	if err := pin(path); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unpin(path))
		}
	}()
	if err := setSysctls(spaceSysctls); err != nil {
		return err
	}
	inside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer inside.Close()
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo", Index: 1}} // always the first
	if err := inside.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	return more(inside)
}

// connect makes the veth pair between n's bridge and the calling thread's namespace and configures both ends.
func (m *Manager) connect(n *netEntry, s *space, inside *netlink.Handle) error {
	self, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(self)
	s.Link = "veth" + newID()[:7]
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = s.Link, n.MTU
	pair := &netlink.Veth{
		LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: macFor(s.Addr),
		PeerNamespace: netlink.NsFd(self), PeerTxQLen: -1, PeerMTU: uint32(n.MTU),
	}
	if err := m.host.handle.LinkAdd(pair); err != nil {
		return fmt.Errorf("make veth pair: %w", err)
	}
	if err := m.joinBridge(n, pair); err != nil {
		return err
	}
	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find eth0: %w", err)
	}
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(s.Addr, n.Subnet.Bits()))}
	if err := inside.AddrAdd(eth0, addr); err != nil {
		return fmt.Errorf("set address %s: %w", s.Addr, err)
	}
	if err := inside.LinkSetUp(eth0); err != nil {
		return fmt.Errorf("bring up eth0: %w", err)
	}
	route := &netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: n.Gateway.AsSlice()}
	if err := inside.RouteAdd(route); err != nil {
		return fmt.Errorf("set default route: %w", err)
	}
	return nil
}

// joinBridge puts the host's side of a pair on the bridge and brings it up.
func (m *Manager) joinBridge(n *netEntry, link netlink.Link) error {
	if err := m.host.handle.LinkSetMasterByIndex(link, n.index); err != nil {
		return fmt.Errorf("join bridge %s: %w", n.Device, err)
	}
	// Frames may leave by the port they came from: with br_netfilter a container reaches its own published port so.
	if err := m.host.handle.LinkSetHairpin(link, true); err != nil {
		return fmt.Errorf("set hairpin mode: %w", err)
	}
	if err := m.host.handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", link.Attrs().Name, err)
	}
	return nil
}
