package server

import (
	"bytes"
	"slices"
	"strings"

	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
)

// olderCreate are the fields of a create request that the API has dropped.
type olderCreate struct {
	MacAddress network.HardwareAddr // of the container, until 1.51: now at its endpoints
	HostConfig struct {
		Capabilities []string // in 1.40 only: all the capabilities
	}
}

// adaptCreate gives a request the sense that it had in the API version that it was made for. The warnings are Docker's.
func adaptCreate(version string, req *containertypes.CreateRequest, old *olderCreate) (warnings []string, err error) {
	before := func(v string) bool { return lessVersion(version, v) }
	hc, nets := req.HostConfig, req.NetworkingConfig
	defaultNetwork(hc, nets)
	dropNewer(before, req)
	for _, check := range []func() error{
		func() error { return checkMountVersions(before, hc.Mounts) },
		func() error {
			if len(old.HostConfig.Capabilities) > 0 && !before("1.40") && before("1.41") {
				return invalidRequest("the HostConfig.Capabilities field is not supported by this daemon; use CapAdd and CapDrop to set capabilities")
			}
			return nil
		},
		func() error {
			if names := endpointNames(nets); before("1.44") && len(names) > 1 {
				return invalidRequest("Container cannot be created with multiple network endpoints: %s", strings.Join(names, ", "))
			}
			return nil
		},
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	if hc.VolumeDriver != "" && !before("1.48") && slices.ContainsFunc(hc.Mounts, usesDefaultDriver) {
		warnings = append(warnings, "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead")
	}
	warning, err := moveMAC(before, hc, nets, old.MacAddress)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		warnings = append(warnings, warning)
	}
	if warning := fillPorts(hc); warning != "" && !before("1.52") {
		warnings = append(warnings, warning)
	}
	return warnings, nil
}

// defaultNetwork names the network that "default" stands for.
func defaultNetwork(hc *containertypes.HostConfig, nets *network.NetworkingConfig) {
	if hc.NetworkMode != "" && !hc.NetworkMode.IsDefault() {
		return
	}
	hc.NetworkMode = network.NetworkBridge
	if e, ok := nets.EndpointsConfig[network.NetworkDefault]; ok {
		nets.EndpointsConfig[network.NetworkBridge] = e
		delete(nets.EndpointsConfig, network.NetworkDefault)
	}
}

// dropNewer takes out what the version did not know yet, and sets what it took for granted.
func dropNewer(before func(string) bool, req *containertypes.CreateRequest) {
	hc := req.HostConfig
	for _, m := range hc.Mounts {
		if b := m.BindOptions; b != nil {
			b.NonRecursive = b.NonRecursive && !before("1.40")
			b.CreateMountpoint = b.CreateMountpoint && !before("1.42")
		}
	}
	if before("1.40") && hc.IpcMode.IsEmpty() {
		hc.IpcMode = containertypes.IPCModeShareable
	}
	if before("1.42") {
		hc.ConsoleSize = [2]uint{}
	}
	if before("1.43") {
		hc.Annotations = nil
	}
	if before("1.44") && req.Healthcheck != nil {
		req.Healthcheck.StartInterval = 0
	}
	if before("1.48") {
		for _, e := range req.NetworkingConfig.EndpointsConfig {
			if e != nil {
				e.GwPriority = 0
			}
		}
	}
	if hc.PidsLimit != nil && *hc.PidsLimit <= 0 {
		hc.PidsLimit = nil // each of them has always meant no limit
	}
}

// checkMountVersions refuses what a client of that version cannot have meant.
func checkMountVersions(before func(string) bool, mounts []mount.Mount) error {
	for _, m := range mounts {
		switch {
		case !before("1.42") && m.VolumeOptions != nil && m.Type != mount.TypeVolume:
			return invalidRequest("VolumeOptions must not be specified on mount type %q", m.Type)
		case !before("1.42") && m.BindOptions != nil && m.Type != mount.TypeBind:
			return invalidRequest("BindOptions must not be specified on mount type %q", m.Type)
		case !before("1.42") && m.TmpfsOptions != nil && m.Type != mount.TypeTmpfs:
			return invalidRequest("TmpfsOptions must not be specified on mount type %q", m.Type)
		case before("1.44") && m.Type == mount.TypeBind && m.BindOptions != nil && m.BindOptions.ReadOnlyForceRecursive:
			return invalidRequest("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
		case before("1.45") && m.VolumeOptions != nil && m.VolumeOptions.Subpath != "":
			return invalidRequest("VolumeOptions.Subpath needs API v1.45 or newer")
		case before("1.48") && m.Type == mount.TypeImage:
			return invalidRequest(`Mount type "Image" needs API v1.48 or newer`)
		}
	}
	return nil
}

// usesDefaultDriver tells whether a mount is a volume that names no driver.
func usesDefaultDriver(m mount.Mount) bool {
	o := m.VolumeOptions
	return m.Type == mount.TypeVolume && (o == nil || o.DriverConfig == nil || o.DriverConfig.Name == "")
}

func endpointNames(nets *network.NetworkingConfig) []string {
	var names []string
	for name := range nets.EndpointsConfig {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// moveMAC puts an address given for the container where it is now: at its first network.
func moveMAC(before func(string) bool, hc *containertypes.HostConfig, nets *network.NetworkingConfig, mac network.HardwareAddr) (warning string, err error) {
	onNetwork := hc.NetworkMode.IsBridge() || hc.NetworkMode.IsUserDefined()
	switch {
	case before("1.44") && len(mac) == 0: // an endpoint had none then
		for _, e := range nets.EndpointsConfig {
			if e != nil {
				e.MacAddress = nil
			}
		}
		return "", nil
	case len(mac) == 0, !before("1.52"):
		return "", nil
	case before("1.44") && !onNetwork:
		return "", invalidRequest("conflicting options: mac-address and the network mode")
	}
	if onNetwork {
		e, err := endpointOfMode(before, hc, nets)
		if err != nil {
			return "", err
		}
		if !before("1.44") && len(e.MacAddress) > 0 && !bytes.Equal(e.MacAddress, mac) {
			return "", invalidRequest("the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty")
		}
		e.MacAddress = mac
	}
	if before("1.44") {
		return "", nil
	}
	return "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.", nil
}

// endpointOfMode is the endpoint of the container's first network, made where none is named.
func endpointOfMode(before func(string) bool, hc *containertypes.HostConfig, nets *network.NetworkingConfig) (*network.EndpointSettings, error) {
	name := hc.NetworkMode.NetworkName()
	if before("1.44") && len(nets.EndpointsConfig) == 1 { // whatever it is called
		name = endpointNames(nets)[0]
	}
	e, ok := nets.EndpointsConfig[name]
	if !ok && len(nets.EndpointsConfig) > 0 {
		return nil, invalidRequest("unable to migrate container-wide MAC address to a specific network: " +
			"HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks")
	}
	if e == nil {
		e = &network.EndpointSettings{}
		nets.EndpointsConfig[name] = e
	}
	return e, nil
}

// fillPorts: a port that is bound to nothing is bound to any port of any address. The warning came with 1.52.
func fillPorts(hc *containertypes.HostConfig) (warning string) {
	var empty []string
	for port, bindings := range hc.PortBindings {
		if len(bindings) == 0 {
			empty = append(empty, port.String())
			hc.PortBindings[port] = []network.PortBinding{{}}
		}
	}
	if len(empty) == 0 {
		return ""
	}
	slices.Sort(empty)
	return "Following container port(s) have an empty list of port-bindings: " + strings.Join(empty, ", ") +
		". Such bindings will be discarded in a future version."
}
