package machine

import "golang.org/x/sys/unix"

// hostMemory is the host's memory in bytes, 0 when it cannot be told.
func hostMemory() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}
