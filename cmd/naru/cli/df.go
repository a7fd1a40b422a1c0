package cli

import (
	"fmt"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/client"
)

// usageRow has the fields of `system df --format`.
type usageRow struct {
	Active      string
	Reclaimable string
	Size        string
	TotalCount  string
	Type        string
}

var usageTable = table.Spec{
	Default: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
	Header:  table.Header{"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"},
}

func (a *app) diskUsageCommand() *cobra.Command {
	var verbose bool
	var format string
	cmd := &cobra.Command{
		Use: "df [OPTIONS]", Short: "Show what images, containers and volumes take on disk", Args: exactly(0),
		Example: "  naru system df\n  naru df -v\n  naru df --format '{{.Type}}: {{.Reclaimable}}'", ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "Show detailed information on space usage")
	cmd.Flags().StringVar(&format, "format", "", formatHelp)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, _ []string) error {
		u, err := c.DiskUsage(cmd.Context())
		if err != nil {
			return err
		}
		if verbose {
			return a.printUsages(u, format)
		}
		return table.Print(a.out, format, usageTable, usageRows(u))
	})
	return cmd
}

func usageRows(u client.DiskUsage) []usageRow {
	return []usageRow{
		newUsageRow("Images", u.Images.TotalCount, u.Images.ActiveCount, u.Images.TotalSize, u.Images.Reclaimable, true),
		newUsageRow("Containers", u.Containers.TotalCount, u.Containers.ActiveCount, u.Containers.TotalSize, u.Containers.Reclaimable, true),
		newUsageRow("Local Volumes", u.Volumes.TotalCount, u.Volumes.ActiveCount, u.Volumes.TotalSize, u.Volumes.Reclaimable, true),
		newUsageRow("Build Cache", u.BuildCache.TotalCount, u.BuildCache.ActiveCount, u.BuildCache.TotalSize, u.BuildCache.Reclaimable, false),
	}
}

func newUsageRow(kind string, total, active, size, reclaimable int64, percent bool) usageRow {
	r := usageRow{Type: kind, TotalCount: fmt.Sprint(total), Active: fmt.Sprint(active), Size: humanSize(size), Reclaimable: humanSize(reclaimable)}
	if percent && size > 0 {
		r.Reclaimable += fmt.Sprintf(" (%d%%)", reclaimable*100/size)
	}
	return r
}

// humanSize has four digits, where lists have three.
func humanSize(bytes int64) string { return units.HumanSize(float64(bytes)) }
