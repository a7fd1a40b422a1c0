package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"naru/guest/engine/resolver"
)

// directory is who has which name on which user-defined network. Safe for concurrent use.
type directory struct {
	mu    sync.RWMutex                      // guards all below
	names map[string]map[string][]*endpoint // by network ID and name in lower case
	addrs map[string]map[netip.Addr]string  // by network ID and address: the first name
}

func newDirectory() *directory {
	return &directory{names: map[string]map[string][]*endpoint{}, addrs: map[string]map[netip.Addr]string{}}
}

// replace forgets the endpoints of old and learns those of next; either may be nil.
func (d *directory) replace(old, next *box) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old != nil {
		for _, ep := range old.Endpoints {
			d.forget(ep)
		}
	}
	if next != nil {
		for _, ep := range next.Endpoints {
			d.learn(ep)
		}
	}
}

func (d *directory) learn(ep *endpoint) {
	if len(ep.DNSNames) == 0 {
		return
	}
	if d.names[ep.NetworkID] == nil {
		d.names[ep.NetworkID], d.addrs[ep.NetworkID] = map[string][]*endpoint{}, map[netip.Addr]string{}
	}
	for _, name := range ep.DNSNames {
		name = strings.ToLower(name)
		d.names[ep.NetworkID][name] = append(d.names[ep.NetworkID][name], ep)
	}
	for _, a := range []netip.Addr{ep.Addr, ep.Addr6} {
		if a.IsValid() {
			d.addrs[ep.NetworkID][a] = ep.DNSNames[0]
		}
	}
}

func (d *directory) forget(ep *endpoint) {
	names := d.names[ep.NetworkID]
	if names == nil {
		return
	}
	for _, name := range ep.DNSNames {
		name = strings.ToLower(name)
		names[name] = slices.DeleteFunc(slices.Clone(names[name]), func(x *endpoint) bool { return x == ep })
		if len(names[name]) == 0 {
			delete(names, name)
		}
	}
	delete(d.addrs[ep.NetworkID], ep.Addr)
	delete(d.addrs[ep.NetworkID], ep.Addr6)
	if len(names) == 0 {
		delete(d.names, ep.NetworkID)
		delete(d.addrs, ep.NetworkID)
	}
}

// find returns the addresses of a name on a network.
func (d *directory) find(networkID, name string, v6 bool) (addrs []netip.Addr, known bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list, known := d.names[networkID][name]
	for _, ep := range list {
		a := ep.Addr
		if v6 {
			a = ep.Addr6
		}
		if a.IsValid() && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs, known
}

func (d *directory) who(networkID string, addr netip.Addr) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.addrs[networkID][addr]
}

// view is a container as the name server sees it; it does not change. It is a resolver.Client.
type view struct {
	m       *Manager
	pin     string
	places  []place // in the order in which they are asked
	outside bool    // on a network that leads out
	servers []netip.Addr
	dots    bool
	gateway netip.Addr
}

// place is one of the container's networks.
type place struct {
	id, name string
	links    map[string]string // the container's own names for others
}

// view makes b's. The caller holds mu.
func (m *Manager) view(b *box) *view {
	v := &view{m: m, pin: b.Pin, servers: b.Servers, gateway: m.gateway(b), dots: b.DotsSet}
	v.outside = b.Gateway != "" || b.Gateway6 != ""
	list := slices.Clone(b.Endpoints)
	sortByGateway(list, m.nets)
	for _, ep := range list {
		n := m.nets[ep.NetworkID]
		if n == nil {
			continue
		}
		p := place{id: n.ID, name: n.Name, links: map[string]string{}}
		if ep.Settings != nil {
			for _, l := range ep.Settings.Links {
				name, alias := ParseLink(l)
				p.links[strings.ToLower(alias)] = strings.ToLower(name)
			}
		}
		v.places = append(v.places, p)
	}
	return v
}

// ParseLink reads name:alias, name, and the form /name:/other/alias that Docker itself writes.
func ParseLink(s string) (name, alias string) {
	name, alias, ok := strings.Cut(s, ":")
	if !ok {
		alias = name
	}
	if i := strings.LastIndexByte(alias, '/'); i >= 0 {
		alias = alias[i+1:]
	}
	return strings.TrimPrefix(name, "/"), alias
}

// Names of the host itself, as Docker Desktop has them.
var hostNames = []string{"host.docker.internal", "gateway.docker.internal"}

// Lookup implements resolver.Client: a name may have its network's name behind it, and either may have dots.
func (v *view) Lookup(name string, v6 bool) (addrs []netip.Addr, known bool) {
	if addrs, known = v.lookupOn(name, "", v6); known {
		return addrs, true
	}
	for i := len(name) - 1; i > 0; i-- {
		if name[i] == '.' {
			if addrs, known = v.lookupOn(name[:i], name[i+1:], v6); known {
				return addrs, true
			}
		}
	}
	if !slices.Contains(hostNames, name) {
		return nil, false
	}
	if v.gateway.IsValid() && v.gateway.Is6() == v6 {
		addrs = []netip.Addr{v.gateway}
	}
	return addrs, true
}

