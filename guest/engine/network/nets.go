package network

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Kinds of record in the store.
const (
	kindNetwork  = "network"  // by network ID
	kindEndpoint = "endpoint" // by container ID; not durable: it describes a running container
)

// Drivers of networks.
const (
	driverBridge = "bridge"
	driverHost   = "host"
	driverNull   = "null"
)

// netRecord is a network as it is stored.
type netRecord struct {
	ID      string
	Name    string
	Driver  string
	Created time.Time
	Device  string       `json:",omitempty"` // driver bridge: the bridge's name
	Subnet  netip.Prefix `json:",omitzero"`
	Gateway netip.Addr   `json:",omitzero"`
	MTU     int          `json:",omitempty"` // bytes
}

// netEntry is a network at work.
type netEntry struct {
	netRecord
	index int   // driver bridge: the bridge's interface index
	ipam  *ipam // driver bridge
	pool  *pool // ready namespaces, drivers bridge and null; set by Restore
}

// predefined are the networks that always exist.
var predefined = []netRecord{
	{Name: network.NetworkBridge, Driver: driverBridge},
	{Name: network.NetworkHost, Driver: driverHost},
	{Name: network.NetworkNone, Driver: driverNull},
}

// loadNetworks reads the stored networks and makes the predefined ones that are missing.
func (m *Manager) loadNetworks() error {
	err := m.opts.Store.Each(kindNetwork, func(id string, raw json.RawMessage) error {
		n := &netEntry{}
		if err := json.Unmarshal(raw, &n.netRecord); err != nil {
			return fmt.Errorf("record %s: %w", id, err)
		}
		m.nets[id] = n
		return nil
	})
	if err != nil {
		return fmt.Errorf("read networks: %w", err)
	}
	for _, p := range predefined {
		if m.byName(p.Name) != nil {
			continue
		}
		n := &netEntry{netRecord: p}
		n.ID, n.Created = newID(), time.Now()
		if n.Driver == driverBridge {
			n.Device, n.MTU = m.opts.Name, m.opts.MTU
		}
		m.nets[n.ID] = n
		if err := m.saveNetwork(n); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) saveNetwork(n *netEntry) error {
	if err := m.opts.Store.Put(kindNetwork, n.ID, n.netRecord, false); err != nil {
		return fmt.Errorf("store network %s: %w", n.Name, err)
	}
	return nil
}

func (m *Manager) byName(name string) *netEntry {
	for _, n := range m.nets {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// find looks a network up by name, ID, or unique prefix of the ID. The caller holds mu.
func (m *Manager) find(ref string) (*netEntry, error) {
	if n := m.byName(ref); n != nil {
		return n, nil
	}
	var found *netEntry
	for id, n := range m.nets {
		if ref == "" || !strings.HasPrefix(id, ref) {
			continue
		}
		if found != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("network %s is ambiguous (2 matches found on ID prefix)", ref))
		}
		found = n
	}
	if found == nil {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", ref))
	}
	return found, nil
}

// sorted returns the networks ordered by name.
func (m *Manager) sorted() []*netEntry {
	out := make([]*netEntry, 0, len(m.nets))
	for _, n := range m.nets {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *netEntry) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (m *Manager) inUse(n *netEntry) bool {
	for _, ep := range m.endpoints {
		if ep.NetworkID == n.ID {
			return true
		}
	}
	return false
}

// describe is the network in Docker's form.
func (n *netEntry) describe() network.Network {
	out := network.Network{
		Name: n.Name, ID: n.ID, Created: n.Created, Scope: "local", Driver: n.Driver, EnableIPv4: true,
		IPAM:    network.IPAM{Driver: "default", Config: []network.IPAMConfig{}},
		Options: map[string]string{}, Labels: map[string]string{},
	}
	if n.Driver == driverBridge {
		out.IPAM.Config = append(out.IPAM.Config, network.IPAMConfig{Subnet: n.Subnet, Gateway: n.Gateway})
		out.Options = map[string]string{
			"com.docker.network.bridge.default_bridge":       strconv.FormatBool(n.Name == network.NetworkBridge),
			"com.docker.network.bridge.enable_icc":           "true",
			"com.docker.network.bridge.enable_ip_masquerade": "true",
			"com.docker.network.bridge.host_binding_ipv4":    "0.0.0.0",
			"com.docker.network.bridge.name":                 n.Device,
			"com.docker.network.driver.mtu":                  strconv.Itoa(n.MTU),
		}
	}
	return out
}
