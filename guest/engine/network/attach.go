package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"

	"naru/guest/engine/resolver"
)

// cleanupTime bounds what is undone after a failure, also when the caller has given up.
const cleanupTime = 10 * time.Second

// Attach gives a starting container its networks. The caller puts Sandbox.Path into the spec and calls Detach when
// the container has ended. Attaching an attached container detaches it first.
func (m *Manager) Attach(ctx context.Context, req Request) (*Sandbox, error) {
	if req.Mode.IsContainer() {
		return &Sandbox{Path: req.JoinPath, Networks: map[string]*network.EndpointSettings{}, Ports: network.PortMap{}}, nil
	}
	if err := m.Detach(ctx, req.ContainerID); err != nil {
		return nil, err
	}
	list, err := m.hold(req)
	if err != nil {
		return nil, err
	}
	defer m.letGo(list)
	b := &box{id: req.ContainerID, boxRecord: boxRecord{
		Name: req.Name, Hostname: req.Hostname, Wishes: req.Ports, Servers: req.DNS, DotsSet: dotsSet(req.DNSOptions), Unguarded: req.NetAdmin,
	}}
	err = m.furnishBox(ctx, b, list)
	if err == nil {
		err = m.saveBox(b)
	}
	if err != nil {
		return nil, errors.Join(err, m.dismantle(ctx, b))
	}
	s, err := m.install(b)
	if err != nil {
		return nil, errors.Join(err, m.Detach(ctx, b.id))
	}
	for _, w := range list {
		m.emit(events.ActionConnect, w.n, b.id)
	}
	return s, nil
}

func (m *Manager) saveBox(b *box) error {
	if err := m.opts.Store.Put(kindBox, b.id, b.boxRecord, false); err != nil {
		return fmt.Errorf("store endpoints: %w", err)
	}
	return nil
}

// hold finds the networks of a request and keeps them from being removed until letGo.
func (m *Manager) hold(req Request) ([]want, error) {
	m.mu.Lock()
	if !m.restored || m.closed {
		m.mu.Unlock()
		return nil, errClosed
	}
	list, err := m.wants(req)
	if err == nil {
		for _, w := range list {
			w.n.holds++
		}
	}
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	for _, w := range list {
		if err := m.ensureUp(w.n); err != nil {
			m.letGo(list)
			return nil, err
		}
	}
	return list, nil
}

func (m *Manager) letGo(list []want) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range list {
		w.n.holds--
	}
}

// ensureUp brings up a network that an earlier engine has taken down when it stopped.
func (m *Manager) ensureUp(n *netEntry) error {
	if n.Driver != driverBridge && !n.isLan() {
		return nil
	}
	m.mu.Lock()
	up := n.index != 0
	m.mu.Unlock()
	if up {
		return nil
	}
	m.setup.Lock()
	defer m.setup.Unlock()
	m.mu.Lock()
	up = n.index != 0
	m.mu.Unlock()
	if up {
		return nil
	}
	if err := m.realize(n); err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	return nil
}

// furnishBox gives b a namespace, its networks and its ports. What it has made so far is in b, for dismantle.
func (m *Manager) furnishBox(ctx context.Context, b *box, list []want) error {
	if len(list) == 1 && list[0].n.Driver == driverHost {
		b.Endpoints = []*endpoint{newEndpoint(list[0], b)}
		return nil
	}
	rest, err := m.takeSpace(ctx, b, list)
	if err != nil {
		return err
	}
	if err := m.connectAll(b, list, rest); err != nil {
		return err
	}
	return m.publishAll(ctx, b)
}

