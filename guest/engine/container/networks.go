package container

import (
	"context"
	"fmt"
	"maps"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	mobynet "github.com/moby/moby/api/types/network"

	"naru/guest/engine/network"
)

// setEndpoints records the networks that a new container is on, by name: the user's, else the one of its mode.
func (m *Manager) setEndpoints(c *Container, wished *mobynet.NetworkingConfig) {
	mode := networkMode(c)
	if mode.IsContainer() {
		return
	}
	c.Endpoints = map[string]*mobynet.EndpointSettings{}
	if wished != nil && !c.Config.NetworkDisabled {
		for ref, s := range wished.EndpointsConfig {
			c.Endpoints[m.Networks.Name(ref)] = orNothing(s)
		}
	}
	if len(c.Endpoints) == 0 {
		c.Endpoints[m.Networks.Name(string(mode))] = &mobynet.EndpointSettings{}
	}
}

func orNothing(s *mobynet.EndpointSettings) *mobynet.EndpointSettings {
	if s == nil {
		return &mobynet.EndpointSettings{}
	}
	return s
}

// ConnectNetwork puts a container on one more network: at once when it runs, else from its next start on.
func (m *Manager) ConnectNetwork(ctx context.Context, ref, net string, s *mobynet.EndpointSettings) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	r := c.snapshot()
	req := m.networkRequest(c, "")
	if r.State.running() {
		box, err := m.Networks.Connect(ctx, req, net, orNothing(s))
		if err != nil {
			return err
		}
		return m.moved(c, m.Networks.Name(net), orNothing(s), box)
	}
	if err := changeable(&r); err != nil {
		return err
	}
	name, s, err := m.Networks.Check(req, net, orNothing(s))
	if err != nil {
		return err
	}
	if _, there := r.Endpoints[name]; there {
		return nil // as Docker
	}
	return m.setEndpoint(c, name, orNothing(s))
}

// DisconnectNetwork takes a container off a network. With force a network that is gone is only forgotten.
func (m *Manager) DisconnectNetwork(ctx context.Context, ref, net string, force bool) error {
	c, err := m.find(ref)
	if err != nil {
		if force && errdefs.IsNotFound(err) {
			if _, err := m.Networks.Inspect(net); err != nil {
				return err
			}
			return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("endpoint %s not found", ref))
		}
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	r := c.snapshot()
	name := m.Networks.Name(net)
	_, missing := m.Networks.Inspect(net)
	if r.State.running() && !(missing != nil && force) {
		box, err := m.Networks.Disconnect(ctx, m.networkRequest(c, ""), net)
		if err != nil {
			return err
		}
		return m.moved(c, name, nil, box)
	}
	if err := changeable(&r); err != nil {
		return err
	}
	if _, there := r.Endpoints[name]; !there {
		return fmt.Errorf("container %s is not connected to the network %s", c.ID, name)
	}
	return m.setEndpoint(c, name, nil)
}

// adoptNetworks brings the records of running containers in line with what they have: an engine that was killed in the
// middle of a connect or disconnect had recorded only one of the two.
func (m *Manager) adoptNetworks(running []string) {
	for _, id := range running {
		c, err := m.find(id)
		box := m.Networks.Sandbox(id)
		if err != nil || box == nil {
			continue
		}
		c.mu.Lock()
		before := c.Networks
		same := maps.EqualFunc(c.Networks, box.Networks, func(a, b *mobynet.EndpointSettings) bool { return a.EndpointID == b.EndpointID })
		c.Networks, c.Ports = box.Networks, box.Ports
		if !same {
			c.Endpoints = map[string]*mobynet.EndpointSettings{}
			for name, s := range box.Wishes {
				c.Endpoints[name] = orNothing(s)
			}
		}
		c.mu.Unlock()
		if same {
			continue
		}
		if err := m.refreshFiles(c, before, box); err != nil {
			m.Log.Warn("network files of a running container", "id", id, "error", err)
		}
		if err := m.save(c, c.durable()); err != nil {
			m.Log.Warn("record a container's networks", "id", id, "error", err)
		}
	}
}

// changeable refuses a container that is on its way out.
func changeable(r *record) error {
	if r.State.Status == container.StateRemoving || r.State.Status == container.StateDead {
		return fmt.Errorf("Container %s is marked for removal and cannot be connected or disconnected to the network", r.ID) //nolint:staticcheck // Docker's words
	}
	return nil
}

// moved takes in what a running container has now: s are the wishes for the network that it came to, nil for one that
// it left.
func (m *Manager) moved(c *Container, name string, s *mobynet.EndpointSettings, box *network.Sandbox) error {
	c.mu.Lock()
	before := c.Networks
	c.Networks, c.Ports = box.Networks, box.Ports
	c.mu.Unlock()
	if err := m.refreshFiles(c, before, box); err != nil {
		m.Log.Warn("network files of a running container", "id", c.ID, "error", err)
	}
	return m.setEndpoint(c, name, s)
}

// setEndpoint records the wishes for one network, nil for none.
func (m *Manager) setEndpoint(c *Container, name string, s *mobynet.EndpointSettings) error {
	c.mu.Lock()
	endpoints := maps.Clone(c.Endpoints) // others may read the old one
	if endpoints == nil {
		endpoints = map[string]*mobynet.EndpointSettings{}
	}
	if s == nil {
		delete(endpoints, name)
	} else {
		endpoints[name] = s
	}
	c.Endpoints = endpoints
	c.mu.Unlock()
	return m.save(c, c.durable())
}
