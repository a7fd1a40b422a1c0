package volume

import (
	"context"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"naru/guest/runtime"
)

// Look prepares the mounts of a container for somebody who mounts them somewhere else, to look at its files: what has to be
// mounted on the host's side first is, until release is called. Parents come before their children. It makes no volumes.
func (m *Manager) Look(ctx context.Context, containerID string, cfg *container.Config, hc *container.HostConfig) (
	mounts []runtime.Mount, release func(), err error) {
	m.mu.Lock()
	before := m.uses[containerID]
	m.mu.Unlock()
	if before == nil {
		return nil, func() {}, nil
	}
	points, err := m.plan(cfg, hc, before)
	if err != nil {
		return nil, nil, err
	}
	who := "look-" + newName() // not the container: its own mounts, when it runs, are not ended by release
	release = func() { m.releaseMounts(who, before.Points) }
	for i, p := range points {
		mnt, err := m.lookAt(ctx, who, i, p, before)
		if err != nil {
			release()
			return nil, nil, err
		}
		mounts = append(mounts, mnt)
	}
	return mounts, release, nil
}

func (m *Manager) lookAt(ctx context.Context, who string, number int, p *point, before *use) (mnt runtime.Mount, err error) {
	switch p.Type {
	case mount.TypeBind:
		err = m.prepareSource(p)
	case mount.TypeImage:
		err = m.findImage(ctx, p, before)
	case mount.TypeVolume:
		if p.Name == "" {
			p.Name = before.Anonymous[p.Destination]
		}
		p.Source = m.data(p.Name)
	}
	if err != nil {
		return mnt, err
	}
	source, err := m.sourceOf(ctx, who, number, p, true)
	if err != nil {
		return mnt, err
	}
	if mnt, err = p.mount(source); err != nil {
		return mnt, err
	}
	if p.Type == mount.TypeTmpfs {
		mnt.Options = slices.Clone(p.options)
	}
	return mnt, nil
}
