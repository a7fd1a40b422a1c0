package volume

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"golang.org/x/sys/unix"

	"naru/guest/modules"
)

// acquire mounts the file system of a volume that has one of its own, unless it is mounted, and notes for whom: a
// container that starts or runs, or the filling of the volume. The mount lives in the keeper's mount namespace, so that it
// outlives an engine that is killed.
func (m *Manager) acquire(v *vol, user string) error {
	if !v.needsMount() {
		return nil
	}
	v.mounting.Lock()
	defer v.mounting.Unlock()
	data := m.data(v.name)
	mounted, err := isMountPoint(data)
	if err != nil {
		return fmt.Errorf("volume %s: %w", v.name, err)
	}
	if !mounted {
		what, err := v.mountOf()
		if err != nil {
			return err
		}
		err = what.Mount(data)
		if errors.Is(err, unix.ENODEV) && loadFileSystem(what.Type) {
			err = what.Mount(data)
		}
		if err != nil {
			return errdefs.ErrInternal.WithMessage(v.withoutSecrets(fmt.Sprintf("failed to mount local volume: mount %s:%s: %s", what.Source, data, err)))
		}
	}
	if v.active == nil {
		v.active = map[string]bool{}
	}
	v.active[user] = true
	return nil
}

// relinquish unmounts the volume's file system when it was the last user's. After a restart the engine does not know
// who acquired it before: containers that run count too.
func (m *Manager) relinquish(v *vol, user string) error {
	if !v.needsMount() {
		return nil
	}
	v.mounting.Lock()
	defer v.mounting.Unlock()
	delete(v.active, user)
	if len(v.active) > 0 {
		return nil
	}
	m.mu.Lock()
	users := m.users(v.name)
	m.mu.Unlock()
	if slices.ContainsFunc(users, func(id string) bool { return id != user && m.running(id) }) {
		return nil
	}
	return m.unmountData(v)
}

// loadFileSystem loads what a network file system needs, in the VM: the kernel of a host finds its modules itself.
func loadFileSystem(fstype string) bool {
	folder := map[string]string{"nfs": "nfs", "nfs4": "nfs"}[fstype]
	return folder != "" && modules.Load(filepath.Join(modules.Dir, folder)) == nil
}

func (m *Manager) running(id string) bool { return m.opts.Running != nil && m.opts.Running(id) }

// unmountData unmounts whatever lies on the volume's folder. Nothing may delete below it before.
func (m *Manager) unmountData(v *vol) error {
	data := m.data(v.name)
	for {
		mounted, err := isMountPoint(data)
		if err != nil || !mounted {
			return err
		}
		if err := unix.Unmount(data, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount volume %s: %w", v.name, err)
		}
	}
}

// isMountPoint tells whether a file system is mounted at path itself; a missing path is none.
func isMountPoint(path string) (bool, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &st)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("statx %s: %w", path, err)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil // since Linux 5.8
}

// releaseMounts ends what a container has mounted.
func (m *Manager) releaseMounts(containerID string, points []container.MountPoint) {
	m.unstage(containerID)
	for _, name := range volumeNames(points) {
		m.mu.Lock()
		v := m.vols[name]
		m.mu.Unlock()
		if v == nil {
			continue
		}
		if err := m.relinquish(v, containerID); err != nil {
			m.opts.Log.Warn("volume: unmount", "volume", name, "error", err)
		}
	}
}

// volumeNames are the names of the volumes among points, each once.
func volumeNames(points []container.MountPoint) []string {
	names := map[string]bool{}
	for _, p := range points {
		if p.Type == mount.TypeVolume && p.Name != "" {
			names[p.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
