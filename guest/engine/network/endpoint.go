package network

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/network"
)

// endpointRecord is a container's place on a network, as it is stored while the container runs.
type endpointRecord struct {
	space
	NetworkID  string
	EndpointID string
	Name       string // of the container
	MAC        network.HardwareAddr
	Bindings   []binding
	Settings   *network.EndpointSettings `json:",omitempty"` // the user's wishes
}

// endpoint is an endpointRecord at work.
type endpoint struct {
	endpointRecord
}

// published lists the endpoint's ports for the table.
func (ep *endpoint) published() []published {
	out := make([]published, 0, len(ep.Bindings))
	for _, b := range ep.Bindings {
		out = append(out, published{b, ep.Addr})
	}
	return out
}

// settings is the endpoint in the form of a container's inspect.
func (ep *endpoint) settings(n *netEntry) *network.EndpointSettings {
	out := ep.Settings.Copy()
	if out == nil {
		out = &network.EndpointSettings{}
	}
	out.NetworkID, out.EndpointID = n.ID, ep.EndpointID
	if ep.Addr.IsValid() {
		out.IPAddress, out.IPPrefixLen, out.Gateway, out.MacAddress = ep.Addr, n.Subnet.Bits(), n.Gateway, ep.MAC
	}
	return out
}

// resource is the endpoint in the form of a network's inspect.
func (ep *endpoint) resource(n *netEntry) network.EndpointResource {
	out := network.EndpointResource{Name: ep.Name, EndpointID: ep.EndpointID, MacAddress: ep.MAC}
	if ep.Addr.IsValid() {
		out.IPv4Address = netip.PrefixFrom(ep.Addr, n.Subnet.Bits())
	}
	return out
}

// portMap is what is published, in Docker's form.
func (ep *endpoint) portMap() network.PortMap {
	out := network.PortMap{}
	for _, b := range ep.Bindings {
		port, _ := network.PortFrom(b.Port, network.IPProtocol(b.Proto))
		out[port] = append(out[port], network.PortBinding{HostIP: b.shownIP(), HostPort: strconv.Itoa(int(b.HostPort))})
	}
	return out
}

// wishFor picks the user's settings for n: by name, by ID, or those of "default" for the default bridge.
func wishFor(n *netEntry, all map[string]*network.EndpointSettings) *network.EndpointSettings {
	names := []string{n.Name, n.ID}
	if n.Name == network.NetworkBridge {
		names = append(names, network.NetworkDefault)
	}
	for _, name := range names {
		if s := all[name]; s != nil {
			return s
		}
	}
	return nil
}

// others are the networks in the user's settings beside n, by name.
func others(n *netEntry, all map[string]*network.EndpointSettings) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name != n.Name && name != n.ID && !(name == network.NetworkDefault && n.Name == network.NetworkBridge) {
			out = append(out, name)
		}
	}
	return out
}
