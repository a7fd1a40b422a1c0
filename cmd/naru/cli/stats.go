package cli

import (
	"context"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/client"
)

// statsRow has the fields of `stats --format`, as Docker names them.
type statsRow struct {
	BlockIO   string
	CPUPerc   string
	Container string
	ID        string
	MemPerc   string
	MemUsage  string
	Name      string
	NetIO     string
	PIDs      string
}

var statsTable = table.Spec{
	Default: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
	Header: table.Header{
		"Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
		"MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
	},
}

// statsOptions are the flags of `stats`.
type statsOptions struct {
	all, noStream, noTrunc bool
	format                 string
}

func (a *app) statsCommand() *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use: "stats [OPTIONS] [CONTAINER...]", Short: "Display a live stream of container resource usage statistics",
		Example:           "  naru stats\n  naru stats --no-stream --format 'table {{.Name}}\\t{{.CPUPerc}}\\t{{.MemUsage}}' web db",
		ValidArgsFunction: a.completeContainers(0, isRunning),
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "a", false, "Show all containers (default shows just running)")
	f.BoolVar(&o.noStream, "no-stream", false, "Disable streaming stats and only pull the first result")
	f.BoolVar(&o.noTrunc, "no-trunc", false, "Do not truncate output")
	f.StringVar(&o.format, "format", "", formatHelp)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, names []string) error {
		// A format that is wrong is told before anything is waited for.
		if err := table.Print(io.Discard, o.format, statsTable, []statsRow{{}}); err != nil {
			return err
		}
		if !o.noStream {
			return a.followStats(cmd.Context(), c, names, o)
		}
		if len(names) == 0 {
			list, err := c.ContainerList(cmd.Context(), client.ListOptions{All: o.all})
			if err != nil {
				return err
			}
			for _, s := range list {
				names = append(names, s.ID)
			}
		}
		return a.statsOnce(cmd.Context(), c, names, o)
	})
	return cmd
}

// statsOnce asks for all containers at the same time: each answer takes the engine a second or two.
func (a *app) statsOnce(ctx context.Context, c *client.Client, names []string, o statsOptions) error {
	if len(names) == 0 {
		return nil
	}
	rows := make([]statsRow, len(names))
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			errs[i] = c.ContainerStats(ctx, name, false, func(s *container.StatsResponse) error {
				rows[i] = newStatsRow(name, s, o.noTrunc)
				return nil
			})
		})
	}
	all.Wait()
	i := -1
	if err := each(names, func(string) error { i++; return errs[i] }); err != nil {
		return err
	}
	return table.Print(a.out, o.format, statsTable, rows)
}

// newStatsRow computes what people see of a sample.
func newStatsRow(name string, s *container.StatsResponse, full bool) statsRow {
	used, limit := memoryUsed(&s.MemoryStats), float64(s.MemoryStats.Limit)
	share := 0.0
	if limit > 0 {
		share = used / limit * 100
	}
	var received, sent, read, written uint64
	for _, n := range s.Networks {
		received, sent = received+n.RxBytes, sent+n.TxBytes
	}
	for _, e := range s.BlkioStats.IoServiceBytesRecursive {
		switch strings.ToLower(e.Op) {
		case "read":
			read += e.Value
		case "write":
			written += e.Value
		}
	}
	return statsRow{
		Container: name, ID: table.ID(s.ID, full), Name: strings.TrimPrefix(s.Name, "/"), CPUPerc: percent(cpuShare(s)),
		MemUsage: units.BytesSize(used) + " / " + units.BytesSize(limit), MemPerc: percent(share),
		NetIO: pair(received, sent), BlockIO: pair(read, written), PIDs: strconv.FormatUint(s.PidsStats.Current, 10),
	}
}

// unknownStats is the row of a container that nothing is heard of.
func unknownStats(name, id, shown string) statsRow {
	return statsRow{Container: name, ID: id, Name: shown, CPUPerc: "--", MemUsage: "-- / --", MemPerc: "--", NetIO: "--", BlockIO: "--", PIDs: "--"}
}

func percent(p float64) string { return strconv.FormatFloat(p, 'f', 2, 64) + "%" }

func pair(a, b uint64) string { return table.Size(int64(a)) + " / " + table.Size(int64(b)) }

// memoryUsed leaves out the cache that the kernel would give back first; it has another name on each version of cgroups.
func memoryUsed(m *container.MemoryStats) float64 {
	if cache, v1 := m.Stats["total_inactive_file"]; v1 && cache < m.Usage {
		return float64(m.Usage - cache)
	}
	if cache := m.Stats["inactive_file"]; cache < m.Usage {
		return float64(m.Usage - cache)
	}
	return float64(m.Usage)
}

// cpuShare is the share of one processor between a sample and the one before it, in percent.
func cpuShare(s *container.StatsResponse) float64 {
	used := float64(s.CPUStats.CPUUsage.TotalUsage) - float64(s.PreCPUStats.CPUUsage.TotalUsage)
	all := float64(s.CPUStats.SystemUsage) - float64(s.PreCPUStats.SystemUsage)
	processors := float64(s.CPUStats.OnlineCPUs)
	if processors == 0 {
		processors = float64(len(s.CPUStats.CPUUsage.PercpuUsage))
	}
	if used <= 0 || all <= 0 {
		return 0
	}
	return used / all * processors * 100
}
