package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/moby/api/types/container"

	"naru/guest/engine/userns"
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

// userNS opens the user namespace for a start of c: that which owns the network namespace it gets, so that its root is root
// there too. nil is the host's. The caller closes it.
func (m *Manager) userNS(c *Container, netns string) (*os.File, error) {
	if m.ids(c.HostConfig) == nil {
		return nil, nil
	}
	user, err := userns.Owner(netns)
	if err == nil && user == nil {
		err = errors.New("the network namespace to join is not in a user namespace: the other container runs with --userns=host")
	}
	return user, err
}

// shift replaces paths below Root by the same in a view of Root whose ids are shifted into a user namespace. There is one view
// for each map, for as long as the keeper lives: it is in no container's mount namespace.
func (m *Manager) shift(user *os.File, paths ...*string) error {
	view, err := m.view(user)
	if err != nil {
		return err
	}
	for _, path := range paths {
		rest, ok := strings.CutPrefix(*path, m.Root+"/")
		if !ok {
			return fmt.Errorf("shift ids of %s: it is not below %s", *path, m.Root)
		}
		shifted := filepath.Join(view, rest)
		if !sameFile(*path, shifted) {
			return fmt.Errorf("shift ids of %s: another file system is mounted between it and %s", *path, m.Root)
		}
		*path = shifted
	}
	return nil
}

// shiftMounts lets a container see its own files and its volumes with the ids that it gave them. A volume on another file
// system, and the user's folders, keep the ids that they have on the host, as in Docker.
func (m *Manager) shiftMounts(user *os.File, mounts []runtime.Mount) error {
	view, err := m.view(user)
	if err != nil {
		return err
	}
	for i, mnt := range mounts {
		if rest, ok := strings.CutPrefix(mnt.Source, m.Root+"/"); ok && mnt.Type == "bind" {
			if shifted := filepath.Join(view, rest); sameFile(mnt.Source, shifted) {
				mounts[i].Source = shifted
			}
		}
	}
	return nil
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// view mounts Root with shifted ids, when no engine has done so yet.
func (m *Manager) view(user *os.File) (string, error) {
	m.viewMu.Lock()
	defer m.viewMu.Unlock()
	path := filepath.Join(m.Run, "shifted", m.Remap.String())
	if sameFile(path, m.Root) {
		return path, nil
	}
	if err := os.MkdirAll(path, 0o711); err != nil {
		return "", err
	}
	return path, userns.View(m.Root, path, user)
}
