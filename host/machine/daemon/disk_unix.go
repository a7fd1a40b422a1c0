//go:build !windows

package daemon

import "golang.org/x/sys/unix"

// diskUse is a sparse file's size and what it takes of the host, in bytes; planned and 0 when there is none yet.
func diskUse(path string, planned uint64) (size, used uint64) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return planned, 0
	}
	return uint64(st.Size), uint64(st.Blocks) * 512
}
