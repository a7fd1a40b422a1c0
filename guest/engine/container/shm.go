package container

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"
)

// shmPath is the /dev/shm of a container with the mode "shareable", on the run tmpfs: those who join its IPC namespace get
// the same one.
func (m *Manager) shmPath(id string) string { return filepath.Join(m.Run, "shm", id) }

// shmFor returns the folder that is c's /dev/shm, and makes it for one that shares its own; "" leaves it to the runtime.
func (m *Manager) shmFor(c *Container) (string, error) {
	switch mode := c.HostConfig.IpcMode; {
	case mode.IsHost():
		return "/dev/shm", nil
	case mode.IsShareable():
		return m.mountShm(c)
	case mode.IsContainer():
		return m.sharedShm(mode.Container())
	}
	return "", nil
}

// sharedShm finds the /dev/shm of a container that another one wants to join: its own, or that which it has joined.
func (m *Manager) sharedShm(ref string) (string, error) {
	seen := map[string]bool{}
	for {
		other, err := m.find(ref)
		if err != nil {
			return "", err
		}
		mode := other.HostConfig.IpcMode
		switch {
		case mode.IsHost():
			return "/dev/shm", nil
		case mode.IsShareable():
			return m.shmPath(other.ID), nil
		case !mode.IsContainer() || seen[other.ID]:
			return "", errNotShareable(ref)
		}
		seen[other.ID] = true
		ref = mode.Container()
	}
}

func errNotShareable(ref string) error {
	return errdefs.ErrInvalidArgument.WithMessage("failed to join IPC namespace: container " + ref +
		": non-shareable IPC (hint: use IpcMode:" + string(container.IPCModeShareable) + " for the donor container)")
}

// mountShm makes a fresh one. What an earlier run left is replaced.
func (m *Manager) mountShm(c *Container) (string, error) {
	path := m.shmPath(c.ID)
	if err := m.unmountShm(c.ID); err != nil {
		return "", fmt.Errorf("unmount shared /dev/shm: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("make shared /dev/shm: %w", err)
	}
	uid, gid := m.rootIDs(c)
	options := fmt.Sprintf("mode=1777,size=%d,uid=%d,gid=%d", c.HostConfig.ShmSize, uid, gid)
	if err := unix.Mount("shm", path, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return "", fmt.Errorf("mount shared /dev/shm: %w", err)
	}
	return path, nil
}

// unmountShm is idempotent, and right for a container that has none. Containers that joined it keep it.
func (m *Manager) unmountShm(id string) error { return unmountDir(m.shmPath(id)) }
