package archive

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// CopyFolder gives an open folder the owner, mode, attributes and times of another.
func CopyFolder(from, to int) error {
	st, err := fstatat(from, "")
	if err != nil {
		return err
	}
	if err := unix.Fchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("chown: %w", err)
	}
	if err := unix.Fchmod(to, st.Mode&0o7777); err != nil {
		return fmt.Errorf("chmod: %w", err)
	}
	carried, err := attributes(from, make([]byte, maxAttributes))
	if err != nil {
		return fmt.Errorf("read attributes: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(carried)) {
		if err := unix.Fsetxattr(to, name, []byte(carried[name]), 0); err != nil {
			return fmt.Errorf("set attribute %s: %w", name, err)
		}
	}
	return setTimes(to, st.Atim, st.Mtim)
}
