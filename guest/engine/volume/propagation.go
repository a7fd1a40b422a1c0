package volume

import (
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// checkPropagation refuses a bind whose mounts are to get out of the container where they cannot: out of a mount that is not
// shared nothing does. In direct mode none is, for what the engine mounts stays unseen by the host.
func checkPropagation(p *point) error {
	if p.Propagation != mount.PropagationShared && p.Propagation != mount.PropagationRShared {
		return nil
	}
	on, err := mountBelow(p.Source)
	if err != nil {
		return fmt.Errorf("find the mount of %s: %w", p.Source, err)
	}
	if !strings.Contains(on.Optional, "shared:") {
		return invalid("path %s is mounted on %s but it is not a shared mount", p.Source, on.Mountpoint)
	}
	return nil
}

// mountBelow returns the mount that path is on.
func mountBelow(path string) (*mountinfo.Info, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil {
		return nil, err
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		is := uint64(m.ID) == st.Mnt_id
		return !is, is
	})
	if err != nil {
		return nil, err
	}
	if len(mounts) == 0 {
		return nil, fmt.Errorf("no mount %d", st.Mnt_id)
	}
	return mounts[0], nil
}
