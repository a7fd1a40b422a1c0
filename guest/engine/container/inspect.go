package container

import (
	"context"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
	"golang.org/x/sys/unix"

	"naru/guest/runtime"
)

// zeroTime is how Docker writes a time that was not.
const zeroTime = "0001-01-01T00:00:00Z"

func timeText(t time.Time) string {
	if t.IsZero() {
		return zeroTime
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Inspect describes a container; size counts its files, which takes long.
func (m *Manager) Inspect(ctx context.Context, ref string, size bool) (*container.InspectResponse, error) {
	c, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	r := c.record
	execs := make([]string, 0, len(c.execs))
	for id, x := range c.execs {
		x.mu.Lock()
		if x.exitCode == nil && r.State.alive() {
			execs = append(execs, id)
		}
		x.mu.Unlock()
	}
	c.mu.Unlock()
	slices.Sort(execs)
	path, args := r.command()
	if args == nil {
		args = []string{}
	}
	out := &container.InspectResponse{
		ID: r.ID, Created: timeText(r.Created), Path: path, Args: args, State: r.inspectState(), Image: r.ImageID,
		ResolvConfPath: c.engineFile(&r, "resolv.conf"), HostnamePath: c.engineFile(&r, "hostname"), HostsPath: c.engineFile(&r, "hosts"),
		LogPath: c.shownLogPath(&r), Name: "/" + r.Name, RestartCount: r.State.RestartCount, Driver: "overlay2", Platform: "linux",
		ExecIDs: execs, HostConfig: m.withLinks(r.hostConfig(), &r), Mounts: orEmpty(r.Mounts), Config: r.Config,
		NetworkSettings: m.networkSettings(&r), AppArmorProfile: runtime.AppArmorProfile(r.HostConfig),
	}
	if len(execs) == 0 {
		out.ExecIDs = nil
	}
	out.GraphDriver = m.graphDriver(ctx, c)
	if size {
		rw, root := m.sizes(ctx, c)
		out.SizeRw, out.SizeRootFs = &rw, &root
	}
	return out, nil
}

// WishedMAC is the address that the user gave for the container's first network; nil where there is none.
func (m *Manager) WishedMAC(id string) network.HardwareAddr {
	c, err := m.find(id)
	if err != nil {
		return nil
	}
	if e := c.snapshot().Endpoints[c.HostConfig.NetworkMode.NetworkName()]; e != nil {
		return e.MacAddress
	}
	return nil
}

// engineFile is the path of a file that the first start makes.
func (c *Container) engineFile(r *record, name string) string {
	if r.State.Started.IsZero() {
		return ""
	}
	return filepath.Join(c.dir, name)
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (r *record) inspectState() *container.State {
	s := &r.State
	var health *container.Health
	if r.Health != nil {
		health = &container.Health{Status: r.Health.Status, FailingStreak: r.Health.FailingStreak, Log: orEmpty(r.Health.Log)}
	}
	return &container.State{
		Health: health, Status: s.shown(), Running: s.alive(), Paused: s.shown() == container.StatePaused,
		Restarting: s.Status == container.StateRestarting, OOMKilled: s.OOMKilled,
		Dead: s.Status == container.StateDead, Pid: s.Pid, ExitCode: s.ExitCode, Error: s.Error,
		StartedAt: timeText(s.Started), FinishedAt: timeText(s.Finished),
	}
}

// networkSettings are what the container has while it runs, and what it would get when it does not.
func (m *Manager) networkSettings(r *record) *container.NetworkSettings {
	ns := &container.NetworkSettings{Ports: r.shownPorts(), Networks: r.Networks, SandboxKey: r.NetNS}
	if ns.SandboxKey != "" {
		ns.SandboxID = r.ID
	}
	if ns.Networks == nil {
		ns.Networks = map[string]*network.EndpointSettings{}
		for name, e := range r.Endpoints {
			ns.Networks[name] = e
		}
	}
	return ns
}

// shownPorts are the ports of a running container with a network of its own: what is published, and what is only exposed
// without a binding.
func (r *record) shownPorts() network.PortMap {
	ports := network.PortMap{}
	mode := r.HostConfig.NetworkMode
	if !r.State.running() || !mode.IsBridge() && !mode.IsUserDefined() {
		return ports
	}
	for p := range r.Config.ExposedPorts {
		ports[p] = nil
	}
	maps.Copy(ports, r.Ports)
	return ports
}

func (m *Manager) graphDriver(ctx context.Context, c *Container) *storage.DriverData {
	data := map[string]string{
		"ID": c.ID, "UpperDir": filepath.Join(c.dir, "upper"), "WorkDir": filepath.Join(c.dir, "work"),
		"MergedDir": m.rootfsPath(c.ID),
	}
	if layers, err := m.Images.Layers(ctx, c.ImageID); err == nil { // an image deleted by force has none to show
		lower := ""
		for i, l := range layers {
			if i > 0 {
				lower += ":"
			}
			lower += l
		}
		data["LowerDir"] = lower
	}
	return &storage.DriverData{Name: "overlay2", Data: data}
}

// sizes are the bytes on disk of what the container wrote, and that plus its image.
func (m *Manager) sizes(ctx context.Context, c *Container) (rw, root int64) {
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	_ = filepath.WalkDir(filepath.Join(c.dir, "upper"), func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err != nil || ctx.Err() != nil || unix.Lstat(path, &st) != nil {
			return nil // files come and go while we look
		}
		key := inode{st.Dev, st.Ino}
		if st.Mode&unix.S_IFMT == unix.S_IFREG && !seen[key] {
			seen[key] = true
			rw += st.Size
		}
		return nil
	})
	root = rw
	if img, err := m.Images.Resolve(ctx, c.ImageID); err == nil {
		root += img.Size
	}
	return rw, root
}
