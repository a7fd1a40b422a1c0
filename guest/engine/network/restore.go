package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// Restore takes over what an earlier engine left: it keeps the networks of the running containers, drops every
// other record, namespace and link, brings the nftables table to exactly the wanted content, and starts the pool.
func (m *Manager) Restore(ctx context.Context, running []string) error {
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
	for id, ep := range m.endpoints {
		m.takeOver(id, ep)
		pins[ep.Pin], links[ep.Link] = true, true
		list = append(list, ep.published()...)
	}
	if m.pub != nil {
		list = nil // the host listens, and dials the container's address itself
	}
	if err := m.table.sync(m.sorted(), list); err != nil {
		return err
	}
	if where := m.table.foreignDrop(); where != "" {
		m.opts.Log.Warn("network: another firewall drops forwarded packets by default, and containers may not get out", "chain", where)
	}
	if err := m.dropLeaked(pins); err != nil {
		m.opts.Log.Warn("network: namespaces of an earlier run are left behind", "error", err)
	}
	for _, n := range m.nets {
		if n.Driver == driverBridge {
			m.cleanBridge(n, links)
		}
		m.startPool(n)
	}
	m.restored = true
	return nil
}

// forgetEnded deletes the records of containers that do not run any more.
func (m *Manager) forgetEnded(running []string) error {
	keep := map[string]bool{}
	for _, id := range running {
		keep[id] = true
	}
	for id, ep := range m.endpoints {
		if keep[id] && m.nets[ep.NetworkID] != nil {
			continue
		}
		delete(m.endpoints, id)
		if err := m.opts.Store.Delete(kindEndpoint, id, false); err != nil {
			return fmt.Errorf("forget endpoint: %w", err)
		}
	}
	return nil
}

// takeOver books the address and the ports of a running container again. What fails is only noted: the container
// runs, and its traffic goes by the table, not by the socket that holds the port.
func (m *Manager) takeOver(id string, ep *endpoint) {
	n := m.nets[ep.NetworkID]
	log := m.opts.Log.With("container", id)
	if ep.Addr.IsValid() && !n.ipam.reserve(ep.Addr) {
		log.Warn("network: address is in use twice or outside the subnet", "address", ep.Addr)
	}
	if ep.Pin != "" {
		if _, err := os.Stat(filepath.Join(m.pins, ep.Pin)); err != nil {
			log.Warn("network: namespace of a running container is not pinned", "error", err)
		}
	}
	for _, b := range ep.Bindings {
		if err := m.ports.claim(b, ep.Addr); err != nil {
			log.Warn("network: published port is not held", "error", err)
		}
		if m.pub != nil {
			m.pub.keep(b, b.target(ep.Addr))
		}
	}
}

// cleanBridge deletes ports of the bridge that belong to nobody, and puts those back that fell off it.
func (m *Manager) cleanBridge(n *netEntry, keep map[string]bool) {
	ports, err := bridgePorts(n.index)
	if err != nil {
		m.opts.Log.Warn("network: cannot look for links of an earlier run", "error", err)
		return
	}
	for _, p := range ports {
		if !keep[p.Attrs().Name] {
			m.drops.Go(func() { _ = netlink.LinkDel(p) }) // may go by itself meanwhile, with its namespace
		}
	}
	for _, ep := range m.endpoints {
		if ep.NetworkID != n.ID || ep.Link == "" {
			continue
		}
		link, err := netlink.LinkByName(ep.Link)
		if err == nil && link.Attrs().MasterIndex != n.index {
			err = m.joinBridge(n, link)
		}
		if err != nil {
			m.opts.Log.Warn("network: container is cut off", "link", ep.Link, "error", err)
		}
	}
}
