package container

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	mobynet "github.com/moby/moby/api/types/network"

	"naru/guest/engine/network"
)

// link is one --link of a container on the default bridge, where no name server answers: the other one is in its hosts
// file. On user-defined networks links are names that the name server knows.
type link struct{ ID, Alias string }

// warnLinks is Docker's.
const warnLinks = "Links on the default bridge network are deprecated and will be removed in a future release. Use a custom network instead."

// resolveLinks finds the containers that a new one is linked to.
func (m *Manager) resolveLinks(c *Container) (warnings []string, err error) {
	if len(c.HostConfig.Links) == 0 || !c.HostConfig.NetworkMode.IsBridge() {
		return nil, nil
	}
	for _, l := range c.HostConfig.Links {
		name, alias := network.ParseLink(l)
		other, err := m.find(name)
		for err == nil && other.HostConfig.NetworkMode.IsContainer() {
			name = other.HostConfig.NetworkMode.ConnectedContainer()
			other, err = m.find(name)
		}
		if errdefs.IsNotFound(err) {
			return nil, invalid("could not get container for %s: %s", name, err)
		}
		if err != nil {
			return nil, err
		}
		if other.HostConfig.NetworkMode.IsHost() {
			return nil, invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
		}
		c.Links = append(c.Links, link{other.ID, alias})
	}
	return []string{warnLinks}, nil
}

// linkedHosts are the lines of a hosts file for the containers that c is linked to. They must run on the default bridge.
func (m *Manager) linkedHosts(c *Container) ([]string, error) {
	var lines []string
	for _, l := range c.snapshot().Links {
		other, err := m.find(l.ID)
		if err != nil {
			continue // it was removed, and its links with it
		}
		r := other.snapshot()
		if !r.State.running() {
			return nil, fmt.Errorf("Cannot link to a non running container: /%s AS /%s/%s", r.Name, c.snapshot().Name, l.Alias) //nolint:staticcheck // Docker's words
		}
		place := r.Networks[mobynet.NetworkBridge]
		if place == nil {
			return nil, fmt.Errorf("Cannot link to /%s, as it does not belong to the default network", r.Name) //nolint:staticcheck // Docker's words
		}
		lines = append(lines, place.IPAddress.String()+"\t"+l.names(&r))
	}
	return lines, nil
}

// names are what the linked container is called in the hosts file.
func (l link) names(other *record) string {
	names := l.Alias + " " + other.hostname()
	if l.Alias != other.Name {
		names += " " + other.Name
	}
	return names
}

// updateLinks writes the address that a container has now into the hosts files of those that are linked to it and run.
func (m *Manager) updateLinks(c *Container) {
	r := c.snapshot()
	place := r.Networks[mobynet.NetworkBridge]
	if place == nil || !place.IPAddress.IsValid() {
		return
	}
	for _, other := range m.all() {
		o := other.snapshot()
		i := slices.IndexFunc(o.Links, func(l link) bool { return l.ID == c.ID })
		if i < 0 || !o.State.running() {
			continue
		}
		if err := editLink(filepath.Join(other.dir, "hosts"), place.IPAddress.String(), o.Links[i].Alias); err != nil {
			m.Log.Warn("hosts file of a linked container", "id", other.ID, "error", err)
		}
	}
}

// editLink replaces the address of the lines that start with a name.
func editLink(path, addr, alias string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	re := regexp.MustCompile(`(?m)^\S+(\t` + regexp.QuoteMeta(alias) + `(\s|$))`)
	return os.WriteFile(path, re.ReplaceAll(old, []byte(addr+"$1")), 0o644) // it is a mount in the container: the file itself must stay
}

// removeLink takes away a link by its name, "container/alias"; what it leads to stays.
func (m *Manager) removeLink(ref string) error {
	parent, alias, isLink := strings.Cut(strings.TrimPrefix(ref, "/"), "/")
	c, err := m.find(parent)
	if err != nil {
		return errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	if !isLink {
		return errdefs.ErrInternal.WithMessage("Conflict, cannot remove the default link name of the container")
	}
	c.op.Lock()
	defer c.op.Unlock()
	r := c.snapshot()
	left := slices.DeleteFunc(slices.Clone(r.Links), func(l link) bool { return l.Alias == alias })
	if len(left) == len(r.Links) {
		return errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	c.setLinks(left)
	if err := m.save(c, c.durable()); err != nil {
		c.setLinks(r.Links)
		return err
	}
	if r.State.running() {
		if err := dropLink(filepath.Join(c.dir, "hosts"), alias); err != nil {
			m.Log.Warn("hosts file of a linked container", "id", c.ID, "error", err)
		}
	}
	return nil
}

func (c *Container) setLinks(links []link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Links = links
}

// dropLink removes the lines that start with a name.
func dropLink(path, alias string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	re := regexp.MustCompile(`(?m)^\S+\t` + regexp.QuoteMeta(alias) + `(\s.*)?\n`)
	return os.WriteFile(path, re.ReplaceAll(old, nil), 0o644)
}

// shownLinks are a container's links as Docker's inspect has them: "/other:/this/alias".
func (m *Manager) shownLinks(r *record) (list []string) {
	for _, l := range r.Links {
		if other, err := m.find(l.ID); err == nil {
			list = append(list, "/"+other.snapshot().Name+":/"+r.Name+"/"+l.Alias)
		}
	}
	return list
}

// withLinks is the host configuration with its links as inspect shows them.
func (m *Manager) withLinks(hc *container.HostConfig, r *record) *container.HostConfig {
	out := *hc
	out.Links = m.shownLinks(r)
	return &out
}