// takeSpace takes a namespace for b that suits its first network, and returns the networks that it is not on yet.
func (m *Manager) takeSpace(ctx context.Context, b *box, list []want) ([]want, error) {
	none := m.named(network.NetworkNone)
	switch {
	case len(list) == 0:
		s, err := none.pool.take(ctx)
		if err == nil {
			b.Pin = s.Pin
		}
		return nil, err
	case list[0].n.pool != nil:
		s, err := list[0].n.pool.take(ctx)
		if err != nil {
			return nil, err
		}
		ep := newEndpoint(list[0], b)
		b.Pin, b.Endpoints = s.Pin, []*endpoint{ep}
		ep.Addr, ep.Link = s.Addr, s.Link
		if ep.Addr.IsValid() {
			ep.Inside, b.Gateway = "eth0", ep.NetworkID
			ep.MAC = network.HardwareAddr(macFor(ep.Addr))
			if b.Unguarded {
				return list[1:], m.posts.dismiss(ep.Link)
			}
		}
		return list[1:], nil
	}
	if list[0].n.isLan() {
		s, err := none.pool.take(ctx)
		if err == nil {
			b.Pin = s.Pin
		}
		return list, err
	}
	s, err := m.takeBare(ctx)
	if err != nil {
		return nil, err
	}
	ep := newEndpoint(list[0], b)
	ep.Link = s.Link
	b.Pin, b.Endpoints = s.Pin, []*endpoint{ep}
	b.sockets, b.DNS = s.dns, s.dns.Ports
	return list, nil
}

func (m *Manager) named(name string) *netEntry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byName(name)
}

func newEndpoint(w want, b *box) *endpoint {
	ep := &endpoint{NetworkID: w.n.ID, EndpointID: newID(), Settings: w.s}
	if w.n.userDefined() {
		ep.DNSNames = dnsNames(b, w.s)
	}
	return ep
}

