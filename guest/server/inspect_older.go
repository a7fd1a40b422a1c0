package server

import (
	"maps"
	"net/netip"
	"slices"

	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// inspectBefore152 is a container as clients before 1.52 know it: with the default network's values once more in
// NetworkSettings, where many scripts read them.
type inspectBefore152 struct {
	*containertypes.InspectResponse
	Config          configBefore152
	NetworkSettings networkSettingsBefore152
}

type configBefore152 struct {
	*containertypes.Config
	MacAddress string `json:",omitempty"`
}

type networkSettingsBefore152 struct {
	Bridge                 string
	HairpinMode            bool
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	SecondaryIPAddresses   []string
	SecondaryIPv6Addresses []string
	EndpointID             string
	Gateway                string
	GlobalIPv6Address      string
	GlobalIPv6PrefixLen    int
	IPAddress              string
	IPPrefixLen            int
	IPv6Gateway            string
	MacAddress             string
	containertypes.NetworkSettings
}

// olderInspect is what a client of the version may be told. c is changed, but not what it points to. mac is the address that
// the user wished for the container.
func olderInspect(c *containertypes.InspectResponse, mac network.HardwareAddr, version string) any {
	if lessVersion(version, "1.45") {
		c.NetworkSettings.Networks = maps.Clone(c.NetworkSettings.Networks)
		for name, e := range c.NetworkSettings.Networks {
			if containertypes.NetworkMode(name).IsUserDefined() && e != nil {
				e = e.Copy()
				e.Aliases = withAliases(e.Aliases, c.ID[:12], c.Config.Hostname)
				c.NetworkSettings.Networks[name] = e
			}
		}
	}
	if lessVersion(version, "1.48") {
		c.ImageManifestDescriptor = nil
	}
	if !lessVersion(version, "1.52") {
		return c
	}
	out := inspectBefore152{InspectResponse: c, Config: configBefore152{Config: c.Config, MacAddress: mac.String()}}
	s := &out.NetworkSettings
	s.NetworkSettings = *c.NetworkSettings
	if e := c.NetworkSettings.Networks[network.NetworkBridge]; e != nil {
		s.EndpointID, s.MacAddress = e.EndpointID, e.MacAddress.String()
		s.Gateway, s.IPAddress, s.IPPrefixLen = text(e.Gateway), text(e.IPAddress), e.IPPrefixLen
		s.IPv6Gateway, s.GlobalIPv6Address, s.GlobalIPv6PrefixLen = text(e.IPv6Gateway), text(e.GlobalIPv6Address), e.GlobalIPv6PrefixLen
	}
	return out
}

// withAliases adds those that are not there yet, without changing the list that the engine has.
func withAliases(aliases []string, more ...string) []string {
	out := slices.Clone(aliases)
	for _, a := range more {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// olderList takes out of a list what a client of the version does not know. list is changed.
func olderList(list []containertypes.Summary, version string) []containertypes.Summary {
	for i := range list {
		c := &list[i]
		if lessVersion(version, "1.46") {
			c.HostConfig.Annotations = nil
		}
		if lessVersion(version, "1.48") {
			c.ImageManifestDescriptor = nil
		}
		if lessVersion(version, "1.52") {
			c.Health = nil
		}
	}
	return list
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
