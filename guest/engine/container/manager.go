package container

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"

	"naru/guest/runtime"
)

// Manager owns all containers. Safe for concurrent use.
//
//	New ─ Restore ─ Watch … (engine killed: containers go on) … Shutdown
type Manager struct {
	Options
	mounter mounter
	viewMu  sync.Mutex // held while a view of Root is looked for and mounted

	mu    sync.RWMutex // guards the maps
	byID  map[string]*Container
	names map[string]string // name → ID; also of containers that are being created
	execs map[string]*Exec

	ooms       *runtime.OOMWatcher // nil where the kernel does not tell
	pruning    atomic.Bool         // one prune at a time
	background background          // ends, restarts, health checks, removal of files
	probes     probeGate
	recent     recentEnds
	watchers   watchers
	// life ends when the engine does: nothing is restarted any more.
	life    context.Context
	endLife context.CancelFunc
}

// New returns a Manager that knows nothing yet; call Restore.
func New(o Options) *Manager {
	m := &Manager{Options: o, byID: map[string]*Container{}, names: map[string]string{}, execs: map[string]*Exec{}, probes: newProbeGate()}
	m.life, m.endLife = context.WithCancel(context.Background())
	return m
}

// find returns the container that ref means: an ID, a name, or a unique prefix of an ID.
func (m *Manager) find(ref string) (*Container, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if c, ok := m.byID[ref]; ok {
		return c, nil
	}
	if c, ok := m.byID[m.names[strings.TrimPrefix(ref, "/")]]; ok {
		return c, nil
	}
	var found *Container
	if isHex(ref) {
		for id, c := range m.byID {
			if !strings.HasPrefix(id, ref) {
				continue
			}
			if found != nil {
				return nil, errdefs.ErrInvalidArgument.WithMessage("multiple IDs found with provided prefix: " + ref)
			}
			found = c
		}
	}
	if found == nil {
		return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	return found, nil
}

func isHex(s string) bool {
	return s != "" && len(s) < 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// ResolveID returns the ID of the container that ref means.
func (m *Manager) ResolveID(ref string) (string, error) {
	c, err := m.find(ref)
	if err != nil {
		return "", err
	}
	return c.ID, nil
}

// Running tells whether a container, given by its whole ID, runs or is about to run again.
func (m *Manager) Running(id string) bool {
	m.mu.RLock()
	c := m.byID[id]
	m.mu.RUnlock()
	if c == nil {
		return false
	}
	r := c.snapshot()
	return r.State.alive()
}

// all returns the containers, in no order.
func (m *Manager) all() []*Container {
	m.mu.RLock()
	defer m.mu.RUnlock()
	list := make([]*Container, 0, len(m.byID))
	for _, c := range m.byID {
		list = append(list, c)
	}
	return list
}

// Use is a container of an image.
type Use struct {
	ID      string
	Running bool
}

// UsesOf returns the containers that were made from an image.
func (m *Manager) UsesOf(imageID string) []Use {
	var uses []Use
	for _, c := range m.all() {
		if c.ImageID == imageID {
			r := c.snapshot()
			uses = append(uses, Use{c.ID, r.State.alive()})
		}
	}
	return uses
}

// save puts the container's present record into the journal.
func (m *Manager) save(c *Container, durable bool) error {
	r := c.snapshot()
	if err := m.Store.Put(kind, c.ID, &r, durable); err != nil {
		return fmt.Errorf("record container %s: %w", c.ID[:12], err)
	}
	return nil
}

// reserve takes a name for id.
func (m *Manager) reserve(name, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if owner, taken := m.names[name]; taken && owner != id {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf(
			"Conflict. The container name %q is already in use by container %q. "+
				"You have to remove (or rename) that container to be able to reuse that name.", "/"+name, owner))
	}
	m.names[name] = id
	return nil
}

func (m *Manager) release(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.names, name)
}
