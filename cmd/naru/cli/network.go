package cli

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/client"
)

func (a *app) networkCommands() []*cobra.Command {
	return []*cobra.Command{
		a.networkCreateCommand(), a.networkListCommand(), a.inspectKind("network"), a.networkRemoveCommand(), a.networkPruneCommand(),
		a.networkConnectCommand(), a.networkDisconnectCommand(),
	}
}

// networkRow has the fields of `network ls --format`.
type networkRow struct {
	CreatedAt string
	Driver    string
	ID        string
	IPv4      string
	IPv6      string
	Internal  string
	Labels    string
	Name      string
	Scope     string

	labels map[string]string
}

// Label is one label of the network.
func (r networkRow) Label(name string) string { return r.labels[name] }

var networkTable = table.Spec{
	Default: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
	Header: table.Header{
		"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6",
		"Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
	},
}

func (a *app) networkListCommand() *cobra.Command {
	var quiet, noTrunc bool
	var format string
	filters := &filterFlag{}
	cmd := &cobra.Command{Use: "ls [OPTIONS]", Short: "List networks", Aliases: []string{"list"}, Args: exactly(0)}
	f := cmd.Flags()
	f.BoolVarP(&quiet, "quiet", "q", false, "Only display network IDs")
	f.BoolVar(&noTrunc, "no-trunc", false, "Do not truncate the output")
	f.StringVar(&format, "format", "", formatHelp)
	f.VarP(filters, "filter", "f", "Provide filter values")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, _ []string) error {
		list, err := c.NetworkList(cmd.Context(), filters.values)
		if err != nil {
			return err
		}
		slices.SortFunc(list, func(a, b network.Summary) int { return cmp.Compare(a.Name, b.Name) })
		var rows []networkRow
		for _, n := range list {
			rows = append(rows, networkRow{
				ID: table.ID(n.ID, noTrunc), Name: n.Name, Driver: n.Driver, Scope: n.Scope, CreatedAt: n.Created.String(),
				IPv4: fmt.Sprint(n.EnableIPv4), IPv6: fmt.Sprint(n.EnableIPv6), Internal: fmt.Sprint(n.Internal),
				Labels: labelList(n.Labels), labels: n.Labels,
			})
		}
		if quiet && format == "" {
			format = "{{.ID}}"
		}
		return table.Print(a.out, format, networkTable, rows)
	})
	return cmd
}
