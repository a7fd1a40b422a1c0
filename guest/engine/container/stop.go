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

// Stop asks a container to end, and ends it when it has not done so in time. It returns when it has ended, also when the
// client has gone meanwhile.
func (m *Manager) Stop(ctx context.Context, ref string, o StopOptions) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	if err := m.stop(context.WithoutCancel(ctx), c, o, true); err != nil {
		if errdefs.IsNotModified(err) {
			return err
		}
		return fmt.Errorf("cannot stop container: %s: %w", ref, err)
	}
	return nil
}

// stop does the work of Stop. manual is false when the engine stops and the restart policy shall count again later.
func (m *Manager) stop(ctx context.Context, c *Container, o StopOptions, manual bool) error {
	if r := c.snapshot(); !r.State.alive() {
		return errAlreadyStopped
	}
	signal, err := stopSignal(c.Config, o.Signal)
	if err != nil {
		return err
	}
	ended, err := m.tell(ctx, c, order{signal: signal, last: true, manual: manual})
	if errors.Is(err, errNotAlive) {
		return errAlreadyStopped
	}
	if err != nil && ended == nil {
		return err
	}
	if err != nil {
		m.Log.Warn("stop signal", "id", c.ID, "signal", signal, "error", err)
	}
	if err := wait(ctx, ended, stopTimeout(c.Config, o.Timeout)); errors.Is(err, errTimeout) {
		err = m.kill(ctx, c)
		if err != nil && !errors.Is(err, errNotAlive) {
			return err
		}
	} else if err != nil {
		return err
	}
	m.emit(c, events.ActionStop)
	return nil
}

var errTimeout = errors.New("timed out")

// wait returns nil when ended is ready or nil, errTimeout after the timeout; a negative one is none.
func wait(ctx context.Context, ended <-chan container.WaitResponse, timeout time.Duration) error {
	if ended == nil {
		return nil
	}
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

// order is a signal for a container's first process, and what is meant by it.
type order struct {
	signal int
	last   bool // the run shall end: no policy follows it with another, and a paused process is thawed to hear it
	manual bool // a user wants it: unless-stopped stays stopped
}

// errNotAlive is of an order to a container that neither runs nor waits to be restarted.
var errNotAlive = errors.New("not running")

// tell carries out an order, and returns a channel for the end of the run. That is nil for a container that is only
// waiting to run again, which gets no signal: the wait is over then, when the order is the last. With an error that is not
// errNotAlive the channel is valid.
func (m *Manager) tell(ctx context.Context, c *Container, o order) (<-chan container.WaitResponse, error) {
	c.op.Lock() // a start or an end that is under way comes first
	defer c.op.Unlock()
	c.mu.Lock()
	if !c.State.alive() {
		c.mu.Unlock()
		return nil, errNotAlive
	}
	c.State.ManuallyStopped = c.State.ManuallyStopped || o.manual
	c.State.StopAsked = c.State.StopAsked || o.last
	running, paused := c.State.running(), c.State.Paused
	var ended <-chan container.WaitResponse
	if running {
		ended = c.wait(container.WaitConditionNextExit)
	} else if o.last {
		c.stopBackoff()
		_ = c.State.giveUp() // it is restarting: alive and not running
	}
	c.mu.Unlock()
	if err := m.save(c, c.durable() && !running); err != nil {
		return ended, err
	}
	if !running {
		if o.last {
			c.notifyEnd()
		}
		return nil, nil
	}
	return ended, m.signal(ctx, c, o, paused)
}

// signal sends a signal to the first process, and tells. A process that has just ended has heard it. c.op is held, so that
// the end is told after the signal.
func (m *Manager) signal(ctx context.Context, c *Container, o order, paused bool) error {
	err := m.Keeper.Signal(ctx, c.ID, o.signal)
	if err != nil && !keeperapi.IsNotFound(err) {
		return fmt.Errorf("signal container %s: %w", c.ID[:12], err)
	}
	m.emit(c, events.ActionKill, "signal", strconv.Itoa(o.signal))
	switch {
	case !o.last || !paused || err != nil:
	case o.signal == int(unix.SIGKILL): // v2 kills the frozen, v1 does not; either way nothing goes on
		err = m.Runtime.Thaw(m.cgroup(c.ID))
	default:
		err = m.unpause(c)
	}
	if keeperapi.IsNotFound(err) {
		return nil
	}
	return err
}

// kill ends a container and returns when it has ended.
func (m *Manager) kill(ctx context.Context, c *Container) error {
	ended, err := m.tell(ctx, c, order{signal: int(unix.SIGKILL), last: true, manual: m.life.Err() == nil})
	if err != nil {
		return err
	}
	if err := wait(ctx, ended, killTimeout); errors.Is(err, errTimeout) {
		return errors.New("tried to kill container, but did not receive an exit event")
	} else if err != nil {
		return err
	}
	return nil
}

// Kill sends a signal ("" is KILL). With KILL it returns when the container has ended.
func (m *Manager) Kill(ctx context.Context, ref, name string) error {
	if err := m.killBy(context.WithoutCancel(ctx), ref, name); err != nil {
		return fmt.Errorf("cannot kill container: %s: %w", ref, err)
	}
	return nil
}

func (m *Manager) killBy(ctx context.Context, ref, name string) error {
	signal := int(unix.SIGKILL)
	if name != "" {
		var err error
		if signal, err = parseSignal(name); err != nil {
			return err
		}
	}
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	if signal == int(unix.SIGKILL) {
		err = m.kill(ctx, c)
	} else {
		// As in Docker: any signal of a user's ends the restarts, but where a stop signal is set and this is another one.
		last := true
		if own := c.Config.StopSignal; own != "" {
			stop, err := parseSignal(own)
			last = err == nil && stop == signal
		}
		_, err = m.tell(ctx, c, order{signal: signal, last: last, manual: true})
	}
	if errors.Is(err, errNotAlive) {
		return errNotRunning(c.ID)
	}
	return err
}

// Restart stops a container if it runs, and starts it.
func (m *Manager) Restart(ctx context.Context, ref string, o StopOptions) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	if err := m.restart(context.WithoutCancel(ctx), c, o); err != nil {
		return say("Cannot restart container "+ref, err)
	}
	m.emit(c, events.ActionRestart)
	return nil
}

func (m *Manager) restart(ctx context.Context, c *Container, o StopOptions) error {
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
