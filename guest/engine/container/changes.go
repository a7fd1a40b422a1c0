package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"naru/guest/engine/archive"
)

// Changes lists what is different in a container's own files from its image; nil when nothing is. Volumes are not part of it.
func (m *Manager) Changes(ctx context.Context, ref string) ([]container.FilesystemChange, error) {
	c, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	o, err := m.overlayOf(ctx, c)
	if err != nil {
		return nil, err
	}
	defer closeOverlay(o)
	changes, err := o.Changes(ctx)
	if err != nil {
		return nil, fmt.Errorf("changes of container %s: %w", c.ID[:12], err)
	}
	var out []container.FilesystemChange
	for _, change := range changes {
		out = append(out, container.FilesystemChange{Kind: container.ChangeType(change.Kind), Path: change.Path})
	}
	return out, nil
}

// Export is a container's root file system that is about to be written as an archive.
type Export struct {
	m       *Manager
	c       *Container
	root    *archive.Root
	release func()
}

// OpenExport opens a container's root file system without what is mounted in it. The caller closes it.
func (m *Manager) OpenExport(ctx context.Context, ref string) (*Export, error) {
	c, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	if err := c.refuseDead("export"); err != nil {
		return nil, err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if err := m.canLookAt(c); err != nil {
		return nil, err
	}
	user, err := m.namespaceToLook(c)
	if err != nil {
		return nil, err
	}
	if user != nil {
		defer user.Close()
	}
	path, release, err := m.holdRootfs(ctx, c, user)
	if err != nil {
		return nil, fmt.Errorf("Error exporting container %s: %w", ref, err) //nolint:revive // Docker's words
	}
	fd, err := cloneMount(path)
	if err != nil {
		release()
		return nil, fmt.Errorf("Error exporting container %s: %w", ref, err) //nolint:revive // Docker's words
	}
	return &Export{m, c, archive.NewRoot(fd), release}, nil
}

// refuseDead is for a container of which there may be nothing left to do verb with.
func (c *Container) refuseDead(verb string) error {
	switch status := c.snapshot().State.Status; status {
	case container.StateDead:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("You cannot %s container %s which is Dead", verb, c.ID))
	case container.StateRemoving:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("You cannot %s container %s which is being removed", verb, c.ID))
	}
	return nil
}

// Close ends the look at the container's files.
func (e *Export) Close() {
	e.root.Close()
	e.release()
}

// WriteArchive writes the tar.
func (e *Export) WriteArchive(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriterSize(w, outBuffer)
	p := archive.NewPacker(ctx, out, e.m.fileIDs(e.c))
	dir, err := e.root.Dup()
	if err != nil {
		return err
	}
	defer closeFD(dir)
	if err := p.Contents(dir, ""); err != nil {
		return err
	}
	if err := errors.Join(p.Close(), out.Flush()); err != nil {
		return err
	}
	e.m.emit(e.c, events.ActionExport)
	return nil
}
