package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"naru/guest/engine/userns"
)

// rootfs is a container's mounted root file system; the zero value is none.
type rootfs struct {
	path string
	c    *Container
}

func (m *Manager) rootfsPath(id string) string { return filepath.Join(m.Run, "rootfs", id) }
func (m *Manager) bundlePath(id string) string { return filepath.Join(m.Run, "bundles", id) }

// mountRootfs mounts the image's layers and the container's writable one as overlay. With the user namespace user, the ids
// on both are shifted into it; on the disk they are always the container's own. What an earlier run left mounted is replaced,
// but for what somebody looks at. The caller unmounts.
func (m *Manager) mountRootfs(ctx context.Context, c *Container, user *os.File) (rootfs, error) {
	c.rootMu.Lock()
	defer c.rootMu.Unlock()
	if path := m.rootfsPath(c.ID); c.rootHolds > 0 && isMounted(path) {
		c.rootLeft = false
		return rootfs{path, c}, nil
	}
	return m.mountAnew(ctx, c, user)
}

// mountAnew is mountRootfs where nothing is mounted. c.rootMu is held.
func (m *Manager) mountAnew(ctx context.Context, c *Container, user *os.File) (rootfs, error) {
	layers, err := m.Images.Layers(ctx, c.ImageID)
	if err != nil {
		return rootfs{}, fmt.Errorf("layers of container %s: %w", c.ID[:12], err)
	}
	upper, work := filepath.Join(c.dir, "upper"), filepath.Join(c.dir, "work")
	target := m.rootfsPath(c.ID)
	for _, dir := range []string{target, upper, work} { // the last two are missing only after a power cut
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return rootfs{}, fmt.Errorf("make folder for root file system: %w", err)
		}
	}
	// The overlay refuses to use again what it once used as volatile: its mark goes first.
	if err := os.RemoveAll(filepath.Join(work, "work", "incompat")); err != nil {
		return rootfs{}, fmt.Errorf("reset work folder: %w", err)
	}
	if len(layers) == 0 { // the overlay wants one lower folder
		empty := filepath.Join(c.dir, "empty")
		if err := os.MkdirAll(empty, 0o755); err != nil {
			return rootfs{}, err
		}
		layers = []string{empty}
	}
	do := func(f func() error) error { return f() }
	if user != nil {
		layers = slices.Clone(layers) // the image store has them too
		if err := m.shift(user, append([]*string{&upper, &work}, pointers(layers)...)...); err != nil {
			return rootfs{}, err
		}
		do = func(f func() error) error { return userns.AsRoot(m.Remap, f) }
	}
	err = do(func() error { return m.mounter.overlay(layers, upper, work, target, !c.durable()) })
	if err != nil {
		return rootfs{}, fmt.Errorf("mount root file system of container %s: %w", c.ID[:12], err)
	}
	return rootfs{target, c}, nil
}

func pointers(list []string) (out []*string) {
	for i := range list {
		out = append(out, &list[i])
	}
	return out
}

// unmount is safe on the zero value. It detaches: a process that still looks at the tree does not hold it up. Who holds it for
// a look unmounts it afterwards.
func (r rootfs) unmount(m *Manager) {
	if r.path == "" {
		return
	}
	r.c.rootMu.Lock()
	defer r.c.rootMu.Unlock()
	if r.c.rootHolds > 0 {
		r.c.rootLeft = true
		return
	}
	m.unmountRootfs(r.c.ID)
}

func (m *Manager) unmountRootfs(id string) {
	if err := unmountDir(m.rootfsPath(id)); err != nil {
		m.Log.Warn("unmount root file system", "id", id, "error", err)
	}
}

func unmountDir(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// mounter mounts overlays, with what this kernel has.
type mounter struct {
	once    sync.Once
	useOpen bool // fsopen with lowerdir+ (Linux 6.8): any number of layers, any characters in their paths
}

// overlay mounts layers (topmost first) under upper at target. volatile never syncs: for what does not outlive us.
func (o *mounter) overlay(layers []string, upper, work, target string, volatile bool) error {
	o.once.Do(func() { o.useOpen = probeLowerdirPlus(layers[0]) })
	if o.useOpen {
		return overlayFD(layers, upper, work, target, volatile)
	}
	options := []string{"index=off", "redirect_dir=off", "metacopy=off", "lowerdir=" + escapedLayers(layers),
		"upperdir=" + escapeOption(upper), "workdir=" + escapeOption(work)}
	if volatile {
		options = append(options, "volatile")
	}
	// containerd's mount shortens lower paths by a common folder when they are longer than a page.
	return mount.All([]mount.Mount{{Type: "overlay", Source: "overlay", Options: options}}, target)
}

var escapeOption = strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace

func escapedLayers(layers []string) string {
	lower := make([]string, len(layers))
	for i, l := range layers {
		lower[i] = escapeOption(l)
	}
	return strings.Join(lower, ":")
}

func probeLowerdirPlus(layer string) bool {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.FsconfigSetString(fd, "lowerdir+", layer) == nil
}

// overlayFD mounts by the mount API of file descriptors.
func overlayFD(layers []string, upper, work, target string, volatile bool) error {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("fsopen overlay: %w", err)
	}
	defer unix.Close(fd)
	type option struct{ name, value string }
	// The upper folder by itself must tell what has changed, for diff and commit: no files without their content in it, and
	// no folders that stand for ones of another name.
	options := []option{{"source", "overlay"}, {"index", "off"}, {"redirect_dir", "off"}, {"metacopy", "off"}}
	for _, l := range layers {
		options = append(options, option{"lowerdir+", l})
	}
	options = append(options, option{"upperdir", upper}, option{"workdir", work})
	for _, opt := range options {
		if err := unix.FsconfigSetString(fd, opt.name, opt.value); err != nil {
			return fmt.Errorf("overlay %s=%s: %w", opt.name, opt.value, err)
		}
	}
	if volatile {
		if err := unix.FsconfigSetFlag(fd, "volatile"); err != nil {
			return fmt.Errorf("overlay volatile: %w", err)
		}
	}
	if err := unix.FsconfigCreate(fd); err != nil {
		return fmt.Errorf("overlay: %w%s", err, kernelSays(fd))
	}
	mnt, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("fsmount overlay: %w", err)
	}
	defer unix.Close(mnt)
	if err := unix.MoveMount(mnt, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount to %s: %w", target, err)
	}
	return nil
}

// kernelSays reads the messages that the kernel left in the file system context.
func kernelSays(fd int) string {
	var out []string
	buf := make([]byte, 1024)
	for range 8 {
		n, err := unix.Read(fd, buf)
		if err != nil || n <= 0 {
			break
		}
		out = append(out, strings.TrimSpace(string(buf[:n])))
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(slices.Compact(out), "; ") + ")"
}
