package network

import (
	"net/netip"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Request is what a container asks of the network when it starts.
type Request struct {
	ContainerID string
	Name        string // container name, without the slash
	Hostname    string
	Mode        container.NetworkMode // "default", "bridge", "host", "none", "container:<id>", or a network's name or ID
	// Settings are the networks that the container is on, by name or ID, each with the user's wishes; nil for the one
	// that Mode names, without any.
	Settings map[string]*network.EndpointSettings
	Ports    network.PortMap // what to publish; host port "" or "0" is any free one
	DNS      []netip.Addr    // name servers of the user's, for names that no container has; nil for the host's
	// DNSOptions are those of resolv.conf that the user wants.
	DNSOptions []string
	// NetAdmin says that the container holds CAP_NET_ADMIN, and so may have addresses that nobody gave it.
	NetAdmin bool
	// JoinPath is the network namespace of the other container in mode "container:<id>".
	JoinPath string
}

// Sandbox is a container's network as it is while it runs.
type Sandbox struct {
	// Path is the network namespace to put into the OCI spec; "" means the host's own.
	Path string
	// Networks and Ports are for inspect: what the container really has.
	Networks map[string]*network.EndpointSettings
	Ports    network.PortMap
	// Wishes are the user's, of the networks that it is on.
	Wishes map[string]*network.EndpointSettings
	// Addr is the container's own address for /etc/hosts, invalid when it has none; Addrs are all of them.
	Addr  netip.Addr
	Addrs []netip.Addr
	// NameServer is where its names are looked up, invalid where that is as on the host.
	NameServer netip.Addr
	// Gateway is where `host-gateway` points, invalid when there is none.
	Gateway netip.Addr
}
