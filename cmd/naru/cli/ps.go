package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/client"
)

// containerRow has the fields of `ps --format`, as Docker names them.
type containerRow struct {
	Command      string
	CreatedAt    string
	HealthStatus string
	ID           string
	Image        string
	Labels       string
	LocalVolumes string
	Mounts       string
	Names        string
	Networks     string
	Platform     *string // engines tell it only of images of several platforms
	Ports        string
	RunningFor   string
	Size         string
	State        string
	Status       string

	labels map[string]string
}

// Label is one label of the container, for {{.Label "name"}}.
func (r containerRow) Label(name string) string { return r.labels[name] }

var containerTable = table.Spec{
	Default: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
	Header: table.Header{
		"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "RunningFor": "CREATED", "CreatedAt": "CREATED AT",
		"Status": "STATUS", "State": "STATE", "Ports": "PORTS", "Names": "NAMES", "Size": "SIZE", "Labels": "LABELS",
		"Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS", "HealthStatus": "HEALTH STATUS", "Platform": "PLATFORM",
	},
}

func (a *app) psCommand() *cobra.Command {
	var o client.ListOptions
	var quiet, noTrunc, latest bool
	var format string
	var last int
	filters := &filterFlag{}
	cmd := &cobra.Command{Use: "ps [OPTIONS]", Short: "List containers", Args: exactly(0), ValidArgsFunction: cobra.NoFileCompletions}
	f := cmd.Flags()
	f.BoolVarP(&o.All, "all", "a", false, "Show all containers (default shows just running)")
	f.BoolVarP(&o.Size, "size", "s", false, "Display total file sizes")
	f.BoolVarP(&latest, "latest", "l", false, "Show the latest created container (includes all states)")
	f.IntVarP(&last, "last", "n", -1, "Show n last created containers (includes all states)")
	f.BoolVarP(&quiet, "quiet", "q", false, "Only display container IDs")
	f.BoolVar(&noTrunc, "no-trunc", false, "Don't truncate output")
	f.StringVar(&format, "format", "", formatHelp)
	f.VarP(filters, "filter", "f", "Filter output based on conditions provided")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, _ []string) error {
		o.Filters = filters.values
		o.Limit = max(last, 0)
		if latest && last == -1 {
			o.Limit = 1
		}
		spec := containerTable
		if o.Size {
			spec.Default += "\t{{.Size}}"
		} else if format != "" {
			o.Size = table.Mentions(format, "Size")
		}
		list, err := c.ContainerList(cmd.Context(), o)
		if err != nil {
			return err
		}
		rows := make([]containerRow, 0, len(list))
		for _, s := range list {
			rows = append(rows, newContainerRow(s, noTrunc))
		}
		if quiet && format == "" {
			format = "{{.ID}}"
		}
		return table.Print(a.out, format, spec, rows)
	})
	return cmd
}

func newContainerRow(s container.Summary, full bool) containerRow {
	created := time.Unix(s.Created, 0)
	r := containerRow{
		ID: table.ID(s.ID, full), Command: s.Command, CreatedAt: created.String(), RunningFor: table.Ago(created),
		Image: imageOf(s, full), Labels: labelList(s.Labels), Ports: table.Ports(s.Ports), State: string(s.State),
		Status: s.Status, Size: containerSize(s), labels: s.Labels,
	}
	if !full {
		r.Command = table.Ellipsis(r.Command, 20)
	}
	r.Command = strconv.Quote(r.Command)
	var names, mounts, networks []string
	for _, n := range s.Names {
		n = strings.TrimPrefix(n, "/")
		if full || !strings.Contains(n, "/") { // a/b is a link's name of b
			names = append(names, n)
		}
	}
	local := 0
	for _, m := range s.Mounts {
		if m.Driver == "local" {
			local++
		}
		name := m.Name
		if name == "" {
			name = m.Source
		}
		if !full {
			name = table.Ellipsis(name, 15)
		}
		mounts = append(mounts, name)
	}
	if s.NetworkSettings != nil {
		networks = sortedKeys(s.NetworkSettings.Networks)
	}
	if s.Health != nil {
		r.HealthStatus = string(s.Health.Status)
	}
	r.Names, r.Mounts, r.Networks = strings.Join(names, ","), strings.Join(mounts, ","), strings.Join(networks, ",")
	r.LocalVolumes = strconv.Itoa(local)
	return r
}

func imageOf(s container.Summary, full bool) string {
	switch {
	case s.Image == "":
		return "<no image>"
	case full:
		return s.Image
	case strings.HasPrefix(s.Image, "sha256:") || s.Image == s.ImageID:
		return table.ShortID(s.Image)
	}
	name, _, _ := strings.Cut(s.Image, "@")
	return name
}

func containerSize(s container.Summary) string {
	size := table.Size(s.SizeRw)
	if s.SizeRootFs > 0 {
		size = fmt.Sprintf("%s (virtual %s)", size, table.Size(s.SizeRootFs))
	}
	return size
}
