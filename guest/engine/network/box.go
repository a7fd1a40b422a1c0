package network

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/moby/moby/api/types/network"

	"naru/guest/engine/resolver"
)

// boxRecord is a running container's network as it is stored: its namespace, its place on each network, its ports.
type boxRecord struct {
	Pin       string      // name of its namespace under the folder of pins; "" is the host's own
	Name      string      // of the container
	Hostname  string      `json:",omitempty"`
	Endpoints []*endpoint // in the order in which they came
	Wishes    network.PortMap
	Bindings  []binding  // what is published, by way of the gateway's endpoint
	Via       netip.Addr `json:",omitzero"` // the container's addresses that the ports lead to
	Via6      netip.Addr `json:",omitzero"`
	Gateway   string     `json:",omitempty"` // ID of the network that is the way out, "" for none
	Gateway6  string     `json:",omitempty"`

	// Unguarded is a container that may send from any address: it holds CAP_NET_ADMIN.
	Unguarded bool `json:",omitempty"`

	DNS     resolver.Ports `json:",omitzero"`  // of its name server, zero for none
	Servers []netip.Addr   `json:",omitempty"` // that the user wants asked for other names
	DotsSet bool           `json:",omitempty"` // the option ndots is set, by the user or on the host
}

// box is a boxRecord at work. It is changed by one call at a time: its container sees to that.
type box struct {
	boxRecord
	id      string            // of the container
	sockets *resolver.Sockets // nil for none; the resolver closes them once it has them
}

// endpoint is a container's place on one network.
type endpoint struct {
	NetworkID  string
	EndpointID string
	Inside     string     `json:",omitempty"` // the interface's name in the container
	Link       string     `json:",omitempty"` // the host's side of the veth pair
	Addr       netip.Addr `json:",omitzero"`
	Addr6      netip.Addr `json:",omitzero"`
	MAC        network.HardwareAddr
	Settings   *network.EndpointSettings `json:",omitempty"` // the user's wishes
	DNSNames   []string                  `json:",omitempty"`
}

// on returns the box's endpoint on a network, nil when it has none.
func (b *box) on(networkID string) *endpoint {
	for _, ep := range b.Endpoints {
		if ep.NetworkID == networkID {
			return ep
		}
	}
	return nil
}

// published lists the box's ports for the table.
func (b *box) published() []published {
	out := make([]published, 0, len(b.Bindings))
	for _, p := range b.Bindings {
		if via := b.viaFor(p); via.Is4() == p.shownIP().Is4() { // else all goes through a door
			out = append(out, published{p, via})
		}
	}
	return out
}

func (ep *endpoint) priority() int {
	if ep.Settings == nil {
		return 0
	}
	return ep.Settings.GwPriority
}

// gatewayEndpoints are those that what leaves goes through, by Docker's order: the highest priority, and among
// equals the network with more ways out, then the first by name. nil for none.
func gatewayEndpoints(b *box, nets map[string]*netEntry) (v4, v6 *endpoint) {
	list := slices.Clone(b.Endpoints)
	sortByGateway(list, nets)
	for _, ep := range list {
		has4, has6 := ep.ways(nets[ep.NetworkID])
		if has4 && v4 == nil {
			v4 = ep
		}
		if has6 && v6 == nil {
			v6 = ep
		}
	}
	return v4, v6
}

// ways tells by which families what leaves could go through the endpoint.
func (ep *endpoint) ways(n *netEntry) (v4, v6 bool) {
	if n == nil || n.leadsNowhere() {
		return false, false
	}
	if n.routed() {
		return ep.Addr.IsValid(), ep.Addr6.IsValid()
	}
	return ep.Addr.IsValid() && n.V4 != nil && n.V4.Gateway.IsValid(), ep.Addr6.IsValid() && n.V6 != nil && n.V6.Gateway.IsValid()
}

// sortByGateway puts the endpoints into Docker's order of ways out.
func sortByGateway(list []*endpoint, nets map[string]*netEntry) {
	count := func(ep *endpoint) int {
		has4, has6 := ep.ways(nets[ep.NetworkID])
		return b2i(has4) + b2i(has6)
	}
	name := func(ep *endpoint) string {
		if n := nets[ep.NetworkID]; n != nil {
			return n.Name
		}
		return ""
	}
	slices.SortStableFunc(list, func(x, y *endpoint) int {
		return cmp.Or(cmp.Compare(y.priority(), x.priority()), cmp.Compare(count(y), count(x)), cmp.Compare(name(x), name(y)))
	})
}
