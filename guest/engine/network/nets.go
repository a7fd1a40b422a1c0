package network

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Kinds of record in the store.
const (
	kindNetwork = "network" // by network ID
	kindBox     = "box"     // by container ID; not durable: it describes a running container
)

// Drivers of networks.
const (
	driverBridge = "bridge"
	driverHost   = "host"
	driverNull   = "null"

	driverMacvlan = "macvlan"
	driverIPvlan  = "ipvlan"
)

// subnet is one address range of a network.
type subnet struct {
	Pool    netip.Prefix
	Range   netip.Prefix          `json:",omitzero"` // of which containers get theirs; the whole pool when not said
	Gateway netip.Addr            `json:",omitzero"` // the host's address; also where containers send what leaves
	Aux     map[string]netip.Addr `json:",omitempty"`
	Chosen  bool                  `json:",omitempty"` // by us, not by the user
}

// netRecord is a network as it is stored.
type netRecord struct {
	ID         string
	Name       string
	Driver     string
	Created    time.Time
	Device     string  `json:",omitempty"` // the bridge's name; of macvlan and ipvlan, the parent's
	MadeParent bool    `json:",omitempty"` // macvlan, ipvlan: the parent is ours
	Borrowed   bool    `json:",omitempty"` // the bridge is the user's own: it is not removed
	V4         *subnet `json:",omitempty"`
	V6         *subnet `json:",omitempty"`
	NoIPv4     bool    `json:",omitempty"`
	IPv6       bool    `json:",omitempty"`
	MTU        int     `json:",omitempty"` // bytes
	Internal   bool    `json:",omitempty"`
	Attachable bool    `json:",omitempty"`
	ConfigOnly bool    `json:",omitempty"`
	ConfigFrom string  `json:",omitempty"`

	Options     map[string]string `json:",omitempty"`
	Labels      map[string]string `json:",omitempty"`
	IPAMOptions map[string]string `json:",omitempty"`

	// Unfinished is set while the network is made or removed: an engine killed in between is followed by one that
	// removes it.
	Unfinished bool `json:",omitempty"`
}

// netEntry is a network at work.
type netEntry struct {
	netRecord
	bridgeOptions
	lan          lanOptions
	index        int        // of the interface Device, 0 while the network is not up
	ipam4, ipam6 *ipam      // nil where the network has no such addresses, or is not up
	shards       shards     // driver bridge: all of its bridges; guarded by the Manager's mu
	growing      sync.Mutex // held while a bridge is added
	pool         *pool      // ready namespaces: the default bridge's and those of none; set by Restore
	holds        int        // containers on their way in; guarded by the Manager's mu
	going        bool       // on its way out; guarded by the Manager's mu
}

// predefined are the networks that always exist.
var predefined = []netRecord{
	{Name: network.NetworkBridge, Driver: driverBridge},
	{Name: network.NetworkHost, Driver: driverHost},
	{Name: network.NetworkNone, Driver: driverNull},
}

func isPredefined(name string) bool {
	return name == network.NetworkDefault || slices.ContainsFunc(predefined, func(p netRecord) bool { return p.Name == name })
}

// loadNetworks reads the stored networks and makes the predefined ones that are missing.
func (m *Manager) loadNetworks() error {
	err := m.opts.Store.Each(kindNetwork, func(id string, raw json.RawMessage) error {
		n := &netEntry{}
		if err := json.Unmarshal(raw, &n.netRecord); err != nil {
			return fmt.Errorf("record %s: %w", id, err)
		}
		if n.Unfinished {
			return m.removeUnfinished(n)
		}
		m.nets[id] = n
		return n.parseOptions()
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
		n.bridgeOptions, _ = parseBridgeOptions(nil)
		m.nets[n.ID] = n
		if err := m.saveNetwork(n, false); err != nil {
			return err
		}
	}
	return nil
}

// removeUnfinished clears what an earlier engine was making or removing when it was killed.
func (m *Manager) removeUnfinished(n *netEntry) error {
	if n.Driver == driverBridge && n.Device != "" && !n.Borrowed {
		if err := errors.Join(removeShards(n), removeBridge(n.Device)); err != nil {
			m.opts.Log.Warn("network: bridge of an unfinished network is left behind", "bridge", n.Device, "error", err)
		}
	}
	if n.isLan() {
		if err := m.removeParent(n); err != nil {
			m.opts.Log.Warn("network: parent of an unfinished network is left behind", "parent", n.Device, "error", err)
		}
	}
	return m.opts.Store.Delete(kindNetwork, n.ID, false)
}

func (m *Manager) saveNetwork(n *netEntry, durable bool) error {
	if err := m.opts.Store.Put(kindNetwork, n.ID, n.netRecord, durable); err != nil {
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

// find looks a network up by ID, name, or unique prefix of the ID. The caller holds mu.
func (m *Manager) find(ref string) (*netEntry, error) {
	if n := m.nets[ref]; n != nil {
		return n, nil
	}
	if n := m.byName(ref); n != nil {
		return n, nil
	}
	var found []*netEntry
	for id, n := range m.nets {
		if ref != "" && strings.HasPrefix(id, ref) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", ref))
	case 1:
		return found[0], nil
	}
	return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("network %s is ambiguous (%d matches found based on ID prefix)", ref, len(found)))
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

// attached lists the endpoints on n. The caller holds mu.
func (m *Manager) attached(n *netEntry) map[string]*endpoint {
	out := map[string]*endpoint{}
	for id, b := range m.boxes {
		if ep := b.on(n.ID); ep != nil {
			out[id] = ep
		}
	}
	return out
}

// isDefaultBridge reports whether n is the network of containers that name none.
func (n *netEntry) isDefaultBridge() bool { return n.Name == network.NetworkBridge }

// userDefined reports whether containers on n find each other by name.
func (n *netEntry) userDefined() bool { return !isPredefined(n.Name) }
