package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"naru/guest/engine/resolver"
)

// Sizes of the pools: how many ready namespaces wait, and how many makers work at once. A maker holds one more.
const (
	bridgeReady, bridgeMakers = 6, 2
	noneReady, noneMakers     = 1, 1
	bareReady, bareMakers     = 4, 1
)

// poolRetry is how long a maker rests after a failure that nobody waited for.
const poolRetry = time.Second

// space is a network namespace ready for a container: loopback up and, on the default bridge, eth0 with address and
// default route. The address is taken when the space is made, so that giving it to a container needs no netlink call,
// which would queue behind the kernel's removal of other namespaces. A bare one has an eth0 that is on no network yet, and
// sockets for a name server: containers of all user-defined networks share that pool.
type space struct {
	Pin  string // name under the folder of pins
	Addr netip.Addr
	Link string // the host's side of the veth pair
	dns  *resolver.Sockets
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

// startPool begins to make spaces for n, if it is a network that has a pool of its own.
func (m *Manager) startPool(n *netEntry) {
	discard := func(s *space) {
		m.drop(s.Pin)
		if s.Addr.IsValid() {
			_ = m.posts.dismiss(s.Link) // the next engine's table begins empty
			n.ipam4.release(s.Addr)
		}
	}
	switch {
	case n.isDefaultBridge():
		n.pool = newPool(bridgeReady, bridgeMakers, func() (*space, error) { return m.newBridged(n) }, discard)
	case n.Driver == driverNull && !n.ConfigOnly:
		n.pool = newPool(noneReady, noneMakers, m.newIsolated, discard)
	}
}

// takeBare returns a space with an eth0 that is on no network. The pool of these begins with the first.
func (m *Manager) takeBare(ctx context.Context) (*space, error) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, errClosed
	}
	if m.bare == nil {
		m.bare = newPool(bareReady, bareMakers, m.newBare, m.discard)
	}
	p := m.bare
	m.mu.Unlock()
	return p.take(ctx)
}

// spaceSysctls are set in each namespace, before any device but lo is there. Low ports and ping need no capability,
// as in Docker. IPv6 works on lo only.
var spaceSysctls = []sysctl{
	{"net/ipv4/ip_unprivileged_port_start", "0"},
	{"net/ipv4/ping_group_range", "0 2147483647"},
	{"net/ipv6/conf/default/disable_ipv6", "1"},
	{"net/ipv6/conf/default/accept_ra", "0"},
	{"net/ipv4/conf/default/arp_notify", "1"}, // neighbours forget whoever had the address before
	{"net/ipv6/conf/default/ndisc_notify", "1"},
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

// discard lets a bare space go.
func (m *Manager) discard(s *space) {
	s.dns.Close()
	m.drop(s.Pin)
}

// newBare makes a space with an eth0 that is on no network.
func (m *Manager) newBare() (*space, error) {
	s := &space{Pin: newID()[:12]}
	err := m.host.inNewNS(func() error {
		return m.furnish(s, func(*netlink.Handle) (err error) {
			if s.Link, err = m.newPair("eth0", nil, 0); err == nil {
				s.dns, err = resolver.Listen(resolver.Ports{})
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	return s, nil
}

// newBridged makes a space with an address on the default bridge.
func (m *Manager) newBridged(n *netEntry) (*space, error) {
	s := &space{Pin: newID()[:12]}
	var err error
	if s.Addr, err = n.ipam4.take(); err != nil {
		return nil, err
	}
	err = m.host.inNewNS(func() error {
		return m.furnish(s, func(inside *netlink.Handle) error {
			ep := &endpoint{Inside: "eth0", Addr: s.Addr, MAC: network.HardwareAddr(macFor(s.Addr))}
			if err := m.plug(n, ep, inside); err != nil {
				return err
			}
			s.Link = ep.Link
			if err := m.posts.admit(ep.Link, postOf(n, ep)); err != nil {
				return err
			}
			return setDefaultRoute(inside, ep.Inside, n.V4.Gateway)
		})
	})
	if err != nil {
		n.ipam4.release(s.Addr)
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
