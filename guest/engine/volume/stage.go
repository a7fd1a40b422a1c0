package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	ctdmount "github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// What a container gets of a volume's subpath, and of an image, is mounted first in a folder of its own on the run tmpfs:
// <Run>/mounts/<container ID>/<number>. For a subpath the name is looked up once, by descriptor; what is swapped for a
// symbolic link afterwards leads nowhere. The mounts go when the container has ended.

func (m *Manager) stageFolder(containerID string) string {
	return filepath.Join(m.opts.Run, "mounts", containerID)
}

// stageSubpath mounts the subpath of folder and returns where.
func (m *Manager) stageSubpath(containerID string, number int, folder, subpath string) (string, error) {
	base, err := openDir(unix.AT_FDCWD, folder)
	if err != nil {
		return "", err
	}
	defer base.Close()
	fd, err := openat2(int(base.Fd()), subpath, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS,
	})
	switch {
	case errors.Is(err, unix.EXDEV):
		return "", invalid("invalid mount config: subpath %q leads out of the volume", subpath)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return "", invalid("cannot access path %s in the volume: %s", subpath, err)
	case err != nil:
		return "", fmt.Errorf("open subpath %q: %w", subpath, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	target, err := m.stageTarget(containerID, number, st.Mode&unix.S_IFMT == unix.S_IFDIR)
	if err != nil {
		return "", err
	}
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(fd), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("mount subpath %q: %w", subpath, err)
	}
	return target, nil
}

// stageImage mounts the layers of an image, topmost first, read-only, and returns where.
func (m *Manager) stageImage(ctx context.Context, containerID string, number int, p *point) (string, error) {
	layers, err := m.opts.ImageLayers(ctx, p.Source)
	if err != nil {
		return "", err
	}
	target, err := m.stageTarget(containerID, number, true)
	if err != nil {
		return "", err
	}
	what := ctdmount.Mount{Type: "bind", Source: layers[0], Options: []string{"bind", "ro"}}
	if len(layers) > 1 { // an overlay without an upper folder wants two at least
		what = ctdmount.Mount{Type: "overlay", Source: "overlay", Options: []string{"ro", "lowerdir=" + joinPaths(layers)}}
	}
	if err := what.Mount(target); err != nil {
		return "", fmt.Errorf("mount image %s: %w", p.Name, err)
	}
	return target, nil
}

func joinPaths(list []string) string {
	out := list[0]
	for _, path := range list[1:] {
		out += ":" + path
	}
	return out
}

// stageTarget makes the mount point anew.
func (m *Manager) stageTarget(containerID string, number int, folder bool) (string, error) {
	dir := m.stageFolder(containerID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make mount point: %w", err)
	}
	target := filepath.Join(dir, strconv.Itoa(number))
	if err := unmountAll(target); err != nil {
		return "", err
	}
	if folder {
		if err := os.Mkdir(target, 0o755); err != nil {
			return "", fmt.Errorf("make mount point: %w", err)
		}
		return target, nil
	}
	return target, os.WriteFile(target, nil, 0o644)
}

// unstage takes back what is staged for a container. Harmless when there is nothing.
func (m *Manager) unstage(containerID string) {
	if m.opts.Run == "" {
		return
	}
	dir := m.stageFolder(containerID)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // most containers have none
	}
	for _, e := range entries {
		if err := unmountAll(filepath.Join(dir, e.Name())); err != nil {
			m.opts.Log.Warn("volume: unmount", "path", filepath.Join(dir, e.Name()), "error", err)
		}
	}
	if err := os.Remove(dir); err != nil {
		m.opts.Log.Warn("volume: remove mount points", "error", err)
	}
}

// unmountAll unmounts what lies at target, and removes the empty mount point: never what was mounted there.
func unmountAll(target string) error {
	for {
		mounted, err := isMountPoint(target)
		if err != nil {
			return err
		}
		if !mounted {
			break
		}
		if err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", target, err)
		}
	}
	if err := os.Remove(target); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
