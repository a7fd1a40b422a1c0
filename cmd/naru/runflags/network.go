package runflags

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// networks is the flag --network: a name, or name=…,alias=…,ip=….
type networks struct{ list []netOptions }

// netOptions is one network with what the user said of it.
type netOptions struct {
	name     string
	endpoint network.EndpointSettings
	touched  bool // something beside the name was said
}

func (n *networks) String() string { return "" }
func (n *networks) Type() string   { return "network" }

func (n *networks) Set(value string) error {
	o, err := parseNetwork(value)
	if err != nil {
		return err
	}
	n.list = append(n.list, o)
	return nil
}

func parseNetwork(value string) (netOptions, error) {
	if !strings.Contains(value, "=") {
		return netOptions{name: value}, nil
	}
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return netOptions{}, err
	}
	var o netOptions
	for _, field := range fields {
		key, v, ok := strings.Cut(field, "=")
		if !ok {
			return o, fmt.Errorf("invalid field: %s", field)
		}
		key = strings.ToLower(strings.TrimSpace(key))
		if key == "name" {
			o.name = v
			continue
		}
		o.touched = true
		if err := o.set(key, strings.TrimSpace(v), field); err != nil {
			return o, err
		}
	}
	if o.name == "" {
		return o, errors.New("network name/id is not specified")
	}
	return o, nil
}

func (o *netOptions) set(key, value, field string) (err error) {
	e := &o.endpoint
	switch key {
	case "alias":
		e.Aliases = append(e.Aliases, value)
	case "ip":
		ipam(e).IPv4Address, err = parseAddr(value)
	case "ip6":
		ipam(e).IPv6Address, err = parseAddr(value)
	case "link-local-ip":
		var ip netip.Addr
		ip, err = parseAddr(value)
		ipam(e).LinkLocalIPs = append(ipam(e).LinkLocalIPs, ip)
	case "mac-address":
		e.MacAddress, err = parseMAC(value)
	case "driver-opt":
		k, v, ok := strings.Cut(value, "=")
		if !ok {
			return fmt.Errorf("invalid key value pair format in driver options")
		}
		setKey(&e.DriverOpts, k, v)
	case "gw-priority":
		e.GwPriority, err = strconv.Atoi(value)
	default:
		return fmt.Errorf("invalid field key %s", key)
	}
	if err != nil {
		return fmt.Errorf("invalid field value for %s: %w", field, err)
	}
	return nil
}

func ipam(e *network.EndpointSettings) *network.EndpointIPAMConfig {
	if e.IPAMConfig == nil {
		e.IPAMConfig = &network.EndpointIPAMConfig{}
	}
	return e.IPAMConfig
}

func parseAddr(s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return ip, fmt.Errorf("IP address is not correctly formatted: %s", s)
	}
	return ip, nil
}

func parseMAC(s string) (network.HardwareAddr, error) {
	mac, err := net.ParseMAC(strings.TrimSpace(s))
	if err != nil {
		return nil, fmt.Errorf("%s is not a valid mac address", s)
	}
	return network.HardwareAddr(mac), nil
}

// endpointFlags are the older flags that say something of the first network.
type endpointFlags struct {
	ip, ip6, mac  string
	linkLocal     list
	aliases, link list
}

func (f *endpointFlags) any() bool {
	return f.ip != "" || f.ip6 != "" || f.mac != "" || len(f.linkLocal.values)+len(f.aliases.values) > 0
}

// resolve returns the mode and the endpoints: those of user-defined networks, and any with options.
func (n *networks) resolve(f *endpointFlags) (container.NetworkMode, *network.NetworkingConfig, error) {
	all := n.list
	if len(all) == 0 {
		all = []netOptions{{name: network.NetworkDefault}}
	}
	if f.any() {
		all[0].touched = true
		if err := f.apply(&all[0].endpoint); err != nil {
			return "", nil, err
		}
	}
	config := &network.NetworkingConfig{}
	for _, o := range all {
		mode := container.NetworkMode(o.name)
		if mode.IsContainer() && o.touched {
			return "", nil, fmt.Errorf("conflicting options: network settings and %s", o.name)
		}
		if !o.touched && !isUserDefined(mode) && len(all) == 1 {
			continue
		}
		if config.EndpointsConfig == nil {
			config.EndpointsConfig = map[string]*network.EndpointSettings{}
		}
		if config.EndpointsConfig[o.name] != nil {
			return "", nil, fmt.Errorf("network %q is specified multiple times", o.name)
		}
		if isUserDefined(mode) {
			o.endpoint.Links = f.link.values
		}
		config.EndpointsConfig[o.name] = &o.endpoint
	}
	return container.NetworkMode(all[0].name), config, nil
}

// isUserDefined is NetworkMode's, which looks at the system of the client; the engine's is always Linux.
func isUserDefined(m container.NetworkMode) bool {
	return !m.IsContainer() && !slices.Contains([]string{
		"", network.NetworkDefault, network.NetworkBridge, network.NetworkHost, network.NetworkNone,
	}, string(m))
}

func (f *endpointFlags) apply(e *network.EndpointSettings) (err error) {
	if f.ip != "" {
		if ipam(e).IPv4Address, err = parseAddr(f.ip); err != nil {
			return err
		}
	}
	if f.ip6 != "" {
		if ipam(e).IPv6Address, err = parseAddr(f.ip6); err != nil {
			return err
		}
	}
	for _, s := range f.linkLocal.values {
		ip, err := parseAddr(s)
		if err != nil {
			return err
		}
		ipam(e).LinkLocalIPs = append(ipam(e).LinkLocalIPs, ip)
	}
	if f.mac != "" {
		if e.MacAddress, err = parseMAC(f.mac); err != nil {
			return err
		}
	}
	e.Aliases = append(e.Aliases, f.aliases.values...)
	return nil
}

// hostGateway stands for the host's own address in --add-host.
const hostGateway = "host-gateway"

// checkHost reads name:ip or name=ip and returns it with a colon.
func checkHost(s string) (string, error) {
	i := strings.IndexAny(s, "=:")
	if i <= 0 {
		return "", fmt.Errorf("bad format for add-host: %q", s)
	}
	name, ip := s[:i], strings.TrimSuffix(strings.TrimPrefix(s[i+1:], "["), "]")
	if ip != hostGateway {
		if _, err := netip.ParseAddr(ip); err != nil {
			return "", fmt.Errorf("invalid IP address in add-host: %q", ip)
		}
	}
	return name + ":" + ip, nil
}

func checkIP(s string) (string, error) {
	ip, err := parseAddr(s)
	return ip.String(), err
}

// checkLink refuses what is not name or name:alias.
func checkLink(s string) (string, error) {
	if s == "" {
		return "", errors.New("empty string specified for links")
	}
	if strings.Count(s, ":") > 1 {
		return "", fmt.Errorf("bad format for links: %s", s)
	}
	return s, nil
}
