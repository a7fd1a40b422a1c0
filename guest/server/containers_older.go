package server

import (
	"net/netip"

	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// inspectBefore152 is a container as clients before 1.52 know it: with the default network's values once more in
// NetworkSettings, where many scripts read them.
type inspectBefore152 struct {
	*containertypes.InspectResponse
	NetworkSettings networkSettingsBefore152
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

func olderInspect(c *containertypes.InspectResponse) inspectBefore152 {
	out := inspectBefore152{InspectResponse: c}
	s := &out.NetworkSettings
	s.NetworkSettings = *c.NetworkSettings
	if e := c.NetworkSettings.Networks[network.NetworkBridge]; e != nil {
		s.EndpointID, s.MacAddress = e.EndpointID, e.MacAddress.String()
		s.Gateway, s.IPAddress, s.IPPrefixLen = text(e.Gateway), text(e.IPAddress), e.IPPrefixLen
		s.IPv6Gateway, s.GlobalIPv6Address, s.GlobalIPv6PrefixLen = text(e.IPv6Gateway), text(e.GlobalIPv6Address), e.GlobalIPv6PrefixLen
	}
	return out
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