// dnsNames are the names that others on the network find the container by; the first also answers who has its address.
func dnsNames(b *box, s *network.EndpointSettings) (names []string) {
	add := func(list ...string) {
		for _, name := range list {
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	add(b.Name)
	if s != nil {
		add(s.Aliases...)
	}
	add(b.id[:min(len(b.id), 12)], b.Hostname)
	return names
}

// connectAll puts b on the networks of rest, does what the pool could not know of the first, and chooses the way out.
func (m *Manager) connectAll(b *box, list, rest []want) error {
	first := list[:min(1, len(list))]
	special := len(first) == 1 && len(rest) < len(list) && wantsMore(first[0])
	if len(rest) == 0 && !special {
		return nil
	}
	return m.inside(b.Pin, func(h *netlink.Handle) error {
		if special {
			if err := errors.Join(m.adjust(first[0].n, b.Endpoints[0], h), m.watchOver(b, first[0].n, b.Endpoints[0])); err != nil {
				return err
			}
		}
		for _, w := range rest {
			if err := m.connect(b, w, h); err != nil {
				return err
			}
		}
		return errors.Join(m.settleGateways(b, h), m.listen(b))
	})
}

// wantsMore reports whether a container on the default bridge wants what the pool does not give.
func wantsMore(w want) bool {
	return w.s != nil && (len(w.s.MacAddress) > 0 || w.s.DriverOpts[optSysctls] != "" || w.s.DriverOpts[optIfName] != "" ||
		w.s.IPAMConfig != nil && len(w.s.IPAMConfig.LinkLocalIPs) > 0)
}

// adjust gives the eth0 of a ready namespace what the user wants beside.
func (m *Manager) adjust(n *netEntry, ep *endpoint, h *netlink.Handle) error {
	if ep.Link == "" {
		return nil
	}
	link, err := h.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find eth0: %w", err)
	}
	outer, err := m.host.handle.LinkByName(ep.Link)
	if err != nil {
		return fmt.Errorf("find %s: %w", ep.Link, err)
	}
	if ep.Settings.MacAddress != nil {
		ep.MAC = ep.Settings.MacAddress
	}
	if name := ep.Settings.DriverOpts[optIfName]; name != "" {
		ep.Inside = name
	}
	if err := h.LinkSetDown(link); err != nil {
		return err
	}
	if err := m.reshape(n, ep, h, link, outer); err != nil {
		return err
	}
	plain := *ep
	plain.Addr = netip.Addr{} // it is there
	if err := configureInside(n, &plain, h, link); err != nil {
		return err
	}
	m.forgetNeighbour(n, ep.Addr)
	return setDefaultRoute(h, ep.Inside, n.V4.Gateway) // it went when the interface was down
}

// connect puts the namespace of b, which the calling thread is in, on one more network. An endpoint for it may be there
// with a ready pair.
func (m *Manager) connect(b *box, w want, h *netlink.Handle) (err error) {
	ep := b.on(w.n.ID)
	if ep == nil {
		ep = newEndpoint(w, b)
		b.Endpoints = append(b.Endpoints, ep)
	}
	if err := m.assign(ep, w); err != nil {
		return err
	}
	ep.Inside = b.freeInterface(w)
	if w.n.isLan() {
		return m.plugLan(w.n, ep, h)
	}
	if err := m.plug(w.n, ep, h); err != nil {
		return err
	}
	return m.watchOver(b, w.n, ep)
}

// watchOver lets an endpoint send from its own addresses only.
func (m *Manager) watchOver(b *box, n *netEntry, ep *endpoint) error {
	if b.Unguarded || !n.antiSpoofing {
		return m.posts.dismiss(ep.Link)
	}
	return m.posts.admit(ep.Link, postOf(n, ep))
}

// assign takes the endpoint's addresses and MAC.
func (m *Manager) assign(ep *endpoint, w want) (err error) {
	var wish network.EndpointIPAMConfig
	if w.s != nil && w.s.IPAMConfig != nil {
		wish = *w.s.IPAMConfig
	}
	if w.n.ipam4 != nil {
		addr, err := w.n.ipam4.want(wish.IPv4Address.Unmap())
		if err != nil {
			return err
		}
		ep.Addr = addr
	}
	if w.n.ipam6 != nil {
		addr, err := w.n.ipam6.want(wish.IPv6Address)
		if err != nil {
			return err
		}
		ep.Addr6 = addr
	}
	switch {
	case w.s != nil && len(w.s.MacAddress) > 0:
		ep.MAC = w.s.MacAddress
	case ep.Addr.IsValid():
		ep.MAC = network.HardwareAddr(macFor(ep.Addr))
	case ep.Addr6.IsValid():
		ep.MAC = network.HardwareAddr(macFor(ep.Addr6))
	}
	return nil
}

// freeInterface is the name of the next interface inside: the user's, else eth0, eth1, …
func (b *box) freeInterface(w want) string {
	if w.s != nil && w.s.DriverOpts[optIfName] != "" {
		return w.s.DriverOpts[optIfName]
	}
	for i := 0; ; i++ {
		name := w.n.prefix + strconv.Itoa(i)
		if !slices.ContainsFunc(b.Endpoints, func(ep *endpoint) bool { return ep.Inside == name }) {
			return name
		}
	}
}

// settleGateways makes the way out what it should be. The calling thread is in the namespace.
func (m *Manager) settleGateways(b *box, h *netlink.Handle) error {
	m.mu.Lock()
	nets := maps.Clone(m.nets)
	m.mu.Unlock()
	ep4, ep6 := gatewayEndpoints(b, nets)
	for _, f := range []struct {
		ep     *endpoint
		now    *string
		v6     bool
		family int
	}{{ep4, &b.Gateway, false, netlink.FAMILY_V4}, {ep6, &b.Gateway6, true, netlink.FAMILY_V6}} {
		if f.ep == nil {
			if *f.now != "" {
				*f.now = ""
				if err := dropDefaultRoute(h, f.family); err != nil {
					return err
				}
			}
			continue
		}
		if *f.now == f.ep.NetworkID {
			continue
		}
		s := nets[f.ep.NetworkID].V4
		if f.v6 {
			s = nets[f.ep.NetworkID].V6
		}
		set := func() error { return setDefaultRoute(h, f.ep.Inside, s.Gateway) }
		if nets[f.ep.NetworkID].routed() {
			set = func() error { return setDefaultDevice(h, f.ep.Inside, f.v6) }
		}
		if err := set(); err != nil {
			return err
		}
		*f.now = f.ep.NetworkID
	}
	return nil
}

// Sandbox is a running container's network, nil when it has none of its own.
func (m *Manager) Sandbox(containerID string) *Sandbox {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.boxes[containerID]; b != nil {
		return m.sandbox(b)
	}
	return nil
}

// sandbox describes b to the caller of Attach. The caller holds mu.
func (m *Manager) sandbox(b *box) *Sandbox {
	s := &Sandbox{Networks: map[string]*network.EndpointSettings{}, Wishes: map[string]*network.EndpointSettings{}, Ports: b.portMap(), Gateway: m.gateway(b)}
	for _, ep := range b.Endpoints {
		if n := m.nets[ep.NetworkID]; n != nil {
			s.Networks[n.Name], s.Wishes[n.Name] = ep.settings(n), ep.Settings
		}
		for _, a := range []netip.Addr{ep.Addr, ep.Addr6} {
			if a.IsValid() {
				s.Addrs = append(s.Addrs, a)
			}
		}
	}
	if len(s.Addrs) > 0 {
		s.Addr = s.Addrs[0]
	}
	if b.DNS != (resolver.Ports{}) {
		s.NameServer = resolver.Addr
	}
	if b.Pin != "" {
		s.Path = filepath.Join(m.pins, b.Pin)
	}
	return s
}

// gateway is where `host-gateway` points: the host's address on the network that is the way out, else on the default
// bridge, as in Docker. The caller holds mu.
func (m *Manager) gateway(b *box) netip.Addr {
	for _, n := range []*netEntry{m.nets[b.Gateway], m.byName(network.NetworkBridge)} {
		if n != nil && n.V4 != nil && n.V4.Gateway.IsValid() {
			return n.V4.Gateway
		}
	}
	return netip.Addr{}
}

// Detach takes the networks back. Idempotent; the namespace itself is dropped in the background.
func (m *Manager) Detach(ctx context.Context, containerID string) error {
	b := m.uninstall(containerID)
	if b == nil {
		return nil
	}
	err := errors.Join(m.opts.Store.Delete(kindBox, containerID, false), m.dismantle(ctx, b))
	m.mu.Lock()
	var nets []*netEntry
	for _, ep := range b.Endpoints {
		if n := m.nets[ep.NetworkID]; n != nil {
			n.holds--
			nets = append(nets, n)
		}
	}
	m.mu.Unlock()
	for _, n := range nets {
		m.emit(events.ActionDisconnect, n, containerID)
	}
	return err
}

// dismantle undoes furnishBox, however far it came.
func (m *Manager) dismantle(ctx context.Context, b *box) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	err := m.unpublish(ctx, b)
	if b.sockets != nil {
		b.sockets.Close() // the resolver has not had them
	}
	if b.Pin != "" {
		m.drop(b.Pin)
	}
	for _, ep := range b.Endpoints {
		m.release(ep)
	}
	return err
}

