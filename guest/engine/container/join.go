package container

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	mobynet "github.com/moby/moby/api/types/network"

	"naru/guest/engine/network"
	"naru/guest/runtime"
)

// joins are the namespaces of other containers that one wants to share, and the folder that is its /dev/shm; "" is none.
type joins struct{ net, pid, ipc, shm string }

// joined finds them. The other containers must run.
func (m *Manager) joined(c *Container) (j joins, err error) {
	hc := c.HostConfig
	if hc.NetworkMode.IsContainer() {
		if j.net, err = m.namespaceOf(hc.NetworkMode.ConnectedContainer(), "net"); err != nil {
			return j, err
		}
	}
	if hc.PidMode.IsContainer() {
		if j.pid, err = m.namespaceOf(hc.PidMode.Container(), "pid"); err != nil {
			return j, err
		}
	}
	if hc.IpcMode.IsContainer() {
		if j.ipc, err = m.namespaceOf(hc.IpcMode.Container(), "ipc"); err != nil {
			return j, err
		}
	}
	j.shm, err = m.shmFor(c)
	return j, err
}

func (m *Manager) namespaceOf(ref, name string) (string, error) {
	other, err := m.find(ref)
	if err != nil {
		return "", err
	}
	r := other.snapshot()
	if !r.State.running() {
		if name == "net" {
			name = "network"
		}
		return "", errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot join %s namespace of a non running container: container %s is %s",
			name, r.Name, r.State.Status))
	}
	return "/proc/" + strconv.Itoa(r.State.Pid) + "/ns/" + name, nil
}

func (m *Manager) runtimeContainer(c *Container, rootfs, netns string, j joins, mounts []runtime.Mount) runtime.Container {
	r := c.snapshot()
	rc := runtime.Container{
		ID: c.ID, Hostname: c.hostname(), Config: c.Config, HostConfig: r.hostConfig(), Platform: c.Platform,
		Rootfs: rootfs, NetNS: netns, PIDNS: j.pid, IPCNS: j.ipc, ShmPath: j.shm, IDs: m.ids(c.HostConfig),
		CgroupPath: m.cgroupFor(c.ID, c.HostConfig), Mounts: mounts,
	}
	// A namespace that is not its own has an init already.
	if c.HostConfig.Init != nil && *c.HostConfig.Init && c.HostConfig.PidMode.IsPrivate() {
		rc.InitPath = m.InitPath
	}
	return rc
}

func (m *Manager) networkRequest(c *Container, join string) network.Request {
	c.mu.Lock()
	name, endpoints := c.Name, c.Endpoints
	c.mu.Unlock()
	return network.Request{
		ContainerID: c.ID, Name: name, Hostname: c.hostname(), Mode: networkMode(c),
		Settings: endpoints, Ports: published(c.Config, c.HostConfig), JoinPath: join,
		NetAdmin: runtime.Grants(c.HostConfig, "CAP_NET_ADMIN"), DNS: c.HostConfig.DNS, DNSOptions: c.HostConfig.DNSOptions,
	}
}

func networkMode(c *Container) container.NetworkMode {
	if c.Config.NetworkDisabled {
		return "none"
	}
	return c.HostConfig.NetworkMode
}

// published is what to publish: as wished, and with PublishAllPorts every exposed port on any free one.
func published(cfg *container.Config, hc *container.HostConfig) mobynet.PortMap {
	if !hc.PublishAllPorts {
		return hc.PortBindings
	}
	ports := maps.Clone(hc.PortBindings)
	if ports == nil {
		ports = mobynet.PortMap{}
	}
	for p := range cfg.ExposedPorts {
		if _, there := ports[p]; !there {
			ports[p] = []mobynet.PortBinding{{}}
		}
	}
	return ports
}
