// Package mounted removes folders in which something may still be mounted.
package mounted

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Remove unmounts what is mounted at dir and below, and removes dir. Nothing that is in those mounts is touched: where one
// cannot be unmounted, the folder stays. A folder that is not there is no error.
func Remove(dir string) error {
	dir, err := filepath.EvalSymlinks(dir) // as the kernel's table names it
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for { // one mount on top of another comes off at the next turn
		mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
		if err != nil {
			return fmt.Errorf("list mounts below %s: %w", dir, err)
		}
		if len(mounts) == 0 {
			return os.RemoveAll(dir)
		}
		if err := unmountAll(mounts); err != nil {
			return err
		}
	}
}

// unmountAll unmounts the deepest first. It is an error when not one of them can be unmounted.
func unmountAll(mounts []*mountinfo.Info) error {
	slices.SortFunc(mounts, func(a, b *mountinfo.Info) int { return len(b.Mountpoint) - len(a.Mountpoint) })
	var errs []error
	for _, m := range mounts {
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m.Mountpoint, err))
		}
	}
	if len(errs) < len(mounts) {
		return nil
	}
	return errors.Join(errs...)
}