// release gives the endpoint's addresses back.
func (m *Manager) release(ep *endpoint) {
	m.mu.Lock()
	n := m.nets[ep.NetworkID]
	if n != nil {
		n.shards.leave(ep.Link)
	}
	m.mu.Unlock()
	if n == nil {
		return
	}
	if ep.Link != "" {
		m.drops.Go(func() {
			if err := m.posts.dismiss(ep.Link); err != nil {
				m.opts.Log.Warn("network: a link that is gone is still watched", "link", ep.Link, "error", err)
			}
		})
	}
	if ep.Addr.IsValid() {
		if ep.Settings != nil && len(ep.Settings.MacAddress) > 0 {
			m.forgetNeighbour(n, ep.Addr)
		}
		n.ipam4.release(ep.Addr)
	}
	if ep.Addr6.IsValid() {
		n.ipam6.release(ep.Addr6)
	}
}

// forgetNeighbour makes the host ask again who has addr.
func (m *Manager) forgetNeighbour(n *netEntry, addr netip.Addr) {
	_ = m.host.handle.NeighDel(&netlink.Neigh{LinkIndex: n.index, IP: addr.AsSlice()}) // usually there is none
}

func (m *Manager) emit(action events.Action, n *netEntry, containerID string) {
	if m.opts.Events == nil {
		return
	}
	attributes := map[string]string{"name": n.Name, "type": n.Driver}
	if containerID != "" {
		attributes["container"] = containerID
	}
	m.opts.Events.Emit(events.NetworkEventType, action, n.ID, attributes)
}
