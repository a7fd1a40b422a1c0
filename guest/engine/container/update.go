package container

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"naru/guest/runtime"
)

// limits are what update can change of a HostConfig.
type limits struct {
	Resources     container.Resources
	RestartPolicy container.RestartPolicy
	// Pending is what was about to be written into the running container; an engine that is killed meanwhile is followed
	// by one that writes it.
	Pending *container.Resources `json:",omitempty"`
}

// hostConfig is what the container was created with, with what update has changed since.
func (r *record) hostConfig() *container.HostConfig {
	if r.Updated == nil {
		return r.HostConfig
	}
	hc := *r.HostConfig
	hc.Resources, hc.RestartPolicy = r.Updated.Resources, r.Updated.RestartPolicy
	return &hc
}

// policy is the restart policy as it is now.
func (r *record) policy() container.RestartPolicy {
	if r.Updated != nil {
		return r.Updated.RestartPolicy
	}
	return r.HostConfig.RestartPolicy
}

// Update changes limits and the restart policy of a container; zero values leave things as they are. A running container
// has the new limits at once, another one at its next start. Nothing is changed when it fails.
func (m *Manager) Update(ctx context.Context, ref string, change container.UpdateConfig) (warnings []string, err error) {
	if p := change.PidsLimit; p != nil && *p < 0 {
		change.PidsLimit = new(int64) // none
	}
	if warnings, err = checkUpdate(&change); err != nil {
		return warnings, err
	}
	c, err := m.find(ref)
	if err != nil {
		return warnings, err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if err := m.update(context.WithoutCancel(ctx), c, &change); err != nil {
		return warnings, say("Cannot update container "+c.ID, err)
	}
	m.emit(c, events.ActionUpdate)
	return warnings, nil
}

func checkUpdate(change *container.UpdateConfig) ([]string, error) {
	if err := container.ValidateRestartPolicy(change.RestartPolicy); err != nil {
		return nil, invalid("%s", err)
	}
	return runtime.CheckResources(&change.Resources, runtime.Host(), true)
}

// update does the work of Update. c.op is held.
func (m *Manager) update(ctx context.Context, c *Container, change *container.UpdateConfig) error {
	c.mu.Lock()
	old, running := c.Updated, c.State.running()
	next, err := c.merged(change)
	if err == nil {
		if running {
			next.Pending = &change.Resources
		}
		c.Updated = next
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := m.save(c, c.durable()); err != nil {
		m.setLimits(c, old)
		return err
	}
	if !running {
		return nil
	}
	if err := m.applyLimits(ctx, c, &next.Resources, next.Pending); err != nil {
		m.takeBack(ctx, c, old, next.Pending)
		return err
	}
	done := *next
	done.Pending = nil
	m.setLimits(c, &done)
	if err := m.save(c, false); err != nil {
		m.Log.Warn("record update", "id", c.ID, "error", err) // it would be written once more
	}
	return nil
}

func (m *Manager) setLimits(c *Container, l *limits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Updated = l
}

// takeBack makes the limits what they were: some may have been written before one was refused.
func (m *Manager) takeBack(ctx context.Context, c *Container, old *limits, change *container.Resources) {
	m.setLimits(c, old)
	r := c.snapshot()
	before := unlimited(r.hostConfig().Resources, change)
	if err := m.applyLimits(ctx, c, before, before); err != nil {
		m.Log.Warn("take back limits", "id", c.ID, "error", err)
	}
	if err := m.save(c, c.durable()); err != nil {
		m.Log.Error("record limits taken back", "id", c.ID, "error", err)
	}
}

// applyLimits writes limits into a running container.
func (m *Manager) applyLimits(ctx context.Context, c *Container, now, change *container.Resources) error {
	want, err := runtime.Update(now, change)
	if err != nil || want == nil { // none: the restart policy alone
		return err
	}
	data, err := json.Marshal(want)
	if err != nil {
		return fmt.Errorf("encode limits: %w", err)
	}
	file := filepath.Join(m.bundlePath(c.ID), "limits.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return fmt.Errorf("write limits: %w", err)
	}
	defer os.Remove(file)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	args := m.Runtime.UpdateArgs(c.ID, file)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", []string{}
	if out, err := cmd.CombinedOutput(); err != nil {
		if said := lastLine(string(out)); said != "" {
			return errdefs.ErrInternal.WithMessage(said)
		}
		return fmt.Errorf("run %s update: %w", args[0], err)
	}
	return nil
}

// restoreLimits goes on with an update that an earlier engine was killed in.
func (m *Manager) restoreLimits(ctx context.Context, c *Container) {
	r := c.snapshot()
	if r.Updated == nil || r.Updated.Pending == nil {
		return
	}
	if err := m.applyLimits(ctx, c, &r.Updated.Resources, r.Updated.Pending); err != nil {
		m.Log.Warn("go on with update", "id", c.ID, "error", err)
	}
	done := *r.Updated
	done.Pending = nil
	m.setLimits(c, &done)
}

// merged is what the container has after a change, or why it cannot have that. c.mu is held.
func (c *Container) merged(change *container.UpdateConfig) (*limits, error) {
	if c.gone || c.State.Status == container.StateRemoving || c.State.Status == container.StateDead {
		return nil, errdefs.ErrInternal.WithMessage(`container is marked for removal and cannot be "update"`)
	}
	now := c.hostConfig()
	next := &limits{Resources: now.Resources, RestartPolicy: now.RestartPolicy}
	if err := conflicts(&now.Resources, &change.Resources); err != nil {
		return nil, err
	}
	if change.RestartPolicy.Name != "" {
		if now.AutoRemove && !change.RestartPolicy.IsNone() {
			return nil, errConflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
		}
		next.RestartPolicy = change.RestartPolicy
	}
	mergeResources(&next.Resources, &change.Resources)
	return next, nil
}
