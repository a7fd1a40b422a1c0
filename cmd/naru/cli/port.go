package cli

import (
	"fmt"
	"net"
	"slices"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/cobra"

	"naru/host/client"
)

func (a *app) portCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "port CONTAINER [PRIVATE_PORT[/PROTO]]", Short: "List port mappings or a specific mapping for the container",
		Args: upTo(1, 2), ValidArgsFunction: a.completeContainers(1, anyState),
	}
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		info, err := c.ContainerInspect(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		ports := info.NetworkSettings.Ports
		if len(args) == 2 {
			port, err := network.ParsePort(args[1])
			if err != nil {
				return err
			}
			if len(ports[port]) == 0 {
				return fmt.Errorf("no public port '%s' published for %s", port, args[0])
			}
			for _, b := range ports[port] {
				fmt.Fprintln(a.out, hostAddress(b))
			}
			return nil
		}
		var lines []string
		for port, bindings := range ports {
			for _, b := range bindings {
				lines = append(lines, fmt.Sprintf("%s -> %s", port, hostAddress(b)))
			}
		}
		slices.Sort(lines)
		for _, l := range lines {
			fmt.Fprintln(a.out, l)
		}
		return nil
	})
	return cmd
}

func hostAddress(b network.PortBinding) string {
	ip := "0.0.0.0"
	if b.HostIP.IsValid() {
		ip = b.HostIP.String()
	}
	return net.JoinHostPort(ip, b.HostPort)
}
