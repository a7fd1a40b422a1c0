package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"naru/guest/engine/archive"
)

// given are the paths that Docker has in a layer of its own between the image and the container, and that the runtime makes
// here: where something is mounted in every container.
var given = map[string]bool{
	"/dev": true, "/dev/pts": true, "/dev/shm": true, "/dev/mqueue": true, "/dev/console": false, "/proc": true, "/sys": true, "/sys/fs": true,
	"/sys/fs/cgroup": true, "/etc": true, "/etc/hosts": false, "/etc/hostname": false, "/etc/resolv.conf": false, "/.dockerenv": false,
}

// overlayOf opens a container's writable folder beside its image's layers. The caller closes both.
func (m *Manager) overlayOf(ctx context.Context, c *Container) (*archive.Overlay, error) {
	upper, err := unix.Open(filepath.Join(c.dir, "upper"), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open writable layer of container %s: %w", c.ID[:12], err)
	}
	lower, err := m.openLayers(ctx, c.ImageID)
	if err != nil {
		unix.Close(upper)
		return nil, fmt.Errorf("open image of container %s: %w", c.ID[:12], err)
	}
	return &archive.Overlay{Upper: archive.NewRoot(upper), Lower: archive.NewRoot(lower), Given: given}, nil
}

func closeOverlay(o *archive.Overlay) {
	o.Upper.Close()
	o.Lower.Close()
}

// openLayers opens an image's layers as one tree. The mount is nowhere in the file system: it goes with the descriptor.
func (m *Manager) openLayers(ctx context.Context, imageID string) (int, error) {
	layers, err := m.Images.Layers(ctx, imageID)
	if err != nil {
		return -1, err
	}
	if len(layers) == 1 { // an overlay without an upper folder wants two
		return unix.Open(layers[0], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	m.mounter.once.Do(func() { m.mounter.useOpen = probeLowerdirPlus(layers[0]) })
	if !m.mounter.useOpen {
		return m.openLayersAt(layers)
	}
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen overlay: %w", err)
	}
	defer unix.Close(fd)
	for _, l := range layers {
		if err := unix.FsconfigSetString(fd, "lowerdir+", l); err != nil {
			return -1, fmt.Errorf("overlay lowerdir+=%s: %w", l, err)
		}
	}
	if err := unix.FsconfigCreate(fd); err != nil {
		return -1, fmt.Errorf("overlay: %w%s", err, kernelSays(fd))
	}
	return unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NODEV)
}

// openLayersAt is for kernels before 6.8: it mounts in a folder, opens that, and unmounts again, which the descriptor outlives.
func (m *Manager) openLayersAt(layers []string) (fd int, err error) {
	target, err := os.MkdirTemp(m.Run, "layers-")
	if err != nil {
		return -1, err
	}
	defer func() { err = errors.Join(err, unmountDir(target)) }()
	what := mount.Mount{Type: "overlay", Source: "overlay", Options: []string{"ro", "nodev", "lowerdir=" + escapedLayers(layers)}}
	if err := mount.All([]mount.Mount{what}, target); err != nil {
		return -1, err
	}
	return unix.Open(target, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}
