package container

import (
	"naru/guest/engine/archive"
	"naru/guest/runtime"
)

// fileIDs translates the owners of a container's files between what its mounts show to the engine and what the container sees;
// nil for one that sees the same.
func (m *Manager) fileIDs(c *Container) archive.IDs {
	if ids := m.ids(c.HostConfig); ids != nil {
		return mappedIDs{ids}
	}
	return nil
}

// mappedIDs are those of a user namespace.
type mappedIDs struct{ m *runtime.IDMap }

// nobody is whom a file belongs to whose owner the namespace does not map, as the kernel shows it.
const nobody = 65534

func (i mappedIDs) ToContainer(uid, gid uint32) (int, int) {
	return inside(i.m.UIDs, uid), inside(i.m.GIDs, gid)
}

func inside(ranges []runtime.IDRange, id uint32) int {
	for _, r := range ranges {
		if id >= r.Host && id-r.Host < r.Size {
			return int(r.Container + (id - r.Host))
		}
	}
	return nobody
}

func (i mappedIDs) ToHost(uid, gid int) (uint32, uint32, error) {
	u, okU := outside(i.m.UIDs, uid)
	g, okG := outside(i.m.GIDs, gid)
	if !okU || !okG {
		return 0, 0, invalid("owner %d:%d is not in the container's user namespace", uid, gid)
	}
	return u, g, nil
}

func outside(ranges []runtime.IDRange, id int) (uint32, bool) {
	for _, r := range ranges {
		if id >= int(r.Container) && id-int(r.Container) < int(r.Size) {
			return r.Host + uint32(id-int(r.Container)), true
		}
	}
	return 0, false
}
