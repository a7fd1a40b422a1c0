// Package network gives each container its network: a namespace out of a pool of ready ones, an address on a bridge,
// and published ports by nftables (on a Linux host) or by the machine's host (in the VM).
//
//	Open ─ Restore ─┬─ Attach ─ Detach ─ … ─┬─ Close      containers keep their networks; the next engine restores
//	                └───────────────────────┴─ Teardown   nothing of ours is left
package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/mdlayher/netlink"
	"github.com/moby/moby/api/types/network"

	"naru/guest/api"
	"naru/guest/engine/event"
	"naru/guest/engine/resolver"
)

// Store keeps records over restarts of the engine. Put and Delete with durable return only after the record is
// on disk.
type Store interface {
	Put(kind, id string, v any, durable bool) error
	Delete(kind, id string, durable bool) error
	Each(kind string, fn func(id string, raw json.RawMessage) error) error
}

// Options say what a Manager works with.
type Options struct {
	Name   string // of the bridge and the nftables table; at most 13 characters
	Run    string // folder on a tmpfs in the engine's mount namespace; namespaces are pinned in Run/netns
	Mode   string // api.ModeDirect or api.ModeMachine: who listens for published ports
	Store  Store
	Events *event.Bus
	Log    *slog.Logger
	MTU    int // bytes; 0 is 1500
	// NewNS makes the namespaces of containers in user namespaces of their own, which own them; nil: in ours.
	NewNS func() (*os.File, error)
}

// Manager owns the networks of one installation. Safe for concurrent use.
type Manager struct {
	opts  Options
	pins  string // folder of the pinned namespaces
	host  *hostNS
	table *table
	guard *guard // holds while the table is gone
	posts *sentry
	ports *portTable
	pub   *Publisher // nil in direct mode

	names    *directory
	dns      *resolver.Server
	upstream upstream

	drops    sync.WaitGroup // namespaces being dropped in the background
	watching sync.WaitGroup // watchTable

	setup sync.Mutex // held while a network is made, brought up or removed; taken before mu

	mu       sync.Mutex           // guards all below
	nets     map[string]*netEntry // by network ID
	boxes    map[string]*box      // by container ID; a box in it is never changed, but replaced
	bare     *pool                // namespaces for user-defined networks; nil until the first is needed
	watch    *netlink.Conn        // hears of nftables' changes; set by Restore
	restored bool
	closed   bool
}

var errClosed = errors.New("the network is shut down")

// Open loads the records and makes sure that the bridge is there. Restore must follow once before Attach.
func Open(ctx context.Context, opts Options) (*Manager, error) {
	if opts.MTU == 0 {
		opts.MTU = 1500
	}
	if l := len(opts.Name); l == 0 || l > 13 {
		return nil, fmt.Errorf("network name %q: must have 1 to 13 characters", opts.Name)
	}
	m := &Manager{
		opts: opts, pins: filepath.Join(opts.Run, "netns"), guard: newGuard(opts.Name), ports: newPortTable(),
		nets: map[string]*netEntry{}, boxes: map[string]*box{}, names: newDirectory(),
	}
	if opts.Mode == api.ModeMachine {
		m.pub = newPublisher(opts.Log)
		m.ports.holdsNothing = true
	}
	if err := os.MkdirAll(m.pins, 0o700); err != nil {
		return nil, err
	}
	m.table, m.posts = newTable(opts.Name, m.guard.bit), newSentry(opts.Name, opts.Log)
	var err error
	if m.host, err = openHostNS(opts.NewNS); err != nil {
		return nil, err
	}
	if m.dns, err = resolver.New(opts.Log); err == nil {
		err = m.load()
	}
	if err != nil {
		if m.dns != nil {
			m.dns.Close()
		}
		m.host.close()
		return nil, err
	}
	return m, nil
}

