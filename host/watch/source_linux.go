package watch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// newSource takes fanotify, which tells who did something, where this process may: as root, since Linux 5.17. inotify
// does the rest; what the guest itself does is told twice there.
func newSource(o Options) (source, error) {
	if src, err := newFanotify(o.Guests); err == nil {
		return src, nil
	} else if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return nil, err
	}
	return newInotify()
}

// openBelow opens a folder below dir, on no way through a symbolic link.
func openBelow(dir *os.File, rel string) (*os.File, error) {
	how := &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(int(dir.Fd()), rel, how)
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: rel, Err: err}
	}
	return os.NewFile(uintptr(fd), rel), nil
}
