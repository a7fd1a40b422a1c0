package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/cobra"

	"naru/host/client"
)

// ipamFlags are the flags about a network's addresses.
type ipamFlags struct {
	driver                              string
	subnets, ranges, gateways, aux, opt []string
}

func (a *app) networkCreateCommand() *cobra.Command {
	var req network.CreateRequest
	var ipam ipamFlags
	var options, labels []string
	var ipv4, ipv6 bool
	var configFrom string
	cmd := &cobra.Command{
		Use: "create [OPTIONS] NETWORK", Short: "Create a network", Args: exactly(1), ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  naru network create back\n  naru network create --internal --subnet 10.5.0.0/24 --gateway 10.5.0.1 vault",
	}
	f := cmd.Flags()
	f.StringVarP(&req.Driver, "driver", "d", "bridge", "Driver to manage the Network")
	f.StringArrayVarP(&options, "opt", "o", nil, "Set driver specific options")
	f.StringArrayVar(&labels, "label", nil, "Set metadata on a network")
	f.BoolVar(&req.Internal, "internal", false, "Restrict external access to the network")
	f.BoolVar(&ipv4, "ipv4", true, "Enable or disable IPv4 address assignment")
	f.BoolVar(&ipv6, "ipv6", false, "Enable or disable IPv6 address assignment")
	f.BoolVar(&req.Attachable, "attachable", false, "Enable manual container attachment")
	f.BoolVar(&req.Ingress, "ingress", false, "Create swarm routing-mesh network")
	f.StringVar(&req.Scope, "scope", "", "Control the network's scope")
	f.BoolVar(&req.ConfigOnly, "config-only", false, "Create a configuration only network")
	f.StringVar(&configFrom, "config-from", "", "The network from which to copy the configuration")
	f.StringVar(&ipam.driver, "ipam-driver", "default", "IP Address Management Driver")
	f.StringSliceVar(&ipam.subnets, "subnet", nil, "Subnet in CIDR format that represents a network segment")
	f.StringSliceVar(&ipam.ranges, "ip-range", nil, "Allocate container ip from a sub-range")
	f.StringSliceVar(&ipam.gateways, "gateway", nil, "IPv4 or IPv6 Gateway for the master subnet")
	f.StringArrayVar(&ipam.aux, "aux-address", nil, "Auxiliary IPv4 or IPv6 addresses used by Network driver")
	f.StringArrayVar(&ipam.opt, "ipam-opt", nil, "Set IPAM driver specific options")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		req.Name, req.Options, req.Labels = args[0], keyValues(options), keyValues(labels)
		if f.Changed("ipv4") {
			req.EnableIPv4 = &ipv4
		}
		if f.Changed("ipv6") {
			req.EnableIPv6 = &ipv6
		}
		if configFrom != "" {
			req.ConfigFrom = &network.ConfigReference{Network: configFrom}
		}
		var err error
		if req.IPAM, err = ipam.config(); err != nil {
			return err
		}
		made, err := c.NetworkCreate(cmd.Context(), req)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.out, made.ID)
		return nil
	})
	return cmd
}

// config puts ranges, gateways and auxiliary addresses to the subnets that they belong to.
func (f *ipamFlags) config() (*network.IPAM, error) {
	if len(f.subnets) < len(f.ranges) || len(f.subnets) < len(f.gateways) {
		return nil, errors.New("every ip-range or gateway must have a corresponding subnet")
	}
	ipam := &network.IPAM{Driver: f.driver, Options: keyValues(f.opt)}
	for _, s := range f.subnets {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("invalid subnet: invalid CIDR address: %s", s)
		}
		for _, c := range ipam.Config {
			if c.Subnet.Overlaps(p) {
				return nil, errors.New("multiple overlapping subnet configuration is not supported")
			}
		}
		ipam.Config = append(ipam.Config, network.IPAMConfig{Subnet: p})
	}
	of := func(a netip.Addr) *network.IPAMConfig {
		for i := range ipam.Config {
			if ipam.Config[i].Subnet.Contains(a) {
				return &ipam.Config[i]
			}
		}
		return nil
	}
	if err := f.addRanges(of); err != nil {
		return nil, err
	}
	return ipam, f.addAddresses(of)
}

func (f *ipamFlags) addRanges(of func(netip.Addr) *network.IPAMConfig) error {
	for _, s := range f.ranges {
		r, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("invalid ip-range: invalid CIDR address: %s", s)
		}
		c := of(r.Addr())
		switch {
		case c == nil:
			return fmt.Errorf("no matching subnet for range %s", r)
		case c.IPRange.IsValid():
			return fmt.Errorf("cannot configure multiple ranges (%s, %s) on the same subnet (%s)", r, c.IPRange, c.Subnet)
		}
		c.IPRange = r
	}
	return nil
}

func (f *ipamFlags) addAddresses(of func(netip.Addr) *network.IPAMConfig) error {
	for _, s := range f.gateways {
		g, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("invalid string being converted to IP address: %s", s)
		}
		c := of(g)
		switch {
		case c == nil:
			return fmt.Errorf("no matching subnet for gateway %s", g)
		case c.Gateway.IsValid():
			return fmt.Errorf("cannot configure multiple gateways (%s, %s) for the same subnet (%s)", g, c.Gateway, c.Subnet)
		}
		c.Gateway = g
	}
	for _, s := range f.aux {
		name, value, _ := strings.Cut(s, "=")
		if value == "" {
			continue // as Docker
		}
		addr, err := netip.ParseAddr(value)
		if err != nil {
			return err
		}
		c := of(addr)
		if c == nil {
			return fmt.Errorf("no matching subnet for aux-address %s", addr)
		}
		if c.AuxAddress == nil {
			c.AuxAddress = map[string]netip.Addr{}
		}
		c.AuxAddress[name] = addr
	}
	return nil
}
