package runflags

import (
	"errors"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

// Endpoint are the flags of `network connect`: what is said of a container's place on a network.
type Endpoint struct {
	flags      endpointFlags
	driverOpts list
	priority   int
}

// AddTo adds the flags.
func (e *Endpoint) AddTo(f *pflag.FlagSet) {
	f.StringVar(&e.flags.ip, "ip", "", `IPv4 address (e.g., "172.30.100.104")`)
	f.StringVar(&e.flags.ip6, "ip6", "", `IPv6 address (e.g., "2001:db8::33")`)
	e.flags.link.check = checkLink
	f.Var(&e.flags.link, "link", "Add link to another container")
	f.Var(&e.flags.aliases, "alias", "Add network-scoped alias for the container")
	f.Var(&e.flags.linkLocal, "link-local-ip", "Add a link-local address for the container")
	f.Var(&e.driverOpts, "driver-opt", "driver options for the network")
	f.IntVar(&e.priority, "gw-priority", 0, "Highest gw-priority provides the default gateway. Accepts positive and negative values.")
}

// Settings is what the flags say.
func (e *Endpoint) Settings() (*network.EndpointSettings, error) {
	s := &network.EndpointSettings{Links: e.flags.link.values, GwPriority: e.priority}
	if err := e.flags.apply(s); err != nil {
		return nil, err
	}
	for _, o := range e.driverOpts.values {
		k, v, ok := strings.Cut(o, "=")
		if k = strings.TrimSpace(k); !ok || k == "" {
			return nil, errors.New("invalid key/value pair format in driver options")
		}
		setKey(&s.DriverOpts, k, strings.TrimSpace(v))
	}
	return s, nil
}
