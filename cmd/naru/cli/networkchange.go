package cli

import (
	"fmt"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/cobra"

	"naru/cmd/naru/runflags"
	"naru/host/client"
)

func (a *app) networkRemoveCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm [OPTIONS] NETWORK [NETWORK...]", Short: "Remove one or more networks", Aliases: []string{"remove"}, Args: atLeast(1),
		ValidArgsFunction: a.completeNetworks(0), Example: "  naru network rm front back",
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Do not error if the network does not exist")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		return each(args, func(name string) error {
			err := c.NetworkRemove(cmd.Context(), name)
			if force && client.IsNotFound(err) {
				return nil
			}
			if err == nil {
				fmt.Fprintln(a.out, name)
			}
			return err
		})
	})
	return cmd
}

func (a *app) networkConnectCommand() *cobra.Command {
	var o runflags.Endpoint
	cmd := &cobra.Command{
		Use: "connect [OPTIONS] NETWORK CONTAINER", Short: "Connect a container to a network", Args: exactly(2),
		ValidArgsFunction: a.completeNetworkAndContainer, Example: "  naru network connect --alias db back postgres",
	}
	o.AddTo(cmd.Flags())
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		settings, err := o.Settings()
		if err != nil {
			return err
		}
		return c.NetworkConnect(cmd.Context(), args[0], network.ConnectRequest{Container: args[1], EndpointConfig: settings})
	})
	return cmd
}

func (a *app) networkDisconnectCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "disconnect [OPTIONS] NETWORK CONTAINER", Short: "Disconnect a container from a network", Args: exactly(2),
		ValidArgsFunction: a.completeNetworkAndContainer, Example: "  naru network disconnect back postgres",
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Force the container to disconnect from a network")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		return c.NetworkDisconnect(cmd.Context(), args[0], network.DisconnectRequest{Container: args[1], Force: force})
	})
	return cmd
}

func (a *app) completeNetworkAndContainer(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeNetworks(1)(cmd, args, typed)
	}
	return a.completeContainers(2, anyState)(cmd, args, typed)
}