// load reads the records, makes those of the predefined networks, and brings the bridges up.
func (m *Manager) load() error {
	if err := m.loadNetworks(); err != nil {
		return err
	}
	err := m.opts.Store.Each(kindBox, func(id string, raw json.RawMessage) error {
		b := &box{id: id}
		if err := json.Unmarshal(raw, &b.boxRecord); err != nil {
			m.opts.Log.Warn("network: unreadable endpoints are forgotten", "container", id, "error", err)
			return nil
		}
		m.boxes[id] = b
		return nil
	})
	if err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	used := map[string]bool{}
	for _, b := range m.boxes {
		for _, ep := range b.Endpoints {
			used[ep.NetworkID] = true
		}
	}
	for _, n := range m.nets {
		if n.isLan() && used[n.ID] {
			if err := m.bringUpLan(n); err != nil {
				m.opts.Log.Warn("network: cannot be brought up", "network", n.Name, "error", err)
			}
		}
		if n.Driver != driverBridge {
			continue
		}
		// The others come up when a container needs them: an engine that has stopped took the bridges down.
		if !n.isDefaultBridge() && !used[n.ID] {
			if link, err := findBridge(n.Device); err != nil || link == nil {
				continue
			}
		}
		if err := m.bringUp(n); err != nil {
			if n.isDefaultBridge() {
				return fmt.Errorf("network %s: %w", n.Name, err)
			}
			m.opts.Log.Warn("network: cannot be brought up", "network", n.Name, "error", err)
		}
	}
	return nil
}

// List returns the networks that match the filter, ordered by name.
func (m *Manager) List(f Filter) ([]network.Summary, error) {
	match, err := compileList(f)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	used := map[string]bool{}
	for _, b := range m.boxes {
		for _, ep := range b.Endpoints {
			used[ep.NetworkID] = true
		}
	}
	out := []network.Summary{}
	for _, n := range m.sorted() {
		if match(n, used[n.ID]) {
			out = append(out, network.Summary{Network: n.describe()})
		}
	}
	return out, nil
}

// Inspect finds a network by name, ID, or unique prefix of the ID.
func (m *Manager) Inspect(ref string) (*network.Inspect, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	out := &network.Inspect{Network: n.describe(), Containers: map[string]network.EndpointResource{}, Status: n.status()}
	for id, ep := range m.attached(n) {
		out.Containers[id] = ep.resource(n, m.boxes[id].Name)
	}
	return out, nil
}

// Published reports whether target, "tcp:172.17.0.2:80", is a published port of a running container: the only
// targets that a forward stream may name.
func (m *Manager) Published(target string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.boxes {
		for _, p := range b.Bindings {
			if p.target(b.anyVia()) == target {
				return true
			}
		}
	}
	return false
}

// Publisher is the machine mode's way to the host, nil in direct mode.
func (m *Manager) Publisher() *Publisher { return m.pub }

// Close stops the background work and drops the pool. Attached containers keep their networks.
func (m *Manager) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	nets, bare, watch := m.sorted(), m.bare, m.watch
	m.mu.Unlock()
	if watch != nil {
		_ = watch.Close()
		m.watching.Wait()
	}
	for _, n := range nets {
		if n.pool != nil {
			n.pool.close(func(s *space) { m.drop(s.Pin) })
		}
	}
	if bare != nil {
		bare.close(func(s *space) { m.discard(s) })
	}
	m.dns.Close()
	m.drops.Wait()
	m.ports.releaseAll()
	m.table.close()
	m.posts.close()
	m.host.close()
	return nil
}

// Teardown is Close, and then removes the table, the bridges and all namespaces. No container may run any more. The
// networks' IDs and subnets stay in the store. Idempotent.
func (m *Manager) Teardown(ctx context.Context) error {
	var errs []error
	m.mu.Lock()
	for id, b := range m.boxes {
		if b.Pin != "" {
			m.drop(b.Pin)
		}
		errs = append(errs, m.opts.Store.Delete(kindBox, id, false))
		delete(m.boxes, id)
	}
	m.mu.Unlock()
	errs = append(errs, m.Close(), m.table.remove(), m.posts.remove(), m.guard.remove())
	for _, n := range m.sorted() {
		if n.isLan() && n.index != 0 {
			errs = append(errs, m.removeParent(n))
			n.index = 0
		}
		if n.Driver == driverBridge && n.index != 0 {
			errs = append(errs, removeShards(n))
			if !n.Borrowed {
				errs = append(errs, removeBridge(n.Device))
			}
		}
	}
	if err := errors.Join(m.dropLeaked(nil), os.Remove(m.pins)); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// newID returns a random ID in Docker's form: 64 hex digits.
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}
