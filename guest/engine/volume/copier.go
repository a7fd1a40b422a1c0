package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// copier copies a tree by descriptors: each name is opened relative to its open parent, and never followed.
type copier struct {
	ctx    context.Context
	root   *os.File // of the destination
	log    *slog.Logger
	links  map[inode]string // where a file with several names went, relative to root
	copied bool             // anything at all
}

type inode struct{ dev, ino uint64 }

func newCopier(ctx context.Context, root *os.File, log *slog.Logger) *copier {
	return &copier{ctx: ctx, root: root, log: log, links: map[inode]string{}}
}

// tree copies the content of src into dst, then src's own owner, mode, times and attributes.
func (c *copier) tree(src, dst *os.File) error { return c.folder(src, dst, ".") }

func (c *copier) folder(src, dst *os.File, rel string) error {
	names, err := src.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		c.copied = true
		if err := c.entry(src, dst, name, filepath.Join(rel, name)); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(rel, name), err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return err
	}
	return finish(src, dst, &st)
}

// entry copies one name.
func (c *copier) entry(src, dst *os.File, name, rel string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(src.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.subfolder(src, dst, name, rel)
	case unix.S_IFREG:
		return c.file(src, dst, name, rel, &st)
	case unix.S_IFLNK:
		return c.link(src, dst, name, &st)
	case unix.S_IFIFO:
		if err := unix.Mknodat(int(dst.Fd()), name, unix.S_IFIFO|st.Mode&0o7777, 0); err != nil {
			return err
		}
		return own(dst, name, &st)
	}
	c.log.Warn("volume: device or socket of the image is not copied", "name", rel)
	return nil
}

func (c *copier) subfolder(src, dst *os.File, name, rel string) error {
	from, err := openDir(int(src.Fd()), name)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := unix.Mkdirat(int(dst.Fd()), name, 0o700); err != nil {
		return err
	}
	to, err := openDir(int(dst.Fd()), name)
	if err != nil {
		return err
	}
	defer to.Close()
	return c.folder(from, to, rel)
}

func (c *copier) file(src, dst *os.File, name, rel string, st *unix.Stat_t) error {
	key := inode{uint64(st.Dev), st.Ino}
	if st.Nlink > 1 {
		if first, ok := c.links[key]; ok {
			return c.hardlink(first, dst, name)
		}
		c.links[key] = rel
	}
	from, err := openFile(src, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := openFile(dst, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	if err := finish(from, to, st); err != nil {
		return err
	}
	return to.Close()
}

// hardlink gives a file that was copied before a second name. The first one is looked up without following links:
// a container that has the volume already could have put one there.
func (c *copier) hardlink(first string, dst *os.File, name string) error {
	fd, err := openat2(int(c.root.Fd()), first, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Linkat(fd, "", int(dst.Fd()), name, unix.AT_EMPTY_PATH)
}

func (c *copier) link(src, dst *os.File, name string, st *unix.Stat_t) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(src.Fd()), name, buf)
	if err != nil {
		return err
	}
	if err := unix.Symlinkat(string(buf[:n]), int(dst.Fd()), name); err != nil {
		return err
	}
	return own(dst, name, st)
}

func openFile(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// own sets owner and times of a name that is no file or folder.
func own(dir *os.File, name string, st *unix.Stat_t) error {
	if err := unix.Fchownat(int(dir.Fd()), name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.UtimesNanoAt(int(dir.Fd()), name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// finish gives dst the owner, mode, extended attributes and times of src. The owner comes first: changing it clears set-uid
// bits and capabilities.
func finish(src, dst *os.File, st *unix.Stat_t) error {
	fd := int(dst.Fd())
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return err
	}
	if err := copyAttributes(int(src.Fd()), fd); err != nil {
		return err
	}
	times := []unix.Timeval{unix.NsecToTimeval(st.Atim.Nano()), unix.NsecToTimeval(st.Mtim.Nano())}
	return unix.Futimes(fd, times)
}

// copyAttributes copies user.* and security.capability; other name spaces belong to this host.
func copyAttributes(src, dst int) error {
	size, err := unix.Flistxattr(src, nil)
	if errors.Is(err, unix.ENOTSUP) || size == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	list := make([]byte, size)
	if size, err = unix.Flistxattr(src, list); err != nil {
		return err
	}
	for _, name := range strings.Split(strings.TrimRight(string(list[:size]), "\x00"), "\x00") {
		if name != "security.capability" && !strings.HasPrefix(name, "user.") {
			continue
		}
		n, err := unix.Fgetxattr(src, name, nil)
		if err != nil {
			return err
		}
		value := make([]byte, n)
		if n, err = unix.Fgetxattr(src, name, value); err != nil {
			return err
		}
		if err := unix.Fsetxattr(dst, name, value[:n], 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
	}
	return nil
}
