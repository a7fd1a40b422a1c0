package network

import (
	"maps"
	"net/netip"
	"strconv"

	"github.com/moby/moby/api/types/network"
)

// describe is the network in Docker's form.
func (n *netEntry) describe() network.Network {
	out := network.Network{
		Name: n.Name, ID: n.ID, Created: n.Created, Scope: "local", Driver: n.Driver, EnableIPv4: !n.NoIPv4, EnableIPv6: n.IPv6,
		IPAM:     network.IPAM{Driver: "default", Options: n.IPAMOptions, Config: []network.IPAMConfig{}},
		Internal: n.Internal, Attachable: n.Attachable, ConfigOnly: n.ConfigOnly,
		ConfigFrom: network.ConfigReference{Network: n.ConfigFrom},
		Options:    maps.Clone(n.Options), Labels: maps.Clone(n.Labels),
	}
	for _, s := range []*subnet{n.V4, n.V6} {
		if s != nil {
			out.IPAM.Config = append(out.IPAM.Config, network.IPAMConfig{
				Subnet: s.Pool, IPRange: s.Range, Gateway: s.Gateway, AuxAddress: s.Aux,
			})
		}
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	if out.Options == nil {
		out.Options = map[string]string{}
	}
	if n.isDefaultBridge() {
		out.Options = map[string]string{
			"com.docker.network.bridge.default_bridge": "true",
			optICC:     "true",
			optMasq:    "true",
			optHostIP4: "0.0.0.0",
			optName:    n.Device,
			optMTU:     strconv.Itoa(n.MTU),
		}
	}
	return out
}

// status is what the network's addresses are doing. The caller holds mu.
func (n *netEntry) status() *network.Status {
	subnets := network.SubnetStatuses{}
	for _, a := range []*ipam{n.ipam4, n.ipam6} {
		if a != nil {
			used, free := a.count()
			subnets[a.pool] = network.SubnetStatus{IPsInUse: used, DynamicIPsAvailable: free}
		}
	}
	return &network.Status{IPAM: network.IPAMStatus{Subnets: subnets}}
}

// settings is the endpoint in the form of a container's inspect.
func (ep *endpoint) settings(n *netEntry) *network.EndpointSettings {
	out := ep.Settings.Copy()
	if out == nil {
		out = &network.EndpointSettings{}
	}
	out.NetworkID, out.EndpointID, out.DNSNames, out.MacAddress = n.ID, ep.EndpointID, ep.DNSNames, ep.MAC
	if ep.Addr.IsValid() {
		out.IPAddress, out.IPPrefixLen = ep.Addr, n.V4.Pool.Bits()
		if !n.leadsNowhere() {
			out.Gateway = n.V4.Gateway
		}
	}
	if ep.Addr6.IsValid() {
		out.GlobalIPv6Address, out.GlobalIPv6PrefixLen = ep.Addr6, n.V6.Pool.Bits()
		if !n.leadsNowhere() {
			out.IPv6Gateway = n.V6.Gateway
		}
	}
	return out
}

// resource is the endpoint in the form of a network's inspect.
func (ep *endpoint) resource(n *netEntry, name string) network.EndpointResource {
	out := network.EndpointResource{Name: name, EndpointID: ep.EndpointID, MacAddress: ep.MAC}
	if ep.Addr.IsValid() {
		out.IPv4Address = netip.PrefixFrom(ep.Addr, n.V4.Pool.Bits())
	}
	if ep.Addr6.IsValid() {
		out.IPv6Address = netip.PrefixFrom(ep.Addr6, n.V6.Pool.Bits())
	}
	return out
}

// portMap is what is published, in Docker's form.
func (b *box) portMap() network.PortMap {
	out := network.PortMap{}
	for _, p := range b.Bindings {
		port, _ := network.PortFrom(p.Port, network.IPProtocol(p.Proto))
		out[port] = append(out[port], network.PortBinding{HostIP: p.shownIP(), HostPort: strconv.Itoa(int(p.HostPort))})
	}
	return out
}
