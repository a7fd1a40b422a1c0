package network

import (
	"context"
	"errors"
	"fmt"
	stdnet "net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// cleanupTime bounds what is undone after a failure, also when the caller has given up.
const cleanupTime = 10 * time.Second

// Validate checks at creation what Attach would refuse at start whatever the state of the host.
func (m *Manager) Validate(req Request) error {
	if _, err := wishes(req.Ports); err != nil {
		return err
	}
	if req.Mode.IsContainer() {
		if len(req.Ports) > 0 {
			return errdefs.ErrInvalidArgument.WithMessage("conflicting options: port publishing and the container type network mode")
		}
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.networkOf(req)
	return err
}

// networkOf finds the network that the request means and refuses wishes that it cannot fulfil. The caller holds mu.
func (m *Manager) networkOf(req Request) (*netEntry, error) {
	name := string(req.Mode)
	if name == "" || req.Mode.IsDefault() {
		name = network.NetworkBridge
	}
	n, err := m.find(name)
	if err != nil {
		return nil, err
	}
	if list := others(n, req.Settings); len(list) > 0 {
		if _, err := m.find(list[0]); err != nil {
			return nil, err
		}
		return nil, errdefs.ErrNotImplemented.WithMessage("naru connects a container to one network only yet")
	}
	if s := wishFor(n, req.Settings); s != nil && s.IPAMConfig != nil &&
		(s.IPAMConfig.IPv4Address.IsValid() || s.IPAMConfig.IPv6Address.IsValid()) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(
			"invalid config for network " + n.Name + ": invalid endpoint settings:\nuser specified IP address is supported on user defined networks only")
	}
	return n, nil
}

// Attach gives a starting container its network. The caller puts Sandbox.Path into the spec and calls Detach when
// the container has ended. Attaching an attached container detaches it first.
func (m *Manager) Attach(ctx context.Context, req Request) (*Sandbox, error) {
	if req.Mode.IsContainer() {
		return &Sandbox{Path: req.JoinPath, Networks: map[string]*network.EndpointSettings{}, Ports: network.PortMap{}}, nil
	}
	if err := m.Detach(ctx, req.ContainerID); err != nil {
		return nil, err
	}
	m.mu.Lock()
	n, err := m.networkOf(req)
	ready := m.restored && !m.closed
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !ready {
		return nil, errClosed
	}
	ep := &endpoint{endpointRecord{NetworkID: n.ID, EndpointID: newID(), Name: req.Name, Settings: wishFor(n, req.Settings)}}
	if err := m.furnishEndpoint(ctx, n, ep, req); err != nil {
		return nil, err
	}
	if err := m.opts.Store.Put(kindEndpoint, req.ContainerID, ep.endpointRecord, false); err != nil {
		return nil, errors.Join(fmt.Errorf("store endpoint: %w", err), m.dismantle(ctx, n, ep))
	}
	m.mu.Lock()
	m.endpoints[req.ContainerID] = ep
	m.mu.Unlock()
	m.emit(events.ActionConnect, n, req.ContainerID)
	return m.sandbox(n, ep), nil
}

// sandbox describes the endpoint to the caller of Attach.
func (m *Manager) sandbox(n *netEntry, ep *endpoint) *Sandbox {
	s := &Sandbox{
		Networks: map[string]*network.EndpointSettings{n.Name: ep.settings(n)},
		Ports:    ep.portMap(), Addr: ep.Addr, Gateway: m.gateway(n),
	}
	if ep.Pin != "" {
		s.Path = filepath.Join(m.pins, ep.Pin)
	}
	return s
}

// gateway is where `host-gateway` points: the host's address on n, else on the default bridge.
func (m *Manager) gateway(n *netEntry) netip.Addr {
	if n.Gateway.IsValid() {
		return n.Gateway
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byName(network.NetworkBridge).Gateway
}

// furnishEndpoint gives ep a namespace and its ports. After an error nothing of it is left.
func (m *Manager) furnishEndpoint(ctx context.Context, n *netEntry, ep *endpoint, req Request) error {
	if n.Driver == driverHost {
		return nil
	}
	s, err := n.pool.take(ctx)
	if err != nil {
		return err
	}
	ep.space = *s
	if n.Driver == driverNull {
		return nil
	}
	ep.MAC = network.HardwareAddr(macFor(ep.Addr))
	err = m.applyMAC(n, ep)
	if err == nil {
		err = m.publishAll(ctx, ep, req)
	}
	if err != nil {
		return errors.Join(err, m.dismantle(ctx, n, ep))
	}
	return nil
}

// publishAll publishes the ports of the request, all or none: what it has done so far is in ep.Bindings.
func (m *Manager) publishAll(ctx context.Context, ep *endpoint, req Request) error {
	list, err := wishes(req.Ports)
	if err != nil {
		return err
	}
	for _, w := range list {
		b, err := m.publishOne(ctx, w, ep.Addr)
		if err != nil {
			return fmt.Errorf("driver failed programming external connectivity on endpoint %s (%s): %w", req.Name, ep.EndpointID, err)
		}
		ep.Bindings = append(ep.Bindings, b)
	}
	if m.pub != nil {
		return nil
	}
	err = m.table.publish(ep.published())
	if errors.Is(err, unix.ENOENT) {
		return m.rebuild(ep)
	}
	return err
}

// rebuild writes the whole table, with a new endpoint, after somebody else removed it: restarting the host's
// firewall flushes all tables.
func (m *Manager) rebuild(more *endpoint) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opts.Log.Warn("network: the nftables table was gone, it is written anew", "table", m.opts.Name)
	list := more.published()
	for _, ep := range m.endpoints {
		list = append(list, ep.published()...)
	}
	return m.table.sync(m.sorted(), list)
}

// publishOne reserves a host port and, in machine mode, makes the host listen on it.
func (m *Manager) publishOne(ctx context.Context, w wish, addr netip.Addr) (binding, error) {
	b, err := m.ports.reserve(w, addr)
	if err != nil || m.pub == nil {
		return b, err
	}
	if b.Proto != "tcp" {
		m.ports.release(b)
		return b, errdefs.ErrNotImplemented.WithMessage("naru publishes tcp ports only from a machine yet")
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

// applyMAC gives eth0 the MAC that the user wants.
func (m *Manager) applyMAC(n *netEntry, ep *endpoint) error {
	if ep.Settings == nil || len(ep.Settings.MacAddress) == 0 {
		return nil
	}
	ns, err := netns.GetFromPath(filepath.Join(m.pins, ep.Pin))
	if err != nil {
		return err
	}
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer inside.Close()
	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := inside.LinkSetHardwareAddr(eth0, stdnet.HardwareAddr(ep.Settings.MacAddress)); err != nil {
		return fmt.Errorf("set MAC address %s: %w", ep.Settings.MacAddress, err)
	}
	ep.MAC = ep.Settings.MacAddress
	m.forgetNeighbour(n, ep.Addr)
	return nil
}

// forgetNeighbour makes the host ask again who has addr.
func (m *Manager) forgetNeighbour(n *netEntry, addr netip.Addr) {
	_ = m.host.handle.NeighDel(&netlink.Neigh{LinkIndex: n.index, IP: addr.AsSlice()}) // usually there is none
}

// Detach takes the network back. Idempotent; the namespace itself is dropped in the background.
func (m *Manager) Detach(ctx context.Context, containerID string) error {
	m.mu.Lock()
	ep := m.endpoints[containerID]
	var n *netEntry
	if ep != nil {
		n = m.nets[ep.NetworkID]
		delete(m.endpoints, containerID)
	}
	m.mu.Unlock()
	if ep == nil {
		return nil
	}
	err := m.opts.Store.Delete(kindEndpoint, containerID, false)
	if n == nil {
		return err
	}
	err = errors.Join(err, m.dismantle(ctx, n, ep))
	m.emit(events.ActionDisconnect, n, containerID)
	return err
}

// dismantle undoes furnishEndpoint.
func (m *Manager) dismantle(ctx context.Context, n *netEntry, ep *endpoint) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	err := m.unpublish(ctx, ep)
	if ep.Pin != "" {
		m.drop(ep.Pin)
	}
	if ep.Addr.IsValid() {
		if ep.Settings != nil && len(ep.Settings.MacAddress) > 0 {
			m.forgetNeighbour(n, ep.Addr)
		}
		n.ipam.release(ep.Addr)
	}
	return err
}

// unpublish withdraws the endpoint's ports, then gives the host ports back.
func (m *Manager) unpublish(ctx context.Context, ep *endpoint) error {
	var err error
	if m.pub == nil {
		err = m.table.withdraw(ep.published())
		if errors.Is(err, unix.ENOENT) { // never published, or somebody cleared the table: the aim is reached
			err = nil
		}
	}
	for _, b := range ep.Bindings {
		if m.pub != nil {
			m.pub.close(ctx, b, b.target(ep.Addr))
		}
		if b.Proto == "udp" {
			forgetFlows(ep.Addr)
		}
		m.ports.release(b)
	}
	return err
}

// forgetFlows ends the tracked UDP flows of a container: a client that keeps sending would else go on talking to an
// address that is gone, and never reach the port's next owner.
func forgetFlows(addr netip.Addr) {
	f := &netlink.ConntrackFilter{}
	if f.AddIP(netlink.ConntrackReplySrcIP, addr.AsSlice()) == nil {
		_, _ = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, f) // best effort: they time out too
	}
}

func (m *Manager) emit(action events.Action, n *netEntry, containerID string) {
	if m.opts.Events == nil {
		return
	}
	m.opts.Events.Emit(events.NetworkEventType, action, n.ID,
		map[string]string{"container": containerID, "name": n.Name, "type": n.Driver})
}
