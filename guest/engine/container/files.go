package container

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	mobynet "github.com/moby/moby/api/types/network"

	"naru/guest/engine/network"
	"naru/guest/runtime"
)

// networkFiles are what Docker mounts into each container, by their names in the container's folder.
var networkFiles = []string{"resolv.conf", "hostname", "hosts"}

// writeFiles writes the files that tell a container who it is, and returns their mounts. Nothing is synced: they
// are written anew at each start.
func (m *Manager) writeFiles(c *Container, box *network.Sandbox, mounts []runtime.Mount) ([]runtime.Mount, error) {
	dir := c.dir
	if mode := c.HostConfig.NetworkMode; mode.IsContainer() {
		other, err := m.find(mode.ConnectedContainer())
		if err != nil {
			return nil, err
		}
		dir = other.dir // one network, one set of names
	} else if err := m.fillFiles(c, box); err != nil {
		return nil, err
	}
	for _, name := range networkFiles {
		target := "/etc/" + name
		if slices.ContainsFunc(mounts, func(mt runtime.Mount) bool { return mt.Target == target }) {
			continue // the user's own
		}
		mounts = append(mounts, runtime.Mount{
			Type: "bind", Source: filepath.Join(dir, name), Target: target, ReadOnly: c.HostConfig.ReadonlyRootfs,
		})
	}
	return mounts, nil
}

func (m *Manager) fillFiles(c *Container, box *network.Sandbox) error {
	hc := c.HostConfig
	resolv, err := c.resolvConf(box)
	if err != nil {
		return fmt.Errorf("resolv.conf: %w", err)
	}
	linked, err := m.linkedHosts(c)
	if err != nil {
		return err
	}
	hosts, err := network.Hosts(hc.NetworkMode, box.Addrs, box.Gateway, c.hostNames(), hc.ExtraHosts, linked...)
	if err != nil {
		return fmt.Errorf("hosts: %w", err)
	}
	contents := map[string][]byte{"resolv.conf": resolv, "hosts": hosts, "hostname": []byte(c.hostname() + "\n")}
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(c.dir, name), content, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// resolvConf is the content of the container's resolv.conf.
func (r *record) resolvConf(box *network.Sandbox) ([]byte, error) {
	hc := r.HostConfig
	if box.NameServer.IsValid() {
		return network.EmbeddedResolvConf(box.NameServer, hc.DNSSearch, hc.DNSOptions)
	}
	var dns []string
	for _, a := range hc.DNS {
		dns = append(dns, a.String())
	}
	return network.ResolvConf(hc.NetworkMode, dns, hc.DNSSearch, hc.DNSOptions)
}

// refreshResolv gives a running container that has come to its first user-defined network that one's name server, unless
// the container has written the file itself.
func (m *Manager) refreshResolv(c *Container, box *network.Sandbox) error {
	if !box.NameServer.IsValid() {
		return nil
	}
	path := filepath.Join(c.dir, "resolv.conf")
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	was := *box
	was.NameServer = netip.Addr{}
	before, err := c.resolvConf(&was)
	if err != nil || !bytes.Equal(content, before) {
		return err
	}
	next, err := c.resolvConf(box)
	if err != nil {
		return err
	}
	return os.WriteFile(path, next, 0o644) // it is a mount in the container: the file itself must stay
}

// refreshFiles brings the hosts file of a running container in line with the networks that it has come to or left: its
// own lines come and go, and what the container has written there stays.
func (m *Manager) refreshFiles(c *Container, before map[string]*mobynet.EndpointSettings, box *network.Sandbox) error {
	if err := m.refreshResolv(c, box); err != nil {
		return err
	}
	had, has := addresses(before), addresses(box.Networks)
	path := filepath.Join(c.dir, "hosts")
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	next := network.EditHosts(content, c.hostNames(), has, had)
	if bytes.Equal(next, content) {
		return nil
	}
	return os.WriteFile(path, next, 0o644) // it is a mount in the container: the file itself must stay
}

func addresses(list map[string]*mobynet.EndpointSettings) (out []netip.Addr) {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		for _, a := range []netip.Addr{list[name].IPAddress, list[name].GlobalIPv6Address} {
			if a.IsValid() {
				out = append(out, a)
			}
		}
	}
	return out
}

// hostNames are the container's own in /etc/hosts: with the domain first, where there is one.
func (r *record) hostNames() []string {
	name := r.hostname()
	if r.Config.Domainname != "" {
		return []string{name + "." + r.Config.Domainname, name}
	}
	if short, _, dotted := strings.Cut(name, "."); dotted {
		return []string{name, short}
	}
	return []string{name}
}
