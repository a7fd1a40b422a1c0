package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
)

// DeleteOptions say how to delete.
type DeleteOptions struct {
	Force   bool // kill it first if it runs
	Volumes bool // and its anonymous volumes
	Link    bool // only the link of that name
}

// Delete removes a container. Its name is free at once; its files go in the background.
func (m *Manager) Delete(ctx context.Context, ref string, o DeleteOptions) error {
	if o.Link {
		return m.removeLink(ref)
	}
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	c.mu.Lock()
	removing := c.State.Status == container.StateRemoving
	c.mu.Unlock()
	if removing {
		return errConflict("removal of container %s is already in progress", ref)
	}
	if o.Force {
		if err := m.kill(ctx, c); err != nil && !errors.Is(err, errNotAlive) {
			return fmt.Errorf("cannot remove container %q: could not kill container: %w", ref, err)
		}
	}
	c.op.Lock()
	defer c.op.Unlock()
	err = m.removeStopped(ctx, c, o.Volumes)
	switch {
	case errdefs.IsNotFound(err) && o.Force:
		return nil // its end has already removed it, as --rm asks for
	case err == nil, errdefs.IsNotFound(err):
		return err
	case errors.Is(err, errRemoving):
		return errConflict("removal of container %s is already in progress", ref)
	}
	return fmt.Errorf("cannot remove container %q: %w", ref, err)
}

// removeStopped removes a container that does not run. c.op is held.
func (m *Manager) removeStopped(ctx context.Context, c *Container, volumes bool) error {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return errdefs.ErrNotFound.WithMessage("No such container: " + c.ID)
	}
	name := c.Name
	if err := c.State.remove(volumes); err != nil {
		c.mu.Unlock()
		return err
	}
	c.stopBackoff()
	c.mu.Unlock()
	if err := m.dropRecord(ctx, c, volumes); err != nil {
		c.mu.Lock()
		c.State.failRemove(err)
		c.mu.Unlock()
		c.notifyRemoved()
		return err
	}
	m.dropFromMaps(c, name)
	m.discard(c.dir, c.ID)
	m.Images.Released(c.ImageID)
	for _, p := range c.snapshot().Mounts {
		if p.Type == mount.TypeImage {
			m.Images.Released(p.Source)
		}
	}
	m.emit(c, events.ActionDestroy)
	c.notifyRemoved()
	return nil
}

// dropRecord takes the container out of the journal, its use of volumes first. The wish is recorded before: an
// engine that dies in between is followed by one that goes on.
func (m *Manager) dropRecord(ctx context.Context, c *Container, volumes bool) error {
	if err := m.save(c, false); err != nil {
		return err
	}
	if err := m.Volumes.Release(ctx, c.ID, volumes); err != nil {
		return err // with its record gone, an engine that starts would take the volumes for nobody's
	}
	return m.Store.Delete(kind, c.ID, c.durable())
}

func (m *Manager) dropFromMaps(c *Container, name string) {
	c.mu.Lock()
	c.gone = true
	streams := c.pending
	c.pending = nil
	execs := c.execs
	c.execs = nil
	c.mu.Unlock()
	m.mu.Lock()
	delete(m.byID, c.ID)
	delete(m.names, name)
	for id := range execs {
		delete(m.execs, id)
	}
	m.mu.Unlock()
	for _, a := range streams {
		a.abandon()
	}
}

// discard moves a container's folder out of sight and removes it in the background. What a crash leaves in the
// trash goes at the next start.
func (m *Manager) discard(dir, id string) {
	trash := filepath.Join(m.Root, "trash")
	target := filepath.Join(trash, id)
	err := os.Rename(dir, target)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(trash, 0o700); err == nil {
			err = os.Rename(dir, target)
		}
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		m.Log.Warn("move container's folder to the trash", "id", id, "error", err)
		target = dir
	}
	m.background.run(func() {
		m.unmountRootfs(id) // an upper folder in use would keep its blocks
		if err := os.RemoveAll(target); err != nil {
			m.Log.Warn("remove container's files", "id", id, "error", err)
		}
	})
}

// Rename gives a container another name.
func (m *Manager) Rename(ref, newName string) error {
	newName = strings.TrimSpace(newName)
	if strings.Trim(ref, "/ ") == "" || strings.TrimPrefix(newName, "/") == "" {
		return invalid("Neither old nor new names may be empty")
	}
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	old := c.snapshot()
	if "/"+old.Name == "/"+strings.TrimPrefix(newName, "/") {
		return invalid("Renaming a container with the same name as its current name")
	}
	if old.State.Status == container.StateRemoving || c.isGone() {
		return errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	name, err := checkName("/" + strings.TrimPrefix(newName, "/"))
	if err == nil {
		err = m.reserve(name, c.ID)
	}
	if err != nil {
		return say("Error when allocating new name", err)
	}
	c.setName(name)
	if err := m.save(c, c.durable()); err != nil {
		c.setName(old.Name)
		m.release(name)
		return err
	}
	m.release(old.Name)
	if err := m.Networks.Rename(c.ID, name); err != nil {
		m.Log.Warn("name of a container on its networks", "id", c.ID, "error", err)
	}
	m.emit(c, events.ActionRename, "oldName", "/"+old.Name)
	return nil
}

func (c *Container) isGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

func (c *Container) setName(name string) {
	c.mu.Lock()
	c.Name = name
	c.mu.Unlock()
}
