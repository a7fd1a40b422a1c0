package network

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Check tells whether a container that does not run may be put on one more network, and returns the network's name, the
// key of settings, and the settings with what is known by now. A network that is not there yet may come before the container starts, as in Docker. present are the
// networks that it is on.
func (m *Manager) Check(req Request, ref string, s *network.EndpointSettings) (string, *network.EndpointSettings, error) {
	if req.Mode.IsContainer() {
		return "", nil, errShared()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(ref)
	if err != nil {
		return ref, s, checkSettings(nil, ref, s)
	}
	if n.Driver == driverHost && !req.Mode.IsHost() {
		return "", nil, invalid("cannot connect container to host network - container must be created in host network mode")
	}
	for other := range req.Settings {
		if o, err := m.find(other); err == nil && o != n {
			if err := compatible(o, n); err != nil {
				return "", nil, err
			}
		}
	}
	s = s.Copy()
	if n.userDefined() {
		s.DNSNames = dnsNames(&box{id: req.ContainerID, boxRecord: boxRecord{Name: req.Name, Hostname: req.Hostname}}, s)
	}
	return n.Name, s, want{n, s}.check()
}

func errShared() error {
	return invalid("container sharing network namespace with another container or host cannot be connected to any other network")
}

// Name is the name of the network that ref means; ref itself for one that is not there.
func (m *Manager) Name(ref string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, err := m.find(ref); err == nil {
		return n.Name
	}
	return ref
}

// Connect puts a running container on one more network. The container's other calls wait meanwhile.
func (m *Manager) Connect(ctx context.Context, req Request, ref string, s *network.EndpointSettings) (*Sandbox, error) {
	if req.Mode.IsContainer() {
		return nil, errShared()
	}
	b, list, err := m.holdOne(req, ref, s)
	if err != nil {
		return nil, err
	}
	defer m.letGo(list)
	next := b.clone()
	err = m.inside(b.Pin, func(h *netlink.Handle) error {
		if err := m.connect(next, list[0], h); err != nil {
			return err
		}
		return errors.Join(m.settleGateways(next, h), m.listen(next))
	})
	if err == nil {
		err = m.republish(ctx, b, next)
	}
	if err == nil {
		err = m.saveBox(next)
	}
	if err != nil {
		if b.sockets == nil && next.sockets != nil {
			next.sockets.Close()
		}
		return nil, errors.Join(err, m.leave(ctx, next, b, list[0].n))
	}
	out, err := m.install(next)
	m.emit(events.ActionConnect, list[0].n, b.id)
	return out, err
}

// holdOne finds what Connect needs and keeps the network from being removed.
func (m *Manager) holdOne(req Request, ref string, s *network.EndpointSettings) (*box, []want, error) {
	m.mu.Lock()
	b := m.boxes[req.ContainerID]
	n, err := m.find(ref)
	m.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	if b == nil {
		return nil, nil, fmt.Errorf("container %s has no network", req.ContainerID)
	}
	if n.Driver == driverHost && b.Pin != "" {
		return nil, nil, invalid("cannot connect container to host network - container must be created in host network mode")
	}
	if b.on(n.ID) != nil {
		return nil, nil, forbidden("endpoint with name %s already exists in network %s", b.Name, n.Name)
	}
	for _, ep := range b.Endpoints {
		m.mu.Lock()
		other := m.nets[ep.NetworkID]
		m.mu.Unlock()
		if other == nil {
			continue
		}
		if err := compatible(other, n); err != nil {
			return nil, nil, err
		}
	}
	list, err := m.hold(Request{Settings: map[string]*network.EndpointSettings{n.ID: s}})
	if err == nil && list[0].n.Driver != driverBridge && !list[0].n.isLan() {
		m.letGo(list)
		return nil, nil, errShared()
	}
	return b, list, err
}

// Disconnect takes a running container off a network.
func (m *Manager) Disconnect(ctx context.Context, req Request, ref string) (*Sandbox, error) {
	m.mu.Lock()
	b := m.boxes[req.ContainerID]
	n, err := m.find(ref)
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if n.Driver == driverHost && req.Mode.IsHost() {
		return nil, invalid("cannot disconnect container from host network - container was created in host network mode")
	}
	if b == nil || b.on(n.ID) == nil {
		return nil, fmt.Errorf("container %s is not connected to network %s", req.ContainerID, n.Name)
	}
	next := b.clone()
	next.Endpoints = slices.DeleteFunc(next.Endpoints, func(ep *endpoint) bool { return ep.NetworkID == n.ID })
	if err := m.leave(ctx, b, next, n); err != nil {
		return nil, err
	}
	out, err := m.install(next)
	m.emit(events.ActionDisconnect, n, b.id)
	return out, err
}

// leave takes b off a network: next is what it is to be afterwards, without an endpoint there. The record comes first,
// so that an engine killed in between finds a link that belongs to nobody, and no record without a link.
func (m *Manager) leave(ctx context.Context, b, next *box, n *netEntry) error {
	ep := b.on(n.ID)
	if ep == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if b.Gateway == n.ID {
		next.Gateway = "gone" // its route goes with its link
	}
	if b.Gateway6 == n.ID {
		next.Gateway6 = "gone"
	}
	var errs []error
	errs = append(errs, m.saveBox(next))
	if b.Pin != "" && (ep.Link != "" || n.isLan()) {
		errs = append(errs, m.unplug(ep))
		errs = append(errs, m.inside(b.Pin, func(h *netlink.Handle) error {
			if n.isLan() {
				if err := unplugLan(ep, h); err != nil {
					return err
				}
			}
			return m.settleGateways(next, h)
		}))
	}
	errs = append(errs, m.republish(ctx, b, next), m.saveBox(next))
	m.release(ep)
	return errors.Join(errs...)
}

// unplug deletes the endpoint's veth pair. Idempotent.
func (m *Manager) unplug(ep *endpoint) error {
	if ep.Link == "" {
		return nil
	}
	link, err := m.host.handle.LinkByName(ep.Link)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err == nil {
		err = m.host.handle.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete %s: %w", ep.Link, err)
	}
	return nil
}

// clone copies b so that the copy can be changed while others read b.
func (b *box) clone() *box {
	out := &box{id: b.id, boxRecord: b.boxRecord, sockets: b.sockets}
	out.Endpoints, out.Bindings = slices.Clone(b.Endpoints), slices.Clone(b.Bindings)
	return out
}

// Rename gives a running container's endpoints the names that go with its new name.
func (m *Manager) Rename(containerID, name string) error {
	m.mu.Lock()
	b := m.boxes[containerID]
	if b == nil {
		m.mu.Unlock()
		return nil
	}
	next := b.clone()
	next.Name = name
	for i, ep := range next.Endpoints {
		if n := m.nets[ep.NetworkID]; n != nil && n.userDefined() {
			renamed := *ep
			renamed.DNSNames = dnsNames(next, ep.Settings)
			next.Endpoints[i] = &renamed
		}
	}
	m.mu.Unlock()
	_, err := m.install(next)
	return errors.Join(err, m.saveBox(next))
}
