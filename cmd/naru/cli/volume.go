package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/volume"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/client"
)

func (a *app) volumeCommands() []*cobra.Command {
	return []*cobra.Command{a.volumeCreateCommand(), a.volumeListCommand(), a.inspectKind("volume"),
		a.volumeRemoveCommand(), a.volumePruneCommand(), a.volumeExportCommand(), a.volumeImportCommand()}
}

func (a *app) volumeCreateCommand() *cobra.Command {
	var name, driver string
	var labels, options []string
	cmd := &cobra.Command{Use: "create [OPTIONS] [VOLUME]", Short: "Create a volume", Args: upTo(0, 1), ValidArgsFunction: cobra.NoFileCompletions}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "Specify volume name")
	_ = f.MarkHidden("name")
	f.StringVarP(&driver, "driver", "d", "local", "Specify volume driver name")
	f.StringArrayVar(&labels, "label", nil, "Set metadata for a volume")
	f.StringArrayVarP(&options, "opt", "o", nil, "Set driver specific options")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		if len(args) > 0 {
			if name != "" {
				return errors.New("conflicting options: cannot specify a volume-name through both --name and as a positional arg")
			}
			name = args[0]
		}
		v, err := c.VolumeCreate(cmd.Context(), volume.CreateRequest{
			Name: name, Driver: driver, Labels: keyValues(labels), DriverOpts: keyValues(options),
		})
		if err != nil {
			return err
		}
		fmt.Fprintln(a.out, v.Name)
		return nil
	})
	return cmd
}

// volumeRow has the fields of `volume ls --format`.
type volumeRow struct {
	Availability string // of a swarm's volumes, as Group and Status: always N/A
	Driver       string
	Group        string
	Labels       string
	Links        string
	Mountpoint   string
	Name         string
	Scope        string
	Size         string
	Status       string

	labels map[string]string
}

// Label is one label of the volume.
func (r volumeRow) Label(name string) string { return r.labels[name] }

var volumeTable = table.Spec{
	Default: "{{.Driver}}\t{{.Name}}",
	Header: table.Header{
		"Driver": "DRIVER", "Name": "VOLUME NAME", "Labels": "LABELS", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT",
		"Links": "LINKS", "Size": "SIZE",
		"Availability": "AVAILABILITY", "Group": "GROUP", "Status": "STATUS",
	},
}

func (a *app) volumeListCommand() *cobra.Command {
	var quiet bool
	var format string
	filters := &filterFlag{}
	cmd := &cobra.Command{Use: "ls [OPTIONS]", Short: "List volumes", Aliases: []string{"list"}, Args: exactly(0)}
	f := cmd.Flags()
	f.BoolVarP(&quiet, "quiet", "q", false, "Only display volume names")
	f.StringVar(&format, "format", "", formatHelp)
	f.VarP(filters, "filter", "f", "Provide filter values")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, _ []string) error {
		list, err := c.VolumeList(cmd.Context(), filters.values)
		if err != nil {
			return err
		}
		slices.SortFunc(list.Volumes, func(a, b volume.Volume) int { return cmp.Compare(a.Name, b.Name) })
		var rows []volumeRow
		for _, v := range list.Volumes {
			rows = append(rows, newVolumeRow(v))
		}
		if quiet && format == "" {
			format = "{{.Name}}"
		}
		return table.Print(a.out, format, volumeTable, rows)
	})
	return cmd
}

func newVolumeRow(v volume.Volume) volumeRow {
	r := volumeRow{
		Driver: v.Driver, Labels: labelList(v.Labels), Links: "N/A", Mountpoint: v.Mountpoint, Name: v.Name, Scope: v.Scope,
		Size: "N/A", Availability: "N/A", Group: "N/A", Status: "N/A", labels: v.Labels,
	}
	if v.UsageData != nil {
		r.Links, r.Size = fmt.Sprint(v.UsageData.RefCount), humanSize(v.UsageData.Size)
	}
	return r
}

func (a *app) volumeRemoveCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm [OPTIONS] VOLUME [VOLUME...]", Short: "Remove one or more volumes", Aliases: []string{"remove"}, Args: atLeast(1),
		ValidArgsFunction: a.completeVolumes(0),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Force the removal of one or more volumes")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		return a.eachPrinted(args, func(name string) error { return c.VolumeRemove(cmd.Context(), name, force) })
	})
	return cmd
}

func keyValues(list []string) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := map[string]string{}
	for _, kv := range list {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}
