package qemu

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openSource opens a shared folder for virtiofsd. A read-only share is a mount of its own, detached and read-only, so
// that the kernel refuses writes whatever guest and daemon do. That takes Linux 5.12 and CAP_SYS_ADMIN.
func openSource(path string, readOnly bool) (*os.File, error) {
	if !readOnly {
		return os.Open(path)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return nil, fmt.Errorf("make a read-only view of %s: %w", path, err)
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, attr); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make a read-only view of %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
