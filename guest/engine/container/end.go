package container

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/events"

	"naru/guest/keeper/keeperapi"
)

// cleanupTimeout bounds what is done after an end, whoever asked for it.
const cleanupTimeout = 30 * time.Second

// Watch hears of ended processes until ctx ends. Restore comes first.
func (m *Manager) Watch(ctx context.Context) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := m.Keeper.Watch(ctx, func(e keeperapi.Exit) {
			wait = 10 * time.Millisecond
			m.heard(e)
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m.Log.Warn("watch of keeper ended, trying again", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// heard passes an exit on. It must not block: the next one waits behind it.
func (m *Manager) heard(e keeperapi.Exit) {
	m.mu.RLock()
	c, x := m.byID[e.ID], m.execs[strings.TrimPrefix(e.ID, probePrefix)]
	m.mu.RUnlock()
	m.background.run(func() {
		switch {
		case c != nil:
			m.ended(c, e)
		case x != nil:
			m.execEnded(x, e)
		default: // of a container that was removed, or an exec of an earlier engine
			m.forget(e.ID)
		}
	})
}

func (m *Manager) forget(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if err := m.Keeper.Forget(ctx, id); err != nil {
		m.Log.Warn("forget exit", "id", id, "error", err)
	}
}

// ended takes in the end of a container's first process: frees what others may want, tells who waits, and then
// cleans up, restarts or removes.
func (m *Manager) ended(c *Container, e keeperapi.Exit) {
	c.op.Lock()
	defer c.op.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	m.outOfMemoryLocked(c)
	if m.ooms != nil {
		m.ooms.Remove(c.ID)
	}
	c.mu.Lock()
	if !c.State.running() || e.Time.Equal(c.State.Finished) {
		c.mu.Unlock()
		m.forget(c.ID) // told twice
		return
	}
	ran := e.Time.Sub(c.State.Started)
	restart := m.life.Err() == nil && c.State.shouldRestart(c.policy(), e.Code)
	remove := c.HostConfig.AutoRemove && !c.keepOnExit
	c.State.end(e.Code, e.Time, restart)
	c.stopHealth()
	if restart {
		c.State.backOff(ran)
	}
	c.Networks, c.Ports, c.NetNS = nil, nil, ""
	c.mu.Unlock()

	if err := m.Networks.Detach(ctx, c.ID); err != nil {
		m.Log.Warn("detach network", "id", c.ID, "error", err)
	}
	m.Volumes.Unmounted(c.ID)
	m.emit(c, events.ActionDie, "exitCode", strconv.Itoa(e.Code), "execDuration", strconv.Itoa(int(ran.Seconds())))
	m.recordEnd(c, remove)
	c.notifyEnd()
	if remove {
		c.mu.Lock()
		m.recent.add(c.ID, time.Now(), c.result())
		c.mu.Unlock()
		if err := m.removeStopped(ctx, c, true); err != nil {
			m.Log.Error("remove container on exit", "id", c.ID, "error", err)
		}
		m.forget(c.ID)
	}
	m.tidy(c)
	if restart {
		m.restartLater(c)
	}
}

// recordEnd makes the end durable before the keeper may forget it. One that is removed now needs no record of it.
func (m *Manager) recordEnd(c *Container, remove bool) {
	if remove {
		return
	}
	if err := m.save(c, c.durable()); err != nil {
		m.Log.Error("record end", "id", c.ID, "error", err) // the keeper still has it
		return
	}
	m.forget(c.ID)
}

// tidy removes what is left of a run.
func (m *Manager) tidy(c *Container) {
	m.cleanRun(c.ID, m.cgroupFor(c.ID, c.HostConfig))
	rootfs{m.rootfsPath(c.ID), c}.unmount(m)
}

// restartLater starts the container again when the back-off that its end began is over. c.op is held, or nobody knows of
// the container yet.
func (m *Manager) restartLater(c *Container) {
	ctx, cancel := context.WithCancel(m.life)
	c.mu.Lock()
	wait := c.State.Backoff - time.Since(c.State.Finished)
	c.cancelRestart = cancel
	c.mu.Unlock()
	m.background.run(func() {
		defer cancel()
		timer := time.NewTimer(min(wait, lastBackoff)) // a clock that was set back must not keep it for hours
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		c.op.Lock()
		defer c.op.Unlock()
		if ctx.Err() != nil {
			return
		}
		if err := m.start(ctx, c); err != nil {
			m.Log.Warn("restart container", "id", c.ID, "error", err)
		}
	})
}

// stopBackoff ends a back-off; c.mu is held.
func (c *Container) stopBackoff() {
	if c.cancelRestart != nil {
		c.cancelRestart()
		c.cancelRestart = nil
	}
}
