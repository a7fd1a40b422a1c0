package container

import (
	"github.com/moby/moby/api/types/container"

	"naru/guest/runtime"
)

// ids is what the user namespace of a container maps; nil for one in the host's.
func (m *Manager) ids(hc *container.HostConfig) *runtime.IDMap {
	if m.Remap == nil || hc.UsernsMode.IsHost() {
		return nil
	}
	return m.Remap
}

// rootIDs are the host's ids of a container's root.
func (m *Manager) rootIDs(c *Container) (uid, gid uint32) {
	if ids := m.ids(c.HostConfig); ids != nil {
		return ids.Root()
	}
	return 0, 0
}

// checkUserns refuses what cannot be had in a user namespace, in Docker's words.
func (m *Manager) checkUserns(hc *container.HostConfig) error {
	switch {
	case m.ids(hc) == nil:
	case hc.Privileged:
		return invalid("privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode")
	case hc.NetworkMode.IsHost():
		return invalid("cannot share the host's network namespace when user namespaces are enabled")
	case hc.PidMode.IsHost():
		return invalid("cannot share the host PID namespace when user namespaces are enabled")
	}
	return nil
}
