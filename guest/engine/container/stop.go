package container

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
)

// defaultStopTimeout is how long a container has after its stop signal, in seconds.
const defaultStopTimeout = 10

// killTimeout is how long a killed process may take to be gone: one in uninterruptible sleep does not go.
const killTimeout = 30 * time.Second

// StopOptions say how to stop. The container's own settings count for what is not set.
type StopOptions struct {
	Signal  string
	Timeout *int // seconds; negative waits for as long as it takes
}

// Stop asks a container to end, and ends it when it has not done so in time. It returns when it has ended.
func (m *Manager) Stop(ctx context.Context, ref string, o StopOptions) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	if err := m.stop(ctx, c, o, true); err != nil {
		return err
	}
	m.emit(c, events.ActionStop)
	return nil
}

// stop does the work of Stop. manual is false when the engine stops and the restart policy shall count again later.
func (m *Manager) stop(ctx context.Context, c *Container, o StopOptions, manual bool) error {
	signal, err := stopSignal(c.Config, o.Signal)
	if err != nil {
		return err
	}
	ended, err := m.tellToEnd(c, manual)
	if err != nil || ended == nil {
		return err
	}
	if err := m.signal(ctx, c, signal); err != nil {
		if keeperapi.IsNotFound(err) {
			return wait(ctx, ended, killTimeout)
		}
		m.Log.Warn("stop signal", "id", c.ID, "signal", signal, "error", err)
	}
	timeout := stopTimeout(c.Config, o.Timeout)
	if err := wait(ctx, ended, timeout); !errors.Is(err, errTimeout) {
		return err
	}
	return m.killAndWait(ctx, c, ended)
}

var errTimeout = errors.New("timed out")

// wait returns nil when ended is ready, errTimeout after the timeout; a negative one is none.
func wait(ctx context.Context, ended <-chan container.WaitResponse, timeout time.Duration) error {
	var late <-chan time.Time
	if timeout >= 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-ended:
		return nil
	case <-late:
		return errTimeout
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tellToEnd notes that the present run shall not be followed by another, and returns a channel for its end. It is
// nil when the container was only waiting to run again, which is over then.
func (m *Manager) tellToEnd(c *Container, manual bool) (<-chan container.WaitResponse, error) {
	c.op.Lock() // a start or an end that is under way comes first
	c.mu.Lock()
	defer c.op.Unlock()
	if !c.State.alive() {
		c.mu.Unlock()
		return nil, notModified(c.ID, "stopped")
	}
	c.State.ManuallyStopped = c.State.ManuallyStopped || manual
	c.State.StopAsked = true
	var ended <-chan container.WaitResponse
	if c.State.running() {
		ended = c.wait(container.WaitConditionNextExit)
	} else {
		c.stopBackoff()
		_ = c.State.giveUp() // it is restarting: alive and not running
	}
	c.mu.Unlock()
	if err := m.save(c, c.durable() && ended == nil); err != nil {
		return nil, err
	}
	return ended, nil
}

func (m *Manager) killAndWait(ctx context.Context, c *Container, ended <-chan container.WaitResponse) error {
	if err := m.signal(ctx, c, int(unix.SIGKILL)); err != nil && !keeperapi.IsNotFound(err) {
		return fmt.Errorf("kill container %s: %w", c.ID[:12], err)
	}
	if err := wait(ctx, ended, killTimeout); err != nil {
		if errors.Is(err, errTimeout) {
			return errdefs.ErrInternal.WithMessage(fmt.Sprintf("tried to kill container %s, but did not receive an exit event", c.ID))
		}
		return err
	}
	return nil
}

// signal sends a signal to the first process, and tells.
func (m *Manager) signal(ctx context.Context, c *Container, signal int) error {
	if err := m.Keeper.Signal(ctx, c.ID, signal); err != nil {
		return err
	}
	m.emit(c, events.ActionKill, "signal", strconv.Itoa(signal))
	return nil
}

// Kill sends a signal ("" is KILL). With KILL it returns when the container has ended.
func (m *Manager) Kill(ctx context.Context, ref, name string) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	if name == "" {
		name = "KILL"
	}
	signal, err := parseSignal(name)
	if err != nil {
		return err
	}
	stop, err := stopSignal(c.Config, "")
	if err != nil {
		return err
	}
	notRunning := errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot kill container: %s: container %s is not running", ref, c.ID))
	if signal == int(unix.SIGKILL) || signal == stop {
		ended, err := m.tellToEnd(c, true)
		if errdefs.IsNotModified(err) {
			return notRunning
		}
		if err != nil || ended == nil {
			return err
		}
		if signal == int(unix.SIGKILL) {
			return m.killAndWait(ctx, c, ended)
		}
	}
	err = m.signal(ctx, c, signal)
	if keeperapi.IsNotFound(err) {
		return notRunning
	}
	return err
}

// Restart stops a container if it runs, and starts it.
func (m *Manager) Restart(ctx context.Context, ref string, o StopOptions) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	keep := func(on bool) {
		c.mu.Lock()
		c.keepOnExit = on
		c.mu.Unlock()
	}
	keep(true)
	defer keep(false)
	if err := m.stop(ctx, c, o, true); err != nil && !errdefs.IsNotModified(err) {
		return err
	}
	if err := m.Start(ctx, c.ID); err != nil && !errdefs.IsNotModified(err) {
		return err
	}
	m.emit(c, events.ActionRestart)
	return nil
}

func stopSignal(cfg *container.Config, wish string) (int, error) {
	for _, s := range []string{wish, cfg.StopSignal} {
		if s != "" {
			return parseSignal(s)
		}
	}
	return int(unix.SIGTERM), nil
}

func stopTimeout(cfg *container.Config, wish *int) time.Duration {
	seconds := defaultStopTimeout
	if cfg.StopTimeout != nil {
		seconds = *cfg.StopTimeout
	}
	if wish != nil {
		seconds = *wish
	}
	if seconds < 0 {
		return -1
	}
	return time.Duration(seconds) * time.Second
}
