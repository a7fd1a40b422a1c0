package volume

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"

	"naru/guest/runtime"
)

// Resolve makes the volumes of a container that are missing, marks them as used by it, and returns its mounts,
// parents before their children. The first call for a container, at its creation, also fills empty volumes from the
// image: rootfs returns the mounted root file system and is called only then. Further calls, one at each start, give
// the same anonymous volumes. After an error of the first call, Release undoes what it did.
func (m *Manager) Resolve(ctx context.Context, containerID string, cfg *container.Config, hc *container.HostConfig,
	rootfs func() (string, error)) ([]runtime.Mount, []container.MountPoint, error) {
	m.mu.Lock()
	before := m.uses[containerID]
	m.mu.Unlock()
	points, err := m.plan(cfg, hc, before)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range points {
		switch p.Type {
		case mount.TypeBind:
			err = m.prepareSource(p)
		case mount.TypeImage:
			err = m.findImage(ctx, p, before)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if err := m.claim(containerID, points, before); err != nil {
		return nil, nil, err
	}
	if before == nil {
		if err := m.fillAll(ctx, containerID, points, rootfs); err != nil {
			return nil, nil, err
		}
	}
	mounts, shown := make([]runtime.Mount, 0, len(points)), make([]container.MountPoint, 0, len(points))
	for i, p := range points {
		source, err := m.sourceOf(ctx, containerID, i, p, before != nil)
		if err != nil {
			return nil, nil, err
		}
		mnt, err := p.mount(source)
		if err != nil {
			return nil, nil, err
		}
		mounts = append(mounts, mnt)
		if !p.hidden {
			shown = append(shown, p.MountPoint)
		}
		if before != nil && p.Type == mount.TypeVolume {
			m.emit(events.ActionMount, p.Name, map[string]string{
				"container": containerID, "destination": p.Destination,
				"read/write": strconv.FormatBool(p.RW), "propagation": string(p.Propagation),
			})
		}
	}
	return mounts, shown, nil
}

// sourceOf is what is mounted for a point: of the sockets that have names of their own the real one. needed says that it
// is about to be mounted; at a container's creation nothing is prepared.
func (m *Manager) sourceOf(ctx context.Context, who string, number int, p *point, needed bool) (string, error) {
	if p.Type == mount.TypeBind && m.isSocket(p.Source) {
		return m.opts.Socket, nil
	}
	if host, err := m.hostSocketOf(p, needed); err != nil || host != "" {
		return host, err
	}
	if !needed {
		return p.Source, nil
	}
	return m.prepare(ctx, who, number, p)
}

// hostSocketOf is hostSocket of a bind in a container that starts.
func (m *Manager) hostSocketOf(p *point, starts bool) (string, error) {
	if !starts || p.Type != mount.TypeBind {
		return "", nil
	}
	return m.hostSocket(p.Source)
}

// findImage fixes at the container's creation which image a mount is of: its name may mean another one later.
func (m *Manager) findImage(ctx context.Context, p *point, before *use) (err error) {
	if before != nil {
		for _, old := range before.Points {
			if old.Type == mount.TypeImage && old.Destination == p.Destination {
				p.Source = old.Source
			}
		}
	}
	if p.Source != "" {
		return nil
	}
	if m.opts.ResolveImage == nil {
		return errdefs.ErrNotImplemented.WithMessage("this engine cannot mount images")
	}
	p.Source, err = m.opts.ResolveImage(ctx, p.Name)
	return err
}

// ImageUsers are the containers that mount an image.
func (m *Manager) ImageUsers(imageID string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for id, u := range m.uses {
		if slices.ContainsFunc(u.Points, func(p container.MountPoint) bool { return p.Type == mount.TypeImage && p.Source == imageID }) {
			out = append(out, id)
		}
	}
	return out
}

// claim gives the nameless volumes of points their names, records the use, and then makes what is missing: an engine that
// dies in between leaves no volume that nobody knows the user of.
func (m *Manager) claim(containerID string, points []*point, before *use) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := &use{Anonymous: map[string]string{}, Subpaths: map[string]string{}}
	if before != nil {
		maps.Copy(now.Anonymous, before.Anonymous)
	}
	var missing []func() error
	for _, p := range points {
		if p.Type == mount.TypeVolume {
			anonymous := p.Name == ""
			if anonymous {
				m.nameAnonymous(p, now)
			}
			p.Source = m.data(p.Name)
			missing = append(missing, func() error {
				_, err := m.ensure(p.Name, record{Labels: p.labels, Options: p.driverOptions, Anonymous: anonymous}, !anonymous)
				return err
			})
		}
		if p.subpath != "" {
			now.Subpaths[p.Destination] = p.subpath
		}
		if !p.hidden {
			now.Points = append(now.Points, p.MountPoint)
		}
	}
	m.uses[containerID] = now // from here on Release finds what was made
	if len(now.Points) > 0 {
		if err := m.opts.Store.Put(kindUse, containerID, now, false); err != nil {
			return fmt.Errorf("store mounts: %w", err)
		}
	}
	for _, ensure := range missing {
		if err := ensure(); err != nil {
			return err
		}
	}
	return nil
}

// nameAnonymous gives a volume without a name the one that it had at the last start, or a new one.
func (m *Manager) nameAnonymous(p *point, now *use) {
	if p.Name = now.Anonymous[p.Destination]; p.Name == "" {
		p.Name = newName()
		now.Anonymous[p.Destination] = p.Name
	}
}

// prepare mounts on the host's side what the container is about to be given, and returns where it is.
func (m *Manager) prepare(ctx context.Context, containerID string, number int, p *point) (source string, err error) {
	source = p.Source
	switch p.Type {
	case mount.TypeVolume:
		m.mu.Lock()
		v := m.vols[p.Name]
		m.mu.Unlock()
		if v == nil {
			return "", errNoVolume(p.Name)
		}
		if err := m.acquire(v, containerID); err != nil {
			return "", err
		}
	case mount.TypeImage:
		if source, err = m.stageImage(ctx, containerID, number, p); err != nil {
			return "", err
		}
	}
	if err := checkPropagation(p); err != nil {
		return "", err
	}
	if p.subpath == "" {
		return source, nil
	}
	const behind = 1 << 16 // an image with a subpath is staged twice
	return m.stageSubpath(containerID, behind+number, source, p.subpath)
}

// mount is the point as the runtime wants it, with the files at source.
func (p *point) mount(source string) (runtime.Mount, error) {
	out := runtime.Mount{
		Type: "bind", Source: source, Target: p.Destination, ReadOnly: !p.RW, Propagation: string(p.Propagation), Flat: p.flat,
	}
	switch {
	case p.Type == mount.TypeTmpfs:
		out.Type, out.Options = "tmpfs", p.options
	case out.ReadOnly && !p.flatReadOnly:
		// As Docker does: read-only also holds for what is mounted below the source, where the kernel can do it.
		if !recursiveReadOnly() {
			if p.forceReadOnly {
				return out, invalid("recursive read-only mounts need Linux 5.12")
			}
			break
		}
		out.Options = []string{"rro"}
	}
	return out, nil
}

// fillAll copies the image's content into the empty volumes among points.
func (m *Manager) fillAll(ctx context.Context, containerID string, points []*point, rootfs func() (string, error)) error {
	for _, p := range points {
		if p.Type != mount.TypeVolume || p.noCopy {
			continue
		}
		m.mu.Lock()
		v := m.vols[p.Name]
		m.mu.Unlock()
		if v == nil {
			return errNoVolume(p.Name)
		}
		if err := m.acquire(v, containerID); err != nil {
			return err
		}
		err := m.fillOne(ctx, v, p.Destination, rootfs)
		if err := errors.Join(err, m.relinquish(v, containerID)); err != nil {
			return fmt.Errorf("copy image content to volume %s: %w", p.Name, err)
		}
	}
	return nil
}

// Unmounted says that the container has ended: what was mounted for it goes, and the `unmount` events tell of it.
func (m *Manager) Unmounted(containerID string) {
	m.mu.Lock()
	u := m.uses[containerID]
	m.mu.Unlock()
	if u == nil {
		return
	}
	m.releaseMounts(containerID, u.Points)
	for _, p := range u.Points {
		if p.Type == mount.TypeVolume {
			m.emit(events.ActionUnmount, p.Name, map[string]string{"container": containerID})
		}
	}
}

// Release ends the container's use of its volumes, and with removeAnonymous deletes those that were made for it.
// Idempotent. The record of the use goes last, so that an engine that dies or fails in between can go on.
func (m *Manager) Release(ctx context.Context, containerID string, removeAnonymous bool) error {
	m.mu.Lock()
	u := m.uses[containerID]
	m.mu.Unlock()
	if u == nil {
		return nil
	}
	var errs []error
	if removeAnonymous {
		for _, name := range slices.Sorted(maps.Values(u.Anonymous)) {
			errs = append(errs, m.removeUnused(name, containerID))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.opts.Store.Delete(kindUse, containerID, false); err != nil {
		return fmt.Errorf("forget mounts: %w", err)
	}
	delete(m.uses, containerID)
	return nil
}

// removeUnused deletes a volume unless some container but that one has it, by --volumes-from.
func (m *Manager) removeUnused(name, but string) error {
	m.mu.Lock()
	v := m.vols[name]
	if v == nil || slices.ContainsFunc(m.users(name), func(id string) bool { return id != but }) {
		m.mu.Unlock()
		return nil
	}
	trash, err := m.retire(v)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.discard(name, trash)
}
