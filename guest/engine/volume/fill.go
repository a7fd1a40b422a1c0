package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// fillOne copies what the image has at target into an empty volume. Nothing in the image decides where bytes go: the
// source is looked up with the root file system as the root, and no symbolic link is followed after that, on either side.
func (m *Manager) fillOne(ctx context.Context, v *vol, target string, rootfs func() (string, error)) error {
	v.fill.Lock()
	defer v.fill.Unlock()
	data := m.data(v.name)
	if empty, err := isEmpty(data); err != nil || !empty {
		return err
	}
	root, err := rootfs()
	if err != nil {
		return err
	}
	src, err := openInRoot(root, target)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // the image has no folder there
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", target, err)
	}
	defer src.Close()
	dst, err := openDir(unix.AT_FDCWD, data)
	if err != nil {
		return err
	}
	defer dst.Close()

	// While the marker is there a crash leaves a half-filled volume, which the next start empties.
	mark := filepath.Join(m.dir, v.name, marker)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	c := newCopier(ctx, dst, m.opts.Log.With("volume", v.name))
	if err := c.tree(src, dst); err != nil {
		if v.needsMount() { // it is the user's: what was copied stays, nothing is deleted
			return errors.Join(err, os.Remove(mark))
		}
		return errors.Join(err, m.empty(v.name))
	}
	if c.copied && !v.Anonymous {
		if err := unix.Syncfs(int(dst.Fd())); err != nil {
			return err
		}
	}
	return os.Remove(mark)
}

func isEmpty(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer f.Close()
	names, _ := f.Readdirnames(1)
	return len(names) == 0, nil
}

// openInRoot opens a folder as a process with that root would see it: absolute links and `..` stay inside.
func openInRoot(root, target string) (*os.File, error) {
	at, err := openDir(unix.AT_FDCWD, root)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	fd, err := openat2(int(at.Fd()), strings.TrimPrefix(target, "/"), &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), target), nil
}

// openat2 is openat2(2), again when the kernel could not tell whether a `..` stays inside: any rename or mount anywhere
// on the machine at that moment makes it answer EAGAIN. Not for ever: a container could rename in a loop.
func openat2(at int, name string, how *unix.OpenHow) (fd int, err error) {
	for range 1000 {
		if fd, err = unix.Openat2(at, name, how); err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}

// openDir opens a folder that is not a symbolic link.
func openDir(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// recursiveReadOnly reports whether the kernel has mount_setattr(2), Linux 5.12.
var recursiveReadOnly = sync.OnceValue(func() bool {
	err := unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{})
	return !errors.Is(err, unix.ENOSYS)
})
