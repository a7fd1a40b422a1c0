package container

import (
	"github.com/moby/moby/api/types/events"

	"naru/guest/runtime"
)

// watchMemory begins to hear of containers that run out of memory. Without it their ends still tell.
func (m *Manager) watchMemory() {
	w, err := runtime.NewOOMWatcher(func(id string) { m.background.run(func() { m.outOfMemory(id) }) })
	if err != nil {
		m.Log.Warn("containers that run out of memory are only noticed at their end", "error", err)
		return
	}
	m.ooms = w
}

// watchMemoryOf is called for each container that runs.
func (m *Manager) watchMemoryOf(c *Container) {
	if m.ooms == nil {
		return
	}
	if err := m.ooms.Add(c.ID, m.cgroup(c.ID)); err != nil { // it has ended already, or the kernel has no memory cgroup
		m.Log.Debug("watch memory", "id", c.ID, "error", err)
	}
}

func (m *Manager) outOfMemory(id string) {
	c, err := m.find(id)
	if err != nil {
		return
	}
	c.op.Lock()
	defer c.op.Unlock()
	m.outOfMemoryLocked(c)
}

// outOfMemoryLocked notes that the kernel has killed a process of the container for memory, which may have been any, and
// tells when there is something new. c.op is held.
func (m *Manager) outOfMemoryLocked(c *Container) {
	kills := runtime.OOMKills(m.cgroup(c.ID))
	c.mu.Lock()
	isNew := c.State.running() && kills > c.oomKills
	if isNew {
		isNew = c.oomKills > 0 || !c.State.OOMKilled // an earlier engine may have told of the first
		c.State.OOMKilled, c.oomKills = true, kills
	}
	c.mu.Unlock()
	if !isNew {
		return
	}
	m.emit(c, events.ActionOOM)
	if err := m.save(c, false); err != nil {
		m.Log.Warn("record lack of memory", "id", c.ID, "error", err)
	}
}