// lookupOn looks on one network, or on all of the container's.
func (v *view) lookupOn(name, network string, v6 bool) (addrs []netip.Addr, known bool) {
	for _, links := range []bool{true, false} {
		for _, p := range v.places {
			if network != "" && strings.ToLower(p.name) != network {
				continue
			}
			other, isLink := p.links[name]
			if isLink != links {
				continue
			}
			if !isLink {
				other = name
			}
			if addrs, known = v.m.names.find(p.id, other, v6); known {
				return addrs, true
			}
		}
	}
	return nil, false
}

// Reverse implements resolver.Client.
func (v *view) Reverse(addr netip.Addr) string {
	for _, p := range v.places {
		if name := v.m.names.who(p.id, addr); name != "" {
			return name + "." + p.name
		}
	}
	return ""
}

// Servers implements resolver.Client: the user's, or the host's as they are now. A container that is on internal networks
// only has none of the host's.
func (v *view) Servers() []netip.Addr {
	switch {
	case len(v.servers) > 0:
		return v.servers
	case !v.outside:
		return nil
	}
	return v.m.upstream.get()
}

// Dial implements resolver.Client: the user's servers are asked from where the container is, the host's from the host.
func (v *view) Dial(ctx context.Context, network string, server netip.Addr) (conn net.Conn, err error) {
	addr := netip.AddrPortFrom(server, 53).String()
	var d net.Dialer
	if len(v.servers) == 0 {
		return d.DialContext(ctx, network, addr)
	}
	if server == resolver.Addr {
		return nil, errors.New("that is this server itself")
	}
	err = v.m.host.inNS(filepath.Join(v.m.pins, v.pin), func() error {
		conn, err = d.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// DotsMatter implements resolver.Client.
func (v *view) DotsMatter() bool { return v.dots }

// upstream follows the host's name servers. Safe for concurrent use.
type upstream struct {
	mu      sync.Mutex // guards all below
	looked  time.Time
	changed [2]time.Time
	servers []netip.Addr
}

// upstreamAge is how long a look at the host's files counts.
const upstreamAge = 500 * time.Millisecond

// get returns the host's servers; at most every upstreamAge it looks whether the files have changed.
func (u *upstream) get() []netip.Addr {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if now.Sub(u.looked) < upstreamAge {
		return u.servers
	}
	var changed [2]time.Time
	for i, path := range []string{hostResolvConf, resolvedResolvConf} {
		if st, err := os.Stat(path); err == nil {
			changed[i] = st.ModTime()
		}
	}
	if u.looked.IsZero() || changed != u.changed {
		u.servers = namedServers()
	}
	u.looked, u.changed = now, changed
	return u.servers
}

// namedServers are those that the host's programs ask: its stub answers here as well, for it is asked from the host.
func namedServers() (list []netip.Addr) {
	file, err := readIfThere(hostResolvConf)
	if err != nil {
		return nil
	}
	for _, s := range parseResolv(file).servers {
		if addr, err := netip.ParseAddr(s); err == nil {
			list = append(list, addr)
		}
	}
	return list
}

// listen opens b's DNS sockets, where it is on a user-defined network and has none. The calling thread is in its namespace.
func (m *Manager) listen(b *box) (err error) {
	if b.sockets != nil || !m.wantsNames(b) {
		return nil
	}
	b.sockets, err = resolver.Listen(b.DNS)
	if err == nil {
		b.DNS = b.sockets.Ports
	}
	return err
}

func (m *Manager) wantsNames(b *box) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(b.Endpoints, func(ep *endpoint) bool { n := m.nets[ep.NetworkID]; return n != nil && n.userDefined() })
}

// install makes next what its container has, and returns how its caller sees it. The record is stored.
func (m *Manager) install(next *box) (*Sandbox, error) {
	m.mu.Lock()
	old := m.boxes[next.id]
	m.boxes[next.id] = next
	m.names.replace(old, next)
	s, v := m.sandbox(next), m.view(next)
	m.mu.Unlock()
	if next.sockets == nil {
		return s, nil
	}
	return s, m.dns.Set(next.id, next.sockets, v)
}

// uninstall forgets a container's box and returns it, nil when there is none.
func (m *Manager) uninstall(id string) *box {
	m.mu.Lock()
	b := m.boxes[id]
	if b != nil {
		for _, ep := range b.Endpoints {
			if n := m.nets[ep.NetworkID]; n != nil {
				n.holds++ // the addresses are given back before the network may go
			}
		}
		delete(m.boxes, id)
		m.names.replace(b, nil)
	}
	m.mu.Unlock()
	if b != nil {
		m.dns.Remove(id)
		b.sockets = nil
	}
	return b
}

// relisten opens the DNS sockets of a running container again, after another engine had them.
func (m *Manager) relisten(b *box) error {
	if b.DNS == (resolver.Ports{}) {
		return nil
	}
	return m.inside(b.Pin, func(*netlink.Handle) error { return m.listen(b) })
}
