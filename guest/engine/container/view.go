package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"naru/guest/engine/archive"
	"naru/guest/engine/userns"
	"naru/guest/runtime"
)

// view is a container's files as cp shows them, whether it runs or not: its root file system with its volumes, binds and
// network files where they are mounted in it. /proc, /sys, /dev and what the container has mounted itself are not in it.
//
// The mounts are made in a mount namespace of the view's own, which only its descriptors keep alive: nothing of them is seen
// elsewhere, and nothing is left when the engine is killed. No device can be opened in it.
type view struct {
	root    *archive.Root
	ns      int // the mount namespace
	ids     *runtime.IDMap
	release func()
}

// do runs f, which makes files, as root of the container: on mounts whose ids are shifted no other can.
func (v *view) do(f func() error) error {
	if v.ids == nil {
		return f()
	}
	return userns.AsRoot(v.ids, f)
}

func (v *view) close() {
	v.root.Close()
	unix.Close(v.ns)
	v.release()
}

// openView makes a view. The caller closes it.
func (m *Manager) openView(ctx context.Context, c *Container) (*view, error) {
	c.op.Lock()
	defer c.op.Unlock()
	if err := m.canLookAt(c); err != nil {
		return nil, err
	}
	mounts, looked, err := m.Volumes.Look(ctx, c.ID, c.Config, c.HostConfig)
	if err != nil {
		return nil, err
	}
	defer looked() // what is mounted in the view is there by itself
	user, err := m.namespaceToLook(c)
	if err != nil {
		return nil, err
	}
	if user != nil {
		defer user.Close()
		if err := m.shiftMounts(user, mounts); err != nil {
			return nil, err
		}
	}
	path, release, err := m.holdRootfs(ctx, c, user)
	if err != nil {
		return nil, err
	}
	b := viewBuilder{rootfs: path, mounts: m.withNetworkFiles(c, mounts), ids: m.ids(c.HostConfig)}
	v, err := b.build()
	if err != nil {
		release()
		return nil, fmt.Errorf("look at the files of container %s: %w", c.ID[:12], err)
	}
	v.release, v.ids = release, b.ids
	return v, nil
}

// namespaceToLook makes a user namespace like the container's, so that its files are seen with the same ids whether it runs or
// not; nil for one without.
func (m *Manager) namespaceToLook(c *Container) (*os.File, error) {
	ids := m.ids(c.HostConfig)
	if ids == nil {
		return nil, nil
	}
	user, _, err := userns.New(ids, false)
	return user, err
}

// canLookAt refuses a container whose files are going. c.op is held.
func (m *Manager) canLookAt(c *Container) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || c.State.Status == container.StateRemoving {
		return errdefs.ErrNotFound.WithMessage("No such container: " + c.ID)
	}
	return nil
}

// withNetworkFiles adds the network files that the container was last started with, where it has no mount of its own.
func (m *Manager) withNetworkFiles(c *Container, mounts []runtime.Mount) []runtime.Mount {
	for name, source := range m.networkSources(c) {
		target := "/etc/" + name
		if !slices.ContainsFunc(mounts, func(mnt runtime.Mount) bool { return mnt.Target == target }) {
			mounts = append(mounts, runtime.Mount{Type: "bind", Source: source, Target: target, ReadOnly: c.HostConfig.ReadonlyRootfs})
		}
	}
	return mounts
}

// networkSources are those files: name to path.
func (m *Manager) networkSources(c *Container) map[string]string {
	dir := c.dir
	if mode := c.HostConfig.NetworkMode; mode.IsContainer() {
		other, err := m.find(mode.ConnectedContainer())
		if err != nil {
			return nil // gone; so are the files
		}
		dir = other.dir
	}
	out := map[string]string{}
	for _, name := range networkFiles {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			out[name] = path
		}
	}
	return out
}

// viewBuilder makes the mounts of a view, on a thread of its own.
type viewBuilder struct {
	rootfs string
	mounts []runtime.Mount
	ids    *runtime.IDMap // of a container with a user namespace; nil for one without
}

// build runs on a thread that ends with it: one that has left the engine's mount namespace is of no use to anybody else.
func (b *viewBuilder) build() (*view, error) {
	type result struct {
		v   *view
		err error
	}
	done := make(chan result, 1)
	work := func() {
		v, err := b.onThread()
		done <- result{v, err}
	}
	go func() {
		goruntime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the main thread does not end; while we have it another one runs this
			inner := make(chan struct{})
			go func() {
				defer close(inner)
				goruntime.LockOSThread()
				work()
			}()
			<-inner
			goruntime.UnlockOSThread()
			return
		}
		work()
	}()
	r := <-done
	return r.v, r.err
}

