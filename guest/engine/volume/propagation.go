package volume

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/mount"
	"golang.org/x/sys/unix"
)

// checkPropagation refuses a bind whose mounts are to get out of the container where they cannot: out of a mount that is not
// shared nothing does. In direct mode none is, for what the engine mounts stays unseen by the host.
func checkPropagation(p *point) error {
	if p.Propagation != mount.PropagationShared && p.Propagation != mount.PropagationRShared {
		return nil
	}
	at, shared, err := mountOf(p.Source)
	if err != nil {
		return fmt.Errorf("find the mount of %s: %w", p.Source, err)
	}
	if !shared {
		return invalid("path %s is mounted on %s but it is not a shared mount", p.Source, at)
	}
	return nil
}

// mountOf returns the mount point of the file system that path is on, and whether the mount is shared, see
// proc_pid_mountinfo(5).
func mountOf(path string) (at string, shared bool, err error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil {
		return "", false, err
	}
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return "", false, err
	}
	id := strconv.FormatUint(st.Mnt_id, 10)
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if fields[0] != id {
			continue
		}
		for _, optional := range fields[6:] {
			if optional == "-" {
				break
			}
			shared = shared || strings.HasPrefix(optional, "shared:")
		}
		return fields[4], shared, nil
	}
	return "", false, fmt.Errorf("no mount %s", id)
}
