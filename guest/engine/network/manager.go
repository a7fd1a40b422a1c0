// Package network gives each container its network: a namespace out of a pool of ready ones, an address on a bridge,
// and published ports by nftables (on a Linux host) or by the machine's host (in the VM).
//
//	Open ─ Restore ─┬─ Attach ─ Detach ─ … ─┬─ Close      containers keep their networks; the next engine restores
//	                └───────────────────────┴─ Teardown   nothing of ours is left
package network

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/moby/moby/api/types/network"

	"naru/guest/engine/event"
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
}

// Manager owns the networks of one installation. Safe for concurrent use.
type Manager struct {
	opts Options
}

// Filter is what List selects by: Docker's filter names to the accepted values of each.
type Filter map[string][]string

var errNotYet = errors.New("not yet")

// Open loads the records and makes sure that the bridge is there. Restore must follow once before Attach.
func Open(ctx context.Context, opts Options) (*Manager, error) { return nil, errNotYet }

// Restore takes over what an earlier engine left: it keeps the networks of the running containers, drops every
// other record, namespace and link, brings the nftables table to exactly the wanted content, and starts the pool.
func (m *Manager) Restore(ctx context.Context, running []string) error { return errNotYet }

// Validate checks at creation what Attach would refuse at start whatever the state of the host.
func (m *Manager) Validate(req Request) error { return errNotYet }

// Attach gives a starting container its network. The caller puts Sandbox.Path into the spec and calls Detach when
// the container has ended. Attaching an attached container detaches it first.
func (m *Manager) Attach(ctx context.Context, req Request) (*Sandbox, error) { return nil, errNotYet }

// Detach takes the network back. Idempotent; the namespace itself is dropped in the background.
func (m *Manager) Detach(ctx context.Context, containerID string) error { return errNotYet }

// List returns the networks that match the filter, ordered by name.
func (m *Manager) List(f Filter) ([]network.Summary, error) { return nil, errNotYet }

// Inspect finds a network by name, ID, or unique prefix of the ID.
func (m *Manager) Inspect(ref string) (*network.Inspect, error) { return nil, errNotYet }

// Published reports whether target, "tcp:172.17.0.2:80", is a published port of a running container: the only
// targets that a forward stream may name.
func (m *Manager) Published(target string) bool { return false }

// Publisher is the machine mode's way to the host, nil in direct mode.
func (m *Manager) Publisher() *Publisher { return nil }

// Close stops the background work and drops the pool. Attached containers keep their networks.
func (m *Manager) Close() error { return errNotYet }

// Teardown is Close, and then removes the table, the bridge and all namespaces. No container may run any more.
func (m *Manager) Teardown(ctx context.Context) error { return errNotYet }
