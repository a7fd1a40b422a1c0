package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
)

// Restore takes over what an earlier engine left: it keeps the networks of the running containers, drops every
// other record, namespace and link, brings the nftables table to exactly the wanted content, and starts the pools.
func (m *Manager) Restore(ctx context.Context, running []string) error {
	if err := m.takeOverAll(running); err != nil {
		return err
	}
	watch, err := openWatch()
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	m.mu.Lock()
	boxes := slices.Collect(maps.Values(m.boxes))
	m.restored, m.watch = true, watch
	m.mu.Unlock()
	m.watching.Go(func() { m.watchTable(watch) })
	if err := m.mendTable(); err != nil { // what happened before the watch began
		return err
	}
	for _, b := range boxes {
		if err := m.repair(ctx, b); err != nil {
			m.opts.Log.Warn("network: container may be cut off", "container", b.id, "error", err)
		}
	}
	return nil
}

// takeOverAll does the part of Restore that nobody else may see half of.
func (m *Manager) takeOverAll(running []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.restored || m.closed {
		return errors.New("network: restored already")
	}
	if err := m.forgetEnded(running); err != nil {
		return err
	}
	pins, links := map[string]bool{}, map[string]bool{}
	var list []published
	for _, b := range m.boxes {
		m.takeOver(b)
		pins[b.Pin] = true
		for _, ep := range b.Endpoints {
			links[ep.Link] = true
		}
		list = append(list, b.published()...)
	}
	if m.pub != nil {
		list = nil // the host listens, and dials the container's address itself
	}
	if err := errors.Join(m.table.sync(m.sorted(), list), m.posts.sync(), m.guard.sync(m.sorted())); err != nil {
		return err
	}
	if where := m.table.foreignDrop(); where != "" {
		m.opts.Log.Warn("network: another firewall drops forwarded packets by default, and containers may not get out", "chain", where)
	}
	if err := m.dropLeaked(pins); err != nil {
		m.opts.Log.Warn("network: namespaces of an earlier run are left behind", "error", err)
	}
	m.cleanLinks(links)
	for _, n := range m.nets {
		m.startPool(n)
	}
	return nil
}

// forgetEnded deletes the records of containers that do not run any more.
func (m *Manager) forgetEnded(running []string) error {
	keep := map[string]bool{}
	for _, id := range running {
		keep[id] = true
	}
	for id := range m.boxes {
		if keep[id] {
			continue
		}
		delete(m.boxes, id)
		if err := m.opts.Store.Delete(kindBox, id, false); err != nil {
			return fmt.Errorf("forget endpoints: %w", err)
		}
	}
	return nil
}

// takeOver books the addresses and the ports of a running container again. What fails is only noted: the container
// runs, and its traffic goes by the table, not by the socket that holds the port.
func (m *Manager) takeOver(b *box) {
	log := m.opts.Log.With("container", b.id)
	for _, ep := range b.Endpoints {
		n := m.nets[ep.NetworkID]
		if n == nil {
			log.Warn("network: a running container's network is gone", "network", ep.NetworkID)
			continue
		}
		if ep.Link != "" && !b.Unguarded && n.antiSpoofing {
			m.posts.posts[ep.Link] = postOf(n, ep) // takeOverAll writes the table
		}
		for _, a := range []struct {
			addr netip.Addr
			ipam *ipam
		}{{ep.Addr, n.ipam4}, {ep.Addr6, n.ipam6}} {
			if a.addr.IsValid() && (a.ipam == nil || !a.ipam.reserve(a.addr)) {
				log.Warn("network: address is in use twice or outside the subnet", "address", a.addr)
			}
		}
	}
	if b.Pin != "" {
		if _, err := os.Stat(filepath.Join(m.pins, b.Pin)); err != nil {
			log.Warn("network: namespace of a running container is not pinned", "error", err)
		}
	}
	for _, p := range b.Bindings {
		if err := m.ports.claim(p, b.viaFor(p)); err != nil {
			log.Warn("network: published port is not held", "error", err)
		}
		if m.pub != nil {
			m.pub.keep(p, p.target(b.anyVia()))
		}
	}
}

// cleanLinks deletes the host's sides of pairs that belong to nobody: those of ours by their group, and whatever else
// is on one of our bridges.
func (m *Manager) cleanLinks(keep map[string]bool) {
	links, err := netlink.LinkList()
	if err != nil && !interrupted(err) {
		m.opts.Log.Warn("network: cannot look for links of an earlier run", "error", err)
		return
	}
	bridges := map[int]bool{}
	for _, n := range m.nets {
		for i, index := range n.shards.index {
			if i > 0 {
				keep[shardName("t", n, i)], keep[shardName("u", n, i)] = true, true
			}
			if i > 0 || !n.Borrowed {
				bridges[index] = true
			}
		}
	}
	for _, l := range links {
		a := l.Attrs()
		if (l.Type() == "veth" && a.Group == m.linkGroup() || bridges[a.MasterIndex]) && !keep[a.Name] {
			m.drops.Go(func() { _ = netlink.LinkDel(l) }) // may go by itself meanwhile, with its namespace
		}
	}
}

// repair brings back what a running container has lost or has only half of: links that fell off their bridge, and the
// way out and the ports of a connect or disconnect that the earlier engine did not finish.
func (m *Manager) repair(ctx context.Context, b *box) error {
	if b.Pin == "" {
		return nil
	}
	var errs []error
	for _, ep := range b.Endpoints {
		n := m.nets[ep.NetworkID]
		if n == nil || ep.Link == "" || n.index == 0 {
			continue
		}
		link, err := netlink.LinkByName(ep.Link)
		if err == nil && !m.member(n, link) {
			err = m.joinBridge(n, link)
		}
		errs = append(errs, err)
	}
	next := b.clone()
	next.Gateway, next.Gateway6 = "", ""
	err := m.inside(b.Pin, func(h *netlink.Handle) error { return m.settleGateways(next, h) })
	errs = append(errs, m.relisten(next))
	if err == nil {
		err = m.republish(ctx, b, next)
	}
	if err == nil && (next.Gateway != b.Gateway || next.Gateway6 != b.Gateway6 || next.DNS != b.DNS) {
		err = m.saveBox(next)
	}
	_, installed := m.install(next)
	return errors.Join(append(errs, err, installed)...)
}

// member books the place of a link that is on one of the network's bridges already.
func (m *Manager) member(n *netEntry, link netlink.Link) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := n.shards.of(link.Attrs().MasterIndex)
	if i >= 0 {
		n.shards.ports[link.Attrs().Name] = i
	}
	return i >= 0
}
