package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// publishAll publishes the ports that the container wishes, all or none, by way of its gateway's endpoints: what it has
// done so far is in b.Bindings. A container without a way out publishes nothing, as in Docker.
func (m *Manager) publishAll(ctx context.Context, b *box) error {
	list, err := wishes(b.Wishes)
	if err != nil {
		return err
	}
	b.Via, b.Via6 = m.exits(b)
	if !b.Via.IsValid() && !b.Via6.IsValid() {
		return nil
	}
	hostIP := m.defaultHostIP(b)
	for _, w := range list {
		if !w.HostIP.IsValid() {
			w.HostIP = hostIP
		}
		bound, err := m.publishOne(ctx, w, b)
		b.Bindings = append(b.Bindings, bound...)
		if err != nil {
			return fmt.Errorf("driver failed programming external connectivity on endpoint %s (%s): %w", b.Name, b.exitID(), err)
		}
	}
	if m.pub != nil || len(b.Bindings) == 0 {
		return nil
	}
	return m.tellTable(func() error { return m.table.publish(b.published()) }, b.published()...)
}

// exits are the container's addresses on the bridges that are its ways out: a port that is published leads there. What
// is straight on a link of the host's needs no publishing.
func (m *Manager) exits(b *box) (v4, v6 netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	bridged := func(id string) bool { n := m.nets[id]; return n != nil && !n.isLan() }
	if ep := b.on(b.Gateway); ep != nil && bridged(b.Gateway) {
		v4 = ep.Addr
	}
	if ep := b.on(b.Gateway6); ep != nil && bridged(b.Gateway6) {
		v6 = ep.Addr6
	}
	return v4, v6
}

func (b *box) exitID() string {
	for _, id := range []string{b.Gateway, b.Gateway6} {
		if ep := b.on(id); ep != nil {
			return ep.EndpointID
		}
	}
	return ""
}

// defaultHostIP is where ports are published when the user says nothing: what the network's options say, if anything.
func (m *Manager) defaultHostIP(b *box) netip.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.nets[b.Gateway]; n != nil && n.hostIP.IsValid() && !n.hostIP.IsUnspecified() {
		return n.hostIP
	}
	return netip.Addr{}
}

// tellTable makes a change of the table. Where somebody else has removed the table, it writes it anew, with more beside
// what the boxes say: restarting the host's firewall flushes all tables.
func (m *Manager) tellTable(change func() error, more ...published) error {
	err := change()
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	m.opts.Log.Warn("network: the nftables table was gone, it is written anew", "table", m.opts.Name)
	return m.rebuild(more...)
}

// rebuild writes the whole table.
func (m *Manager) rebuild(more ...published) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := more
	if m.pub == nil {
		for _, b := range m.boxes {
			list = append(list, b.published()...)
		}
	}
	return m.table.sync(m.sorted(), list)
}

// publishOne reserves host ports for one wish and, in machine mode, makes the host listen on it. What it returns is
// booked, also with an error.
func (m *Manager) publishOne(ctx context.Context, w wish, b *box) ([]binding, error) {
	if m.pub != nil {
		bound, err := m.publishOnHost(ctx, w, b.anyVia())
		if err != nil {
			return nil, err
		}
		return []binding{bound}, nil
	}
	if w.HostIP.IsValid() {
		via := b.viaFor(w.binding)
		if !via.IsValid() {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
				"cannot publish port %d on %s: the container has no address of that family on a network that leads out", w.Port, w.HostIP))
		}
		bound, err := m.ports.reserve(w, via)
		if err != nil {
			return nil, err
		}
		return []binding{bound}, nil
	}
	return m.ports.reserveBoth(w, b.Via, b.Via6)
}

// anyVia is where the ports lead in machine mode: whatever family the client has, the engine connects anew.
func (b *box) anyVia() netip.Addr {
	if b.Via.IsValid() {
		return b.Via
	}
	return b.Via6
}

// viaFor is where a published port leads to: to the container's address of the same family or, through a door, to that of the other.
func (b *box) viaFor(p binding) netip.Addr {
	if p.shownIP().Is6() && (b.Via6.IsValid() || p.Proto != "tcp") {
		return b.Via6
	}
	return b.Via
}

// publishOnHost asks the machine's host to listen.
func (m *Manager) publishOnHost(ctx context.Context, w wish, addr netip.Addr) (binding, error) {
	b, err := m.ports.reserve(w, addr)
	if err != nil {
		return b, err
	}
	granted, err := m.pub.listen(ctx, b, b.target(addr))
	if err != nil {
		m.ports.release(b)
		return b, newBindError(b, addr, err)
	}
	// What the host chose takes the place of what was asked for.
	if b.HostPort != 0 {
		m.ports.release(b)
	}
	if err := m.ports.claim(granted, addr); err != nil {
		m.pub.close(ctx, granted, granted.target(addr))
		return b, err
	}
	return granted, nil
}

// granted fills in what the host chose.
func (b *binding) granted(ip string, port uint16) error {
	if ip != "" {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return fmt.Errorf("the host's answer: %w", err)
		}
		b.HostIP = addr.Unmap()
	}
	if port != 0 {
		b.HostPort = port
	}
	return nil
}

// republish moves the ports to where next leads out, when that is elsewhere than in old. A random port stays the same.
func (m *Manager) republish(ctx context.Context, old, next *box) error {
	via, via6 := m.exits(next)
	if via == old.Via && via6 == old.Via6 || len(next.Wishes) == 0 {
		return nil
	}
	if err := m.unpublish(ctx, old); err != nil {
		return err
	}
	next.Bindings = nil
	return m.publishAll(ctx, next)
}

// unpublish withdraws the container's ports, then gives the host ports back.
func (m *Manager) unpublish(ctx context.Context, b *box) error {
	var err error
	if m.pub == nil {
		err = m.table.withdraw(b.published())
		if errors.Is(err, unix.ENOENT) { // never published, or somebody cleared the table: the aim is reached
			err = nil
		}
	}
	for _, p := range b.Bindings {
		if m.pub != nil {
			m.pub.close(ctx, p, p.target(b.anyVia()))
		}
		if p.Proto == "udp" {
			forgetFlows(b.viaFor(p))
		}
		m.ports.release(p)
	}
	return err
}

// forgetFlows ends the tracked UDP flows of a container: a client that keeps sending would else go on talking to an
// address that is gone, and never reach the port's next owner.
func forgetFlows(addr netip.Addr) {
	f, family := &netlink.ConntrackFilter{}, unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	if addr.IsValid() && f.AddIP(netlink.ConntrackReplySrcIP, addr.AsSlice()) == nil {
		_, _ = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.InetFamily(family), f) // best effort: they time out too
	}
}
