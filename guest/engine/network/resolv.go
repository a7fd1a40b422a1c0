package network

import (
	"net/netip"

	"github.com/moby/moby/api/types/container"
)

// ResolvConf is the content of a container's /etc/resolv.conf: the host's as it is in host mode, else with its
// loopback name servers left out, each part replaced by what the user gave.
func ResolvConf(mode container.NetworkMode, dns, search, options []string) ([]byte, error) {
	return nil, errNotYet
}

// Hosts is the content of a container's /etc/hosts. extra are "name:address" or "name=address", where the address
// may be `host-gateway`; names are the container's own, for addr. In host mode the host's own file is the base.
func Hosts(mode container.NetworkMode, addr, gateway netip.Addr, names, extra []string) ([]byte, error) {
	return nil, errNotYet
}
