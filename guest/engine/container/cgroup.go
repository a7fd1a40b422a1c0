package container

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cgroupFor is the cgroup of a container: below the parent it was made with, else below ours. A parent's path is taken from
// the root and cannot leave it.
func (m *Manager) cgroupFor(id string, hc *container.HostConfig) string {
	if hc.CgroupParent == "" {
		return m.Cgroup + "/" + id
	}
	return path.Join("/", path.Clean("/"+hc.CgroupParent), id)
}

// cgroup is that of a container by its ID. One that is not recorded, since its creation or start was interrupted, has its
// spec in the bundle.
func (m *Manager) cgroup(id string) string {
	if c, err := m.find(id); err == nil {
		return m.cgroupFor(c.ID, c.HostConfig)
	}
	var spec specs.Spec
	data, err := os.ReadFile(filepath.Join(m.bundlePath(id), "config.json"))
	if err == nil && json.Unmarshal(data, &spec) == nil && spec.Linux != nil && path.Base(spec.Linux.CgroupsPath) == id {
		return spec.Linux.CgroupsPath
	}
	return m.Cgroup + "/" + id
}