func (b *viewBuilder) onThread() (_ *view, err error) {
	if b.ids != nil {
		if err := userns.Become(b.ids); err != nil {
			return nil, err
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("make mounts private: %w", err)
	}
	fd, err := unix.Open(b.rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: b.rootfs, Err: err}
	}
	v := &view{root: archive.NewRoot(fd), ns: -1}
	defer func() {
		if err != nil {
			v.root.Close()
		}
	}()
	for _, mnt := range b.mounts {
		if err := b.attach(v.root, mnt); err != nil {
			return nil, fmt.Errorf("mount %s: %w", mnt.Target, err)
		}
	}
	err = setMount(fd, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, err
	}
	v.ns, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return v, err
}

// setMount sets flags of an open mount and of all below it.
func setMount(fd int, flags uint64) error {
	err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: flags})
	if err != nil {
		return fmt.Errorf("mount_setattr, which needs Linux 5.12: %w", err)
	}
	return nil
}

func (b *viewBuilder) attach(root *archive.Root, mnt runtime.Mount) error {
	tree, isFolder, err := b.source(mnt)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	if mnt.ReadOnly {
		if err := setMount(tree, unix.MOUNT_ATTR_RDONLY); err != nil {
			return err
		}
	}
	uid, gid := uint32(0), uint32(0)
	if b.ids != nil {
		uid, gid = b.ids.Root()
	}
	target, err := mountPoint(root, mnt.Target, isFolder, uid, gid)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// source opens what is mounted, detached.
func (b *viewBuilder) source(mnt runtime.Mount) (tree int, isFolder bool, err error) {
	if mnt.Type == "tmpfs" {
		tree, err = newTmpfs()
		return tree, true, err
	}
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if !mnt.Flat {
		flags |= unix.AT_RECURSIVE
	}
	tree, err = unix.OpenTree(unix.AT_FDCWD, mnt.Source, flags)
	if err != nil {
		return -1, false, &os.PathError{Op: "open", Path: mnt.Source, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		unix.Close(tree)
		return -1, false, err
	}
	return tree, st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// newTmpfs is an empty one. What is copied into it is lost, as in Docker: a container's tmpfs begins empty.
func newTmpfs() (int, error) {
	fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	if err := unix.FsconfigCreate(fd); err != nil {
		return -1, err
	}
	return unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, 0)
}

// mountPoint opens where something is mounted, and makes it when it is missing, as the start of the container would.
func mountPoint(root *archive.Root, target string, isFolder bool, uid, gid uint32) (int, error) {
	fd, err := root.Open(target, unix.O_PATH)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if isFolder {
		return root.MakeFolder(target, 0o755, uid, gid)
	}
	dir, err := root.MakeFolder(filepath.Dir(target), 0o755, uid, gid)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	file, err := unix.Openat(dir, filepath.Base(target), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o755)
	if err != nil {
		return -1, err
	}
	unix.Close(file)
	return root.Open(target, unix.O_PATH)
}

// holdRootfs returns the container's mounted root file system, which stays mounted until release: that of the running
// container, or one that is mounted for this. One that starts meanwhile takes it over; two overlays on one upper folder
// would not see each other's changes. c.op is held.
func (m *Manager) holdRootfs(ctx context.Context, c *Container, user *os.File) (path string, release func(), err error) {
	c.rootMu.Lock()
	defer c.rootMu.Unlock()
	path = m.rootfsPath(c.ID)
	if !isMounted(path) {
		if _, err := m.mountAnew(ctx, c, user); err != nil {
			return "", nil, err
		}
		c.rootLeft = true
	}
	c.rootHolds++
	return path, func() { m.letGo(c) }, nil
}

func (m *Manager) letGo(c *Container) {
	c.rootMu.Lock()
	defer c.rootMu.Unlock()
	if c.rootHolds--; c.rootHolds > 0 || !c.rootLeft {
		return
	}
	c.rootLeft = false
	m.unmountRootfs(c.ID)
}

func isMounted(path string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// cloneMount opens a mount by itself, without what is mounted in it. It goes with the descriptor. No device can be opened in it.
func cloneMount(path string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := setMount(fd, unix.MOUNT_ATTR_NODEV); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func closeFD(fd int) { _ = unix.Close(fd) }
