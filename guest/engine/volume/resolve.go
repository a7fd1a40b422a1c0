package volume

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

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
		if p.Type == mount.TypeBind {
			if err := m.prepareSource(p); err != nil {
				return nil, nil, err
			}
		}
	}
	if err := m.claim(containerID, points, before); err != nil {
		return nil, nil, err
	}
	if before == nil {
		if err := m.fillAll(ctx, points, rootfs); err != nil {
			return nil, nil, err
		}
	}
	mounts, shown := make([]runtime.Mount, 0, len(points)), make([]container.MountPoint, 0, len(points))
	for _, p := range points {
		mnt, err := p.mount()
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

// claim gives the nameless volumes of points their names, records the use, and then makes what is missing: an engine that
// dies in between leaves no volume that nobody knows the user of.
func (m *Manager) claim(containerID string, points []*point, before *use) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := &use{Anonymous: map[string]string{}}
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
				_, err := m.ensure(p.Name, p.labels, anonymous, !anonymous)
				return err
			})
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

// mount is the point as the runtime wants it.
func (p *point) mount() (runtime.Mount, error) {
	out := runtime.Mount{
		Type: "bind", Source: p.Source, Target: p.Destination, ReadOnly: !p.RW, Propagation: string(p.Propagation),
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
func (m *Manager) fillAll(ctx context.Context, points []*point, rootfs func() (string, error)) error {
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
		if err := m.fillOne(ctx, v, p.Destination, rootfs); err != nil {
			return fmt.Errorf("copy image content to volume %s: %w", p.Name, err)
		}
	}
	return nil
}

// Unmounted tells that the container has ended: the `unmount` events.
func (m *Manager) Unmounted(containerID string) {
	m.mu.Lock()
	u := m.uses[containerID]
	m.mu.Unlock()
	if u == nil {
		return
	}
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
