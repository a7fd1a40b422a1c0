package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

func forbidden(format string, args ...any) error {
	return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(format, args...))
}

// Create makes a network and returns its ID. What it refuses it refuses in Docker's words.
func (m *Manager) Create(_ context.Context, req network.CreateRequest) (string, error) {
	n, err := m.plan(req)
	if err != nil {
		return "", err
	}
	m.setup.Lock()
	defer m.setup.Unlock()
	m.mu.Lock()
	switch {
	case m.closed || !m.restored:
		err = errClosed
	case m.byName(n.Name) != nil:
		err = errdefs.ErrConflict.WithMessage(fmt.Sprintf("network with name %s already exists", n.Name))
	}
	m.mu.Unlock()
	if err == nil {
		err = m.applyConfigFrom(n, req)
	}
	if err == nil {
		err = n.checkGatewayModes()
	}
	if err == nil {
		err = m.assignSubnets(n, req.IPAM)
	}
	if err != nil {
		return "", err
	}
	if err := m.make(n); err != nil {
		return "", err
	}
	m.mu.Lock()
	m.nets[n.ID] = n
	m.mu.Unlock()
	m.startPool(n)
	m.emit(events.ActionCreate, n, "")
	return n.ID, nil
}

// make brings a network into being: an engine that is killed in between is followed by one that clears it away.
func (m *Manager) make(n *netEntry) error {
	claim := func(*netEntry) error { return nil }
	switch {
	case n.isLan():
		claim = m.claimParent
	case n.Driver == driverBridge && !n.ConfigOnly:
		claim = m.claimDevice
	}
	if err := claim(n); err != nil {
		return err
	}
	n.Unfinished = true
	if err := m.saveNetwork(n, false); err != nil {
		return err
	}
	err := m.realize(n)
	if err == nil {
		n.Unfinished = false
		err = m.saveNetwork(n, true)
	}
	if err != nil {
		return errors.Join(err, m.unmake(n))
	}
	return nil
}

// realize makes what a network is in the kernel.
func (m *Manager) realize(n *netEntry) error {
	switch {
	case n.ConfigOnly:
		return nil
	case n.isLan():
		return m.bringUpLan(n)
	case n.Driver == driverBridge:
		return m.bringUp(n)
	}
	return nil
}

// unmake takes it all back, the record last.
func (m *Manager) unmake(n *netEntry) error {
	var err error
	if n.Driver == driverBridge && !n.ConfigOnly {
		err = errors.Join(m.table.removeNetwork(n), m.guard.drop(n), removeShards(n))
		if !n.Borrowed {
			err = errors.Join(err, removeBridge(n.Device))
		}
	}
	if n.isLan() {
		err = m.removeParent(n)
	}
	if err != nil {
		return err
	}
	return m.opts.Store.Delete(kindNetwork, n.ID, true)
}

// plan checks what can be checked without looking at the other networks.
func (m *Manager) plan(req network.CreateRequest) (*netEntry, error) {
	if isPredefined(req.Name) {
		return nil, forbidden("operation is not permitted on predefined %s network ", req.Name)
	}
	if strings.TrimSpace(req.Name) == "" {
		return nil, invalid("invalid name: name is empty")
	}
	if strings.ContainsAny(req.Name, "/\\\n\r\x00") || len(req.Name) > 255 {
		return nil, invalid("invalid network name: %q: it is part of paths and of host names", req.Name)
	}
	n := &netEntry{netRecord: netRecord{
		ID: newID(), Name: req.Name, Driver: req.Driver, Created: time.Now(), Internal: req.Internal, Attachable: req.Attachable,
		ConfigOnly: req.ConfigOnly, Options: maps.Clone(req.Options), Labels: maps.Clone(req.Labels),
	}}
	if n.Driver == "" || n.Driver == network.NetworkDefault {
		n.Driver = driverBridge
	}
	if err := n.setFamilies(req); err != nil {
		return nil, err
	}
	if err := checkScope(req); err != nil {
		return nil, err
	}
	if err := checkDriver(n); err != nil {
		return nil, err
	}
	if req.IPAM != nil {
		if err := checkIPAM(req.IPAM, n.IPv6); err != nil {
			return nil, err
		}
		n.IPAMOptions = maps.Clone(req.IPAM.Options)
	}
	if n.ConfigOnly {
		n.Driver = driverNull
	}
	return n, n.parseOptions()
}

// parseOptions reads the driver's options.
func (n *netEntry) parseOptions() (err error) {
	if n.isLan() {
		n.bridgeOptions, _ = parseBridgeOptions(nil)
		n.lan, err = parseLanOptions(n.Driver, n.Options)
		return err
	}
	n.bridgeOptions, err = parseBridgeOptions(n.Options)
	return err
}

// setFamilies reads which addresses the containers get.
func (n *netEntry) setFamilies(req network.CreateRequest) error {
	for _, f := range []struct {
		wish   *bool
		option string
		set    func(bool)
	}{
		{req.EnableIPv4, optIPv4, func(on bool) { n.NoIPv4 = !on }},
		{req.EnableIPv6, optIPv6, func(on bool) { n.IPv6 = on }},
	} {
		if f.wish != nil {
			f.set(*f.wish)
			delete(n.Options, f.option)
		} else if v, ok := n.Options[f.option]; ok {
			on, err := strconv.ParseBool(v)
			if err != nil {
				return invalid("driver-opt %q is not a valid bool", f.option)
			}
			f.set(on)
		}
	}
	return nil
}

