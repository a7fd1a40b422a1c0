package container

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
)

// exitUnknown is the exit code of a container whose end nobody saw: the host went down, or the keeper was killed.
const exitUnknown = 255

// Restore takes over what an earlier engine left: containers that still run, ends that it did not hear of, and half
// done work, which is undone. Watch must follow. Load comes first.
func (m *Manager) Restore(ctx context.Context) error {
	processes, err := m.Keeper.List(ctx)
	if err != nil {
		return fmt.Errorf("ask keeper what runs: %w", err)
	}
	m.watchMemory()
	known := map[string]keeperapi.Process{}
	for _, p := range processes {
		known[p.ID] = p
		m.killStray(ctx, p)
		m.killProbeLeft(ctx, p)
	}
	var running []string
	for _, c := range m.all() {
		p, ok := known[c.ID]
		if m.adopt(c, p, ok) && p.Exit == nil {
			running = append(running, c.ID)
			m.restorePause(c)
			m.watchMemoryOf(c)
			m.outOfMemoryLocked(c) // what happened while nobody watched
			m.restoreLimits(ctx, c)
		} else if !ok && c.HostConfig.CgroupParent != "" {
			// A new keeper kills what an earlier one left in our own cgroup; this one lies elsewhere.
			m.cleanRuntime(c.ID)
		}
	}
	if err := m.Networks.Restore(ctx, running); err != nil {
		return fmt.Errorf("restore networks: %w", err)
	}
	m.adoptNetworks(running)
	m.sweep(ctx, known)
	for _, c := range m.all() {
		c.mu.Lock()
		m.watchHealth(c, true)
		c.mu.Unlock()
	}
	return nil
}

// Load reads the containers from the journal. Others may ask for them from now on.
func (m *Manager) Load() error {
	return m.Store.Each(kind, func(id string, raw json.RawMessage) error {
		var r record
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("container %s in journal: %w", id, err)
		}
		c := newContainer(m.Root, r)
		m.byID[c.ID], m.names[c.Name] = c, c.ID
		return nil
	})
}

// adopt brings a container's state in line with what the keeper says, and tells whether it has a process there.
func (m *Manager) adopt(c *Container, p keeperapi.Process, found bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.State
	if s.Status == container.StateRemoving || s.Status == container.StateDead {
		c.unfinished = true
		s.Status = container.StateExited
	}
	switch {
	case found && p.Exit != nil && p.Exit.Time.Equal(s.Finished):
		return false // taken in already; ended forgets it
	case found:
		// Recorded or not: the engine may have died between the start and its record. A run that has ended
		// meanwhile is still running here, until Watch tells of its end.
		if !s.running() {
			s.start(p.Pid, p.Started)
			c.resetHealth()
		}
		s.Pid = p.Pid
		return true
	case s.running():
		s.end(exitUnknown, time.Now().UTC(), false)
		c.stopHealth()
	}
	c.Networks, c.Ports, c.NetNS = nil, nil, ""
	return false
}

// killStray ends a container's process that no record is of: its container was removed, or never acknowledged.
// Execs of an earlier engine have no record either, and go on.
func (m *Manager) killStray(ctx context.Context, p keeperapi.Process) {
	m.mu.RLock()
	_, mine := m.byID[p.ID]
	m.mu.RUnlock()
	if mine || p.Exit != nil {
		return
	}
	if _, err := os.Stat(m.bundlePath(p.ID)); err != nil {
		return
	}
	m.Log.Warn("killing a container that is not recorded", "id", p.ID)
	if err := m.Keeper.Signal(ctx, p.ID, int(unix.SIGKILL)); err != nil && !keeperapi.IsNotFound(err) {
		m.Log.Warn("kill stray container", "id", p.ID, "error", err)
	}
}

// killProbeLeft ends a health check's probe that an earlier engine was waiting for.
func (m *Manager) killProbeLeft(ctx context.Context, p keeperapi.Process) {
	if p.Exit != nil || !strings.HasPrefix(p.ID, probePrefix) {
		return
	}
	if err := m.Keeper.Signal(ctx, p.ID, int(unix.SIGKILL)); err != nil && !keeperapi.IsNotFound(err) {
		m.Log.Warn("kill health check of an earlier engine", "id", p.ID, "error", err)
	}
}

