package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/events"
)

// freezeTimeout bounds how long the processes of a container may take to stop: one in uninterruptible sleep does not.
const freezeTimeout = 10 * time.Second

// execSettles is how long a pause waits for the starts of execs, which are over in milliseconds.
const execSettles = 2 * time.Second

// Pause freezes all processes of a running container.
func (m *Manager) Pause(ctx context.Context, ref string) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	c.mu.Lock()
	err = c.State.pause(c.ID)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	// The wish comes first: processes that are found frozen and are not said to be paused are thawed by the next engine.
	err = m.save(c, c.durable())
	if err == nil {
		err = m.freeze(ctx, c)
	}
	if err != nil {
		m.setRunning(c)
		return fmt.Errorf("cannot pause container %s: %w", c.ID, err)
	}
	m.paused(c)
	return nil
}

// paused is what follows when the processes are frozen.
func (m *Manager) paused(c *Container) {
	c.mu.Lock()
	c.stopHealth()
	c.mu.Unlock()
	m.emit(c, events.ActionPause)
}

// Unpause lets the processes of a paused container go on.
func (m *Manager) Unpause(_ context.Context, ref string) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	c.mu.Lock()
	err = c.State.canUnpause(c.ID)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := m.unpause(c); err != nil {
		return fmt.Errorf("cannot unpause container %s: %w", c.ID, err)
	}
	return nil
}

// unpause thaws, and tells. c.op is held.
func (m *Manager) unpause(c *Container) error {
	if err := m.Runtime.Thaw(m.cgroup(c.ID)); err != nil {
		return err
	}
	m.setRunning(c)
	m.emit(c, events.ActionUnPause)
	return nil
}

// pausedWhile runs f while the processes of a container that runs are frozen, as a commit wants it. Its state says so
// meanwhile, and an engine that is killed in f is followed by one that thaws them. Whoever wants to stop the container
// meanwhile does not wait for f.
func (m *Manager) pausedWhile(ctx context.Context, c *Container, f func() error) error {
	mine, err := m.pauseForNow(ctx, c)
	if err != nil {
		return fmt.Errorf("cannot pause container %s: %w", c.ID, err)
	}
	err = f()
	if !mine {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	c.mu.Lock()
	still := c.State.Paused && c.State.ForNow
	c.mu.Unlock()
	if still {
		err = errors.Join(err, m.unpause(c))
	}
	return err
}

// pauseForNow freezes a container that runs. mine is false when there was nothing to do: it is paused already, or has no
// processes.
func (m *Manager) pauseForNow(ctx context.Context, c *Container) (mine bool, err error) {
	c.op.Lock()
	defer c.op.Unlock()
	c.mu.Lock()
	if c.State.pause(c.ID) != nil {
		c.mu.Unlock()
		return false, nil
	}
	c.State.ForNow = true
	c.mu.Unlock()
	if err := m.freeze(ctx, c); err != nil {
		m.setRunning(c)
		return false, err
	}
	m.paused(c)
	return true, nil
}

func (m *Manager) freeze(ctx context.Context, c *Container) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), freezeTimeout)
	defer cancel()
	settle, stop := context.WithTimeout(ctx, execSettles)
	defer stop()
	_ = c.execStarts.wait(settle) // one that takes longer may end when the container goes on
	return m.Runtime.Freeze(ctx, m.cgroup(c.ID))
}

// setRunning notes that a container is not paused any more.
func (m *Manager) setRunning(c *Container) {
	c.mu.Lock()
	c.State.Paused, c.State.ForNow = false, false
	m.watchHealth(c, false)
	c.mu.Unlock()
	if err := m.save(c, false); err != nil {
		m.Log.Warn("record unpause", "id", c.ID, "error", err) // the next engine asks the freezer
	}
}

// restorePause brings the freezer and the state of a container that runs together: paused is what was said to be and is
// frozen. What an earlier engine froze without saying so, it wanted for a moment.
func (m *Manager) restorePause(c *Container) {
	frozen := m.Runtime.Frozen(m.cgroup(c.ID))
	c.mu.Lock()
	c.State.Paused = c.State.Paused && !c.State.ForNow && frozen
	c.State.ForNow = false
	thaw := frozen && !c.State.Paused
	c.mu.Unlock()
	if !thaw {
		return
	}
	if err := m.Runtime.Thaw(m.cgroup(c.ID)); err != nil {
		m.Log.Warn("thaw container", "id", c.ID, "error", err)
	}
}