func checkScope(req network.CreateRequest) error {
	switch {
	case req.ConfigOnly && (req.Ingress || req.Internal || req.Attachable || req.Scope != ""):
		return forbidden("configuration network can only contain network " +
			"specific fields. Network operator fields like " +
			"[ ingress | internal | attachable | scope ] are not supported.")
	case req.ConfigOnly && req.ConfigFrom != nil && req.ConfigFrom.Network != "":
		return forbidden("a configuration network cannot depend on another configuration network")
	case req.Ingress:
		return forbidden("Ingress network can only be global scope network")
	case req.Scope == "swarm":
		return forbidden("cannot create a swarm scoped network when swarm is not active")
	case req.Scope != "" && req.Scope != "local":
		return invalid("invalid scope: %s", req.Scope)
	}
	return nil
}

func checkDriver(n *netEntry) error {
	switch n.Driver {
	case driverBridge, driverMacvlan, driverIPvlan:
		if n.NoIPv4 && !n.IPv6 && !n.ConfigOnly {
			return invalid("IPv4 or IPv6 must be enabled")
		}
		return nil
	case driverHost, driverNull:
		return forbidden("only one instance of %q network is allowed", n.Driver)
	case "overlay":
		return forbidden(`This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
	}
	return noPlugin(n.Driver)
}

func noPlugin(name string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", name))
}

// bullets joins messages as Docker does.
func bullets(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	return "* " + strings.Join(list, "\n* ")
}

// checkIPAM refuses subnets, ranges, gateways and auxiliary addresses that do not fit each other.
func checkIPAM(ipam *network.IPAM, v6 bool) error {
	if ipam.Driver != "" && ipam.Driver != "default" {
		return noPlugin(ipam.Driver)
	}
	var errs []string
	for _, c := range ipam.Config {
		if !c.Subnet.IsValid() {
			if c.IPRange.IsValid() || c.Gateway.IsValid() || len(c.AuxAddress) > 0 {
				return invalid("invalid network config:\na subnet is needed with an ip-range, a gateway or an auxiliary address")
			}
			continue
		}
		if c.Subnet.Addr().Is6() && !v6 {
			continue // Docker takes no notice of it either
		}
		errs = append(errs, checkPool(c)...)
	}
	if len(errs) > 0 {
		return invalid("invalid network config:\n%s", bullets(errs))
	}
	return nil
}

func checkPool(c network.IPAMConfig) (errs []string) {
	say := func(format string, args ...any) { errs = append(errs, fmt.Sprintf(format, args...)) }
	family := 4
	if c.Subnet.Addr().Is6() {
		family = 6
	}
	if c.Subnet != c.Subnet.Masked() {
		say("invalid subnet %s: it should be %s", c.Subnet, c.Subnet.Masked())
	}
	if r := c.IPRange; r.IsValid() {
		switch {
		case r.Addr().Is6() != (family == 6):
			say("invalid ip-range %s: parent subnet is an IPv%d block", r, family)
		default:
			if r.Bits() < c.Subnet.Bits() {
				say("invalid ip-range %s: CIDR block is bigger than its parent subnet %s", r, c.Subnet)
			}
			if r != r.Masked() {
				say("invalid ip-range %s: it should be %s", r, r.Masked())
			}
			if !c.Subnet.Overlaps(r) {
				say("invalid ip-range %s: parent subnet %s doesn't contain ip-range", r, c.Subnet)
			}
		}
	}
	inside := func(what string, a netip.Addr) {
		switch {
		case !a.IsValid():
		case a.Is6() != (family == 6):
			say("%s: parent subnet is an IPv%d block", what, family)
		case !c.Subnet.Contains(a):
			say("%s: parent subnet %s doesn't contain this address", what, c.Subnet)
		}
	}
	inside(fmt.Sprintf("invalid gateway %s", c.Gateway), c.Gateway)
	for name, a := range c.AuxAddress {
		inside(fmt.Sprintf("invalid auxiliary address %s", name), a)
	}
	return errs
}

// applyConfigFrom copies a configuration network's settings into n.
func (m *Manager) applyConfigFrom(n *netEntry, req network.CreateRequest) error {
	if req.ConfigFrom == nil || req.ConfigFrom.Network == "" {
		return nil
	}
	if n.IPv6 || n.NoIPv4 || len(n.Labels)+len(n.Options) > 0 || req.IPAM != nil && len(req.IPAM.Config)+len(req.IPAM.Options) > 0 {
		return forbidden("user-specified configurations are not supported if the network depends on a configuration network")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	from, err := m.find(req.ConfigFrom.Network)
	if err != nil || !from.ConfigOnly {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("configuration network %q does not exist", req.ConfigFrom.Network))
	}
	n.ConfigFrom, n.IPv6, n.NoIPv4, n.bridgeOptions = from.Name, from.IPv6, from.NoIPv4, from.bridgeOptions
	n.Options, n.Labels, n.IPAMOptions = maps.Clone(from.Options), maps.Clone(from.Labels), maps.Clone(from.IPAMOptions)
	for to, s := range map[**subnet]*subnet{&n.V4: from.V4, &n.V6: from.V6} {
		if s != nil {
			copied := *s
			*to = &copied
		}
	}
	return nil
}
