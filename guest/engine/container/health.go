package container

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// Docker's defaults of a health check.
const (
	defaultInterval      = 30 * time.Second // from the end of one probe to the start of the next
	defaultProbeTimeout  = 30 * time.Second
	defaultStartInterval = 5 * time.Second
	defaultRetries       = 3
)

// maxHealthLog is how many results are kept.
const maxHealthLog = 5

// healthCheck is a container's health check with the defaults filled in.
type healthCheck struct {
	cmd                                           []string // may be empty: each probe fails then, as in Docker
	interval, timeout, startPeriod, startInterval time.Duration
	retries                                       int
}

// checkOf returns the health check that cfg asks for, nil for none.
func checkOf(cfg *container.Config) *healthCheck {
	hc := cfg.Healthcheck
	if hc == nil || len(hc.Test) == 0 {
		return nil
	}
	h := &healthCheck{
		cmd: hc.Test[1:], interval: hc.Interval, timeout: hc.Timeout,
		startPeriod: hc.StartPeriod, startInterval: hc.StartInterval, retries: hc.Retries,
	}
	switch hc.Test[0] {
	case "CMD":
	case "CMD-SHELL":
		shell := cfg.Shell
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		h.cmd = slices.Concat(shell, h.cmd)
	default: // NONE, and what Docker does not know either
		return nil
	}
	for d, otherwise := range map[*time.Duration]time.Duration{
		&h.interval: defaultInterval, &h.timeout: defaultProbeTimeout, &h.startInterval: defaultStartInterval,
	} {
		if *d == 0 {
			*d = otherwise
		}
	}
	if h.retries <= 0 {
		h.retries = defaultRetries
	}
	return h
}

// checkHealth refuses what Docker does at create.
func checkHealth(hc *container.HealthConfig) error {
	if hc == nil {
		return nil
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Interval", hc.Interval}, {"Timeout", hc.Timeout}, {"StartPeriod", hc.StartPeriod}, {"StartInterval", hc.StartInterval}} {
		if d.value != 0 && d.value < container.MinimumDuration {
			return invalid("%s in Healthcheck cannot be less than %s", d.name, container.MinimumDuration)
		}
	}
	if hc.Retries < 0 {
		return invalid("Retries in Healthcheck cannot be negative")
	}
	return nil
}

// wait is the time to the next probe of a run that began at started and has the given status.
func (h *healthCheck) wait(started, now time.Time, status container.HealthStatus) time.Duration {
	if now.Sub(started) < h.startPeriod && status == container.Starting {
		return h.startInterval
	}
	return h.interval
}

// after is the health that follows on old when a probe has given r. old is left as it is.
func (h *healthCheck) after(old *container.Health, r *container.HealthcheckResult, started time.Time) *container.Health {
	next := &container.Health{Status: old.Status, FailingStreak: old.FailingStreak}
	next.Log = append(next.Log, old.Log[max(0, len(old.Log)+1-maxHealthLog):]...)
	next.Log = append(next.Log, r)
	switch {
	case r.ExitCode == 0:
		next.Status, next.FailingStreak = container.Healthy, 0
	case old.Status == container.Starting && r.Start.Sub(started) < h.startPeriod: // does not count yet
	default:
		next.FailingStreak++
		if next.FailingStreak >= h.retries {
			next.Status = container.Unhealthy
		}
	}
	return next
}

// resetHealth is for a run that begins: what is known is the log of the former one. c.mu is held.
func (c *Container) resetHealth() {
	if checkOf(c.Config) == nil {
		return
	}
	next := &container.Health{Status: container.Starting}
	if c.Health != nil {
		next.Log = c.Health.Log
	}
	c.Health = next
}

// watchHealth begins to probe a container that runs, if it has a health check and is not probed already. The first
// probe comes after one interval, or at any time within it for a container that an earlier engine has probed: then many
// containers are not probed all at once. c.mu is held.
func (m *Manager) watchHealth(c *Container, taken bool) {
	h := checkOf(c.Config)
	if h == nil || c.stopProbes != nil || c.State.shown() != container.StateRunning || m.life.Err() != nil {
		return
	}
	if c.Health == nil { // an engine without health checks has started it
		c.resetHealth()
	}
	wait := h.wait(c.State.Started, time.Now(), c.Health.Status)
	if taken {
		wait = rand.N(max(wait, 1))
	}
	ctx, stop := context.WithCancel(m.life)
	c.stopProbes = stop
	m.background.run(func() {
		defer stop()
		m.monitor(ctx, c, h, wait)
	})
}

// stopHealth ends the probing, because the container ends or is paused. As in Docker it counts as unhealthy then.
// c.mu is held.
func (c *Container) stopHealth() {
	if c.stopProbes != nil {
		c.stopProbes()
		c.stopProbes = nil
	}
	if c.Health != nil {
		next := *c.Health
		next.Status = container.Unhealthy
		c.Health = &next
	}
}

// monitor probes a container again and again until ctx ends. There is one for each container that is probed, and a
// probe never begins before the former one has ended.
func (m *Manager) monitor(ctx context.Context, c *Container, h *healthCheck, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var last *Exec
	defer func() {
		if last != nil && last.over() {
			m.dropExec(last)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		x, result := m.probe(ctx, c, h)
		m.dropExec(last) // the newest one can be inspected
		last, wait = x, h.interval
		if result != nil {
			wait = m.takeResult(ctx, c, h, result)
		}
		if x != nil {
			m.awaitProbe(ctx, x)
		}
		timer.Reset(wait)
	}
}

// awaitProbe waits for the end of a probe that was killed: dying ones must not pile up.
func (m *Manager) awaitProbe(ctx context.Context, x *Exec) {
	late := time.NewTimer(killTimeout)
	defer late.Stop()
	select {
	case <-x.done:
	case <-late.C:
	case <-ctx.Done():
	}
}

// takeResult notes a probe's result, and returns the time to the next one. A change that decides about the status is in
// the journal before anybody is told: the next engine goes on from there. Other results are only kept in memory, since
// writing each would cost more than they are worth.
func (m *Manager) takeResult(ctx context.Context, c *Container, h *healthCheck, r *container.HealthcheckResult) time.Duration {
	c.op.Lock() // save must not overtake that of an end
	defer c.op.Unlock()
	c.mu.Lock()
	if ctx.Err() != nil {
		c.mu.Unlock()
		return h.interval
	}
	old, started := c.Health, c.State.Started
	next := h.after(old, r, started)
	c.Health = next
	c.mu.Unlock()
	if old.Status != next.Status || min(old.FailingStreak, h.retries) != min(next.FailingStreak, h.retries) {
		if err := m.save(c, false); err != nil {
			m.Log.Error("record health", "id", c.ID, "error", err)
		}
	}
	if old.Status != next.Status {
		m.emit(c, events.Action(string(events.ActionHealthStatus)+": "+string(next.Status)))
	}
	return h.wait(started, time.Now(), next.Status)
}
