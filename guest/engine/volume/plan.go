package volume

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"naru/guest/api"
)

// Validate checks all mounts of a container to be created, and makes nothing.
func (m *Manager) Validate(cfg *container.Config, hc *container.HostConfig) error {
	points, err := m.plan(cfg, hc, nil)
	if err != nil {
		return err
	}
	for _, p := range points {
		switch p.Type {
		case mount.TypeBind:
			err = m.checkSource(p)
		case mount.TypeVolume:
			err = m.checkDriver("", p.driverOptions)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// plan collects the mounts of all spellings, parents before their children. What is inherited by VolumesFrom gives way to
// everything said here, an image's VOLUME to everything else; all others exclude each other. before is what the container
// had when it was last resolved, nil at its creation: what it inherited then it keeps, whatever became of the other one.
func (m *Manager) plan(cfg *container.Config, hc *container.HostConfig, before *use) ([]*point, error) {
	if hc == nil {
		hc = &container.HostConfig{}
	}
	if err := m.checkDriver(hc.VolumeDriver, nil); err != nil {
		return nil, err
	}
	said, err := explicit(hc)
	if err != nil {
		return nil, err
	}
	all := map[string]*point{}
	for _, p := range said {
		if all[p.Destination] != nil {
			return nil, invalid("Duplicate mount point: %s", p.Destination)
		}
		all[p.Destination] = p
	}
	var inherited []*point
	if before == nil {
		inherited, err = m.inherited(hc.VolumesFrom)
	} else if len(hc.VolumesFrom) > 0 {
		inherited = pointsOf(before, "")
	}
	if err != nil {
		return nil, err
	}
	fromImage, err := ofImage(cfg)
	if err != nil {
		return nil, err
	}
	for _, p := range slices.Concat(inherited, fromImage) {
		if all[p.Destination] == nil {
			all[p.Destination] = p
		}
	}
	out := slices.Collect(maps.Values(all))
	slices.SortFunc(out, func(a, b *point) int {
		return cmp.Or(cmp.Compare(strings.Count(a.Destination, "/"), strings.Count(b.Destination, "/")),
			cmp.Compare(a.Destination, b.Destination))
	})
	return out, nil
}

// explicit reads -v, --mount and --tmpfs.
func explicit(hc *container.HostConfig) ([]*point, error) {
	var out []*point
	for _, raw := range hc.Binds {
		p, err := parseBind(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	for _, spec := range hc.Mounts {
		p, err := parseMount(spec)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	for _, target := range slices.Sorted(maps.Keys(hc.Tmpfs)) {
		p, err := parseTmpfs(target, hc.Tmpfs[target])
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// ofImage reads the VOLUMEs of the image, and -v with a destination only.
func ofImage(cfg *container.Config) ([]*point, error) {
	if cfg == nil {
		return nil, nil
	}
	var out []*point
	for _, target := range slices.Sorted(maps.Keys(cfg.Volumes)) {
		p, err := parseMount(mount.Mount{Type: mount.TypeVolume, Target: path.Clean("/" + target)})
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// inherited reads --volumes-from: "container" or "container:mode".
func (m *Manager) inherited(list []string) ([]*point, error) {
	var out []*point
	for _, raw := range list {
		ref, mode, _ := strings.Cut(raw, ":")
		if ref == "" {
			return nil, invalid("malformed volumes-from specification: %s", raw)
		}
		if !validMode(mode) {
			return nil, invalid("invalid mode for volumes-from: %s", mode)
		}
		if m.opts.Container == nil {
			return nil, errdefs.ErrNotImplemented.WithMessage("naru does not serve volumes-from yet")
		}
		id, err := m.opts.Container(ref)
		if err != nil {
			return nil, err
		}
		m.mu.Lock()
		out = append(out, pointsOf(m.uses[id], mode)...)
		m.mu.Unlock()
	}
	return out, nil
}

// pointsOf are the volumes and binds of a container, for another one; nil has none.
func pointsOf(u *use, mode string) []*point {
	if u == nil {
		return nil
	}
	var out []*point
	for _, mp := range u.Points {
		if mp.Type == mount.TypeTmpfs {
			continue
		}
		mp.RW = mp.RW && !slices.Contains(strings.Split(mode, ","), "ro")
		out = append(out, &point{MountPoint: mp, noCopy: true, subpath: u.Subpaths[mp.Destination]})
	}
	return out
}

// checkSource checks the host's side of a bind mount as far as it can be without changing anything.
func (m *Manager) checkSource(p *point) error {
	if m.isSocket(p.Source) || m.named(p.Source) != "" {
		return nil
	}
	if err := m.checkShared(p.Source); err != nil {
		return err
	}
	_, err := os.Stat(p.Source)
	if errors.Is(err, fs.ErrNotExist) {
		if p.createSource {
			return nil
		}
		return invalid("invalid mount config for type \"bind\": bind source path does not exist: %s", p.Source)
	}
	if err != nil {
		return invalid("invalid mount config for type \"bind\": %s", err)
	}
	return nil
}

// isSocket tells whether a bind's source means the engine's own socket. Its names are the same wherever the engine runs:
// in the VM there is no such path of the host's, and on a Linux another engine may have the path.
func (m *Manager) isSocket(source string) bool {
	return m.opts.Socket != "" && (source == m.opts.Socket || slices.Contains(m.opts.SocketNames, source))
}

// checkShared refuses a folder that the machine does not have from its host.
func (m *Manager) checkShared(source string) error {
	if m.opts.Mode == api.ModeMachine && !m.shared(source) {
		var shares []string
		for _, s := range m.opts.Shares {
			shares = append(shares, s.Path)
		}
		return invalid("bind source path is not shared with the machine: %s (shared: %s)", source, cmp.Or(strings.Join(shares, ", "), "nothing"))
	}
	return nil
}

// named is the target of api.OpDial that a bind's source means by its name alone, "" when it means none.
func (m *Manager) named(source string) string {
	switch {
	case m.opts.HostSocket == nil:
		return ""
	case source == api.AgentSocket:
		return api.TargetAgent
	case slices.Contains(m.opts.HostSockets, source):
		return "unix:" + source
	}
	return ""
}

// hostSocket is the socket to mount for a bind whose source is one of the host's, "" for any other source. A socket in a
// share is only a name here: nobody listens at it in the machine.
func (m *Manager) hostSocket(source string) (string, error) {
	if m.opts.HostSocket == nil {
		return "", nil
	}
	target := m.named(source)
	if target == "" {
		real, err := filepath.EvalSymlinks(source)
		if err != nil {
			return "", nil // there is no such file: whoever mounts it says so
		}
		if info, err := os.Lstat(real); err != nil || info.Mode().Type() != fs.ModeSocket || !m.shared(real) {
			return "", nil
		}
		target = "unix:" + real
	}
	return m.opts.HostSocket(target)
}

// prepareSource is checkSource, and makes the folder when it may.
func (m *Manager) prepareSource(p *point) error {
	if err := m.checkSource(p); err != nil {
		return err
	}
	if !p.createSource || m.isSocket(p.Source) || m.named(p.Source) != "" {
		return nil
	}
	if _, err := os.Stat(p.Source); err == nil {
		return nil
	}
	if err := os.MkdirAll(p.Source, 0o755); err != nil {
		return fmt.Errorf("error while creating mount source path '%s': %w", p.Source, err)
	}
	return nil
}

// shared reports whether the path lies under a share, and still does once its symbolic links are followed: a link
// in a share must not lead to the machine's own files.
func (m *Manager) shared(source string) bool {
	under := func(p string) bool {
		return slices.ContainsFunc(m.opts.Shares, func(s api.Share) bool {
			root := path.Clean(s.Path)
			return p == root || root == "/" || strings.HasPrefix(p, root+"/")
		})
	}
	if !under(source) {
		return false
	}
	for at := source; at != "/"; at = path.Dir(at) {
		if _, err := os.Lstat(at); err != nil {
			continue // not there yet: what is above it decides
		}
		real, err := filepath.EvalSymlinks(at)
		return err == nil && under(real)
	}
	return true
}
