package network

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/containerd/errdefs"
)

// Options of the bridge driver, by Docker's names.
const (
	optName    = "com.docker.network.bridge.name"
	optICC     = "com.docker.network.bridge.enable_icc"
	optMasq    = "com.docker.network.bridge.enable_ip_masquerade"
	optHostIP4 = "com.docker.network.bridge.host_binding_ipv4"
	optDefault = "com.docker.network.bridge.default_bridge"
	optInhibit = "com.docker.network.bridge.inhibit_ipv4"
	optMode4   = "com.docker.network.bridge.gateway_mode_ipv4"
	optMode6   = "com.docker.network.bridge.gateway_mode_ipv6"
	optMTU     = "com.docker.network.driver.mtu"
	optPrefix  = "com.docker.network.container_iface_prefix"
	optSpoof   = "naru.network.bridge.anti_spoofing"
	optIPv4    = "com.docker.network.enable_ipv4"
	optIPv6    = "com.docker.network.enable_ipv6"
)

// bridgeOptions are a bridge network's options, read.
type bridgeOptions struct {
	name   string     // "" for one of our choice
	icc    bool       // containers reach each other
	masq   bool       // what leaves has the host's address
	hostIP netip.Addr // where ports are published when nothing else is said
	mtu    int        // 0 for the default
	prefix string     // of the interfaces' names inside

	antiSpoofing bool // containers send from their own addresses only

	inhibit4             bool // the bridge has no IPv4 address: the gateway is another machine, or nobody
	isolated4, isolated6 bool // the host has no address on the network, and so no way to it
}

// noAddress tells that the host has no address of the family on the bridge.
func (o *bridgeOptions) noAddress(v6 bool) bool {
	if v6 {
		return o.isolated6
	}
	return o.isolated4 || o.inhibit4
}

// parseBridgeOptions reads the options; what Docker's bridge driver does not know it takes without a word, as Docker.
func parseBridgeOptions(options map[string]string) (bridgeOptions, error) {
	o := bridgeOptions{icc: true, masq: true, prefix: "eth", antiSpoofing: true}
	for name, value := range options {
		if err := o.set(name, value); err != nil {
			return o, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("failed to parse %s value: %s (%s)", name, value, err))
		}
	}
	return o, nil
}

func (o *bridgeOptions) set(name, value string) (err error) {
	var unused bool
	switch name {
	case optName:
		o.name = value
	case optICC:
		o.icc, err = strconv.ParseBool(value)
	case optSpoof:
		o.antiSpoofing, err = strconv.ParseBool(value)
	case optMasq:
		o.masq, err = strconv.ParseBool(value)
	case optHostIP4:
		if o.hostIP, err = netip.ParseAddr(value); err != nil {
			return fmt.Errorf("nil ip")
		}
		o.hostIP = o.hostIP.Unmap()
	case optMTU:
		if o.mtu, err = strconv.Atoi(value); err == nil && (o.mtu < 0 || o.mtu > 0 && o.mtu < 68 || o.mtu > 65535) {
			return fmt.Errorf("invalid MTU number: %d", o.mtu)
		}
	case optPrefix:
		if len(value) == 0 || len(value) > 12 {
			return fmt.Errorf("an interface's prefix has 1 to 12 characters")
		}
		o.prefix = value
	case optInhibit:
		o.inhibit4, err = strconv.ParseBool(value)
	case optDefault, optIPv4, optIPv6:
		unused, err = strconv.ParseBool(value)
		if err == nil && unused && name == optDefault {
			return fmt.Errorf("naru does not serve it")
		}
	case optMode4:
		o.isolated4, err = isolatedMode(value)
	case optMode6:
		o.isolated6, err = isolatedMode(value)
	}
	return err
}

// isolatedMode reads a gateway mode.
func isolatedMode(value string) (bool, error) {
	switch value {
	case "nat":
		return false, nil
	case "isolated":
		return true, nil
	case "routed", "nat-unprotected":
		return false, fmt.Errorf("naru serves the gateway modes nat and isolated")
	}
	return false, fmt.Errorf("unknown gateway mode %s", value)
}

// checkGatewayModes refuses modes that do not fit the network.
func (n *netEntry) checkGatewayModes() error {
	if (n.isolated4 || n.isolated6) && !n.Internal && !n.ConfigOnly {
		return invalid("gateway mode 'isolated' can only be used for an internal network")
	}
	return nil
}