// sweep removes mounts, bundles, runtime state and folders that belong to nothing that runs or is recorded.
func (m *Manager) sweep(ctx context.Context, known map[string]keeperapi.Process) {
	for _, dir := range []string{m.Run + "/rootfs", m.Run + "/bundles", m.Run + "/shm", m.Runtime.Root} {
		for _, id := range names(dir) {
			if p, ok := known[id]; len(id) != 64 || ok && p.Exit == nil {
				continue
			}
			m.cleanRuntime(id)
			m.unmountRootfs(id)
		}
	}
	for id, p := range known { // the starts of execs that an earlier engine was killed in are over: the keeper has said so
		if dirs, _ := filepath.Glob(filepath.Join(m.bundlePath(id), execDir+"*")); p.Exit == nil {
			for _, dir := range dirs {
				_ = os.RemoveAll(dir) // on a tmpfs
			}
		}
	}
	for _, id := range names(filepath.Join(m.Root, "trash")) {
		m.releaseLeft(ctx, id)
		m.background.run(func() {
			if err := os.RemoveAll(filepath.Join(m.Root, "trash", id)); err != nil {
				m.Log.Warn("empty trash", "id", id, "error", err)
			}
		})
	}
	for _, id := range names(filepath.Join(m.Root, "containers")) {
		if _, err := m.find(id); err != nil {
			m.releaseLeft(ctx, id)
			m.discard(filepath.Join(m.Root, "containers", id), id)
		}
	}
}

// releaseLeft frees the volumes of a container whose creation was interrupted, and deletes the anonymous ones: nobody was
// told of them. One that was removed has no volumes left here: they are released before its record goes.
func (m *Manager) releaseLeft(ctx context.Context, id string) {
	if err := m.Volumes.Release(ctx, id, true); err != nil {
		m.Log.Warn("release volumes", "id", id, "error", err)
	}
}

func names(dir string) (list []string) {
	entries, _ := os.ReadDir(dir) // not there: nothing to sweep
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// StartAgain starts what the restart policies want to run, oldest first, a few at a time, and removes what was to be
// removed. It returns when that is done.
func (m *Manager) StartAgain(ctx context.Context) {
	list := m.all()
	slices.SortFunc(list, func(a, b *Container) int { return a.Created.Compare(b.Created) })
	var g errgroup.Group
	g.SetLimit(4)
	for _, c := range list {
		c.mu.Lock()
		s, policy, remove := c.State, c.policy(), c.unfinished || c.HostConfig.AutoRemove && !c.State.Started.IsZero()
		c.mu.Unlock()
		switch {
		case s.Status == container.StateRestarting:
			m.resumeBackoff(c)
		case s.alive():
		case remove:
			g.Go(func() error { m.removeLeft(ctx, c, c.HostConfig.AutoRemove || s.RemoveVolumes); return nil })
		case s.atEngineStart(policy):
			g.Go(func() error {
				if err := m.Start(ctx, c.ID); err != nil && !errdefs.IsNotModified(err) {
					m.Log.Warn("start container again", "id", c.ID, "error", err)
				}
				return nil
			})
		}
	}
	_ = g.Wait() // they log their own errors
}

// resumeBackoff goes on with a wait that an earlier engine was killed in, unless somebody has ended it already.
func (m *Manager) resumeBackoff(c *Container) {
	c.op.Lock()
	defer c.op.Unlock()
	c.mu.Lock()
	waits := c.State.Status == container.StateRestarting && c.cancelRestart == nil
	c.mu.Unlock()
	if waits {
		m.restartLater(c)
	}
}

func (m *Manager) removeLeft(ctx context.Context, c *Container, volumes bool) {
	c.op.Lock()
	defer c.op.Unlock()
	if err := m.removeStopped(ctx, c, volumes); err != nil {
		m.Log.Warn("remove container left over", "id", c.ID, "error", err)
	}
}

// shutdownTimeout is the most that a container gets to end when the engine does, in seconds.
const shutdownTimeout = 15

// Shutdown stops all containers at once, and returns when they and all background work have ended. Nothing can be
// started any more; Watch must still be running. Containers with a restart policy run again with the next engine.
func (m *Manager) Shutdown(ctx context.Context) error {
	m.endLife()
	var g errgroup.Group
	for _, c := range m.all() {
		r := c.snapshot()
		if !r.State.alive() {
			continue
		}
		g.Go(func() error {
			timeout := shutdownTimeout
			if own := stopTimeout(c.Config, nil); own >= 0 {
				timeout = min(int(own.Seconds()), shutdownTimeout)
			}
			err := m.stop(ctx, c, StopOptions{Timeout: &timeout}, false)
			if err != nil {
				m.Log.Warn("stop container at shutdown", "id", c.ID, "error", err)
			}
			return nil
		})
	}
	_ = g.Wait()
	if m.ooms != nil {
		m.ooms.Close()
	}
	return m.Drain(ctx)
}

// Drain waits for the background work.
func (m *Manager) Drain(ctx context.Context) error { return m.background.wait(ctx) }

// RemoveCgroup removes the cgroup above all containers, which is empty once all have stopped.
func (m *Manager) RemoveCgroup() error { return m.Runtime.Cleanup("", m.Cgroup) }
