package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"naru/host/client"
)

// pruner removes what is unused of one kind.
type pruner struct {
	kind    string // "container prune has been cancelled"
	short   string // help of its own command
	warning string // "WARNING! This will remove " this; of all, allOf
	allOf   string // "" where there is no --all
	system  string // what `system prune` says that it removes, where that is another text
	example string
	title   string // "Deleted Containers:"
	run     func(ctx context.Context, c *client.Client, f client.Filters, all bool) (pruned, error)
	noSpace bool // what is removed takes none
}

// pruned is what a prune removed.
type pruned struct {
	names     []string
	reclaimed uint64 // bytes
}

var containerPruner = pruner{
	kind: "containers", short: "Remove all stopped containers", warning: "all stopped containers.", title: "Deleted Containers:",
	example: "  naru container prune -f --filter until=24h",
	run: func(ctx context.Context, c *client.Client, f client.Filters, _ bool) (pruned, error) {
		r, err := c.ContainersPrune(ctx, f)
		return pruned{r.ContainersDeleted, r.SpaceReclaimed}, err
	},
}

var networkPruner = pruner{
	kind: "network", short: "Remove all unused networks", warning: "all custom networks not used by at least one container.",
	system: "all networks not used by at least one container", title: "Deleted Networks:", noSpace: true,
	example: "  naru network prune --filter until=24h",
	run: func(ctx context.Context, c *client.Client, f client.Filters, _ bool) (pruned, error) {
		r, err := c.NetworksPrune(ctx, f)
		return pruned{r.NetworksDeleted, 0}, err
	},
}

var volumePruner = pruner{
	kind: "volume", short: "Remove unused local volumes", title: "Deleted Volumes:",
	warning: "anonymous local volumes not used by at least one container.", allOf: "all local volumes not used by at least one container.",
	system: "all anonymous volumes not used by at least one container", example: "  naru volume prune -a --filter label=test",
	run: func(ctx context.Context, c *client.Client, f client.Filters, all bool) (pruned, error) {
		if all && f["all"] != nil {
			return pruned{}, errors.New("conflicting options: cannot specify both --all and --filter all=1")
		}
		if all {
			f = withFilter(f, "all", "true")
		}
		r, err := c.VolumesPrune(ctx, f)
		return pruned{r.VolumesDeleted, r.SpaceReclaimed}, err
	},
}

var imagePruner = pruner{
	kind: "image", short: "Remove unused images", title: "Deleted Images:",
	warning: "all dangling images.", allOf: "all images without at least one container associated to them.",
	example: "  naru image prune -a --filter until=240h",
	run: func(ctx context.Context, c *client.Client, f client.Filters, all bool) (pruned, error) {
		r, err := c.ImagesPrune(ctx, withFilter(f, "dangling", fmt.Sprint(!all)))
		p := pruned{reclaimed: r.SpaceReclaimed}
		for _, d := range r.ImagesDeleted {
			if d.Untagged != "" {
				p.names = append(p.names, "untagged: "+d.Untagged)
			} else {
				p.names = append(p.names, "deleted: "+d.Deleted)
			}
		}
		return p, err
	},
}

// cachePruner is part of `system prune` only: the cache's own commands are buildx's.
var cachePruner = pruner{
	kind: "build cache", title: "Deleted build cache objects:", warning: "unused build cache", allOf: "all build cache",
	run: func(ctx context.Context, c *client.Client, f client.Filters, all bool) (pruned, error) {
		r, err := c.BuildCachePrune(ctx, all, f)
		return pruned{r.CachesDeleted, r.SpaceReclaimed}, err
	},
}

func (a *app) containerPruneCommand() *cobra.Command { return a.pruneCommand(containerPruner) }
func (a *app) imagePruneCommand() *cobra.Command     { return a.pruneCommand(imagePruner) }
func (a *app) volumePruneCommand() *cobra.Command    { return a.pruneCommand(volumePruner) }
func (a *app) networkPruneCommand() *cobra.Command   { return a.pruneCommand(networkPruner) }

// pruneCommand asks before it removes, unless --force is given.
func (a *app) pruneCommand(p pruner) *cobra.Command {
	var force, all bool
	filters := &filterFlag{}
	cmd := &cobra.Command{Use: "prune [OPTIONS]", Short: p.short, Args: exactly(0), Example: p.example, ValidArgsFunction: cobra.NoFileCompletions}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Do not prompt for confirmation")
	if p.allOf != "" {
		cmd.Flags().BoolVarP(&all, "all", "a", false, "Remove "+strings.TrimSuffix(p.allOf, "."))
	}
	cmd.Flags().Var(filters, "filter", `Provide filter values (e.g. "label=<label>")`)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, _ []string) error {
		warning := "WARNING! This will remove " + p.warning
		if all {
			warning = "WARNING! This will remove " + p.allOf
		}
		if !force && !a.confirm(warning) {
			return errors.New(p.kind + " prune has been cancelled")
		}
		reclaimed, err := a.prune(cmd.Context(), c, p, filters.values, all)
		if err == nil && !p.noSpace {
			fmt.Fprintln(a.out, "Total reclaimed space:", humanSize(int64(reclaimed)))
		}
		return err
	})
	return cmd
}

// prune removes and prints what there was to remove.
func (a *app) prune(ctx context.Context, c *client.Client, p pruner, f client.Filters, all bool) (reclaimed uint64, err error) {
	done, err := p.run(ctx, c, f, all)
	if err != nil {
		return 0, err
	}
	if len(done.names) > 0 {
		fmt.Fprintf(a.out, "%s\n%s\n\n", p.title, strings.Join(done.names, "\n"))
	}
	return done.reclaimed, nil
}

// confirm asks on stdout. Only y is a yes, as with Docker.
func (a *app) confirm(warning string) bool {
	fmt.Fprintf(a.out, "%s\nAre you sure you want to continue? [y/N] ", warning)
	answer, _ := bufio.NewReader(a.in).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}

func withFilter(f client.Filters, key, value string) client.Filters {
	out := client.Filters{key: {value}}
	for k, v := range f {
		out[k] = append(out[k], v...)
	}
	return out
}

// systemPruneCommand removes what is unused of all kinds.
func (a *app) systemPruneCommand() *cobra.Command {
	var force, all, volumes bool
	filters := &filterFlag{}
	cmd := &cobra.Command{
		Use: "prune [OPTIONS]", Short: "Remove unused data", Args: exactly(0), ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  naru system prune\n  naru system prune -a --volumes --filter until=24h",
	}
	f := cmd.Flags()
	f.BoolVarP(&force, "force", "f", false, "Do not prompt for confirmation")
	f.BoolVarP(&all, "all", "a", false, "Remove all unused images not just dangling ones")
	f.BoolVar(&volumes, "volumes", false, "Prune anonymous volumes")
	f.Var(filters, "filter", `Provide filter values (e.g. "label=<key>=<value>")`)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, _ []string) error {
		pruners := []pruner{containerPruner, networkPruner, volumePruner, imagePruner, cachePruner}
		if !volumes {
			pruners = slices.DeleteFunc(pruners, func(p pruner) bool { return p.kind == volumePruner.kind })
		} else if filters.values["until"] != nil {
			return errors.New(`ERROR: The "until" filter is not supported with "--volumes"`)
		}
		if !force && !a.confirm(systemWarning(pruners, filters.values, all)) {
			return errors.New("system prune has been cancelled")
		}
		var total uint64
		for _, p := range pruners {
			reclaimed, err := a.prune(cmd.Context(), c, p, filters.values, all && p.kind != volumePruner.kind)
			if err != nil && !client.IsNotImplemented(err) {
				return err
			}
			total += reclaimed
		}
		fmt.Fprintln(a.out, "Total reclaimed space:", humanSize(int64(total)))
		return nil
	})
	return cmd
}

// systemWarning is what Docker asks with.
func systemWarning(pruners []pruner, f client.Filters, all bool) string {
	text := "WARNING! This will remove:\n"
	for _, p := range pruners {
		what := strings.TrimSuffix(p.warning, ".")
		if p.system != "" {
			what = p.system
		} else if all && p.allOf != "" {
			what = strings.TrimSuffix(p.allOf, ".")
		}
		text += "  - " + what + "\n"
	}
	var shown []string
	for _, name := range []string{"label", "label!", "until"} {
		for _, v := range f[name] {
			shown = append(shown, "  - "+name+"="+v)
		}
	}
	if len(shown) == 0 {
		return text
	}
	slices.Sort(shown)
	return text + "\n  Items to be pruned will be filtered with:\n" + strings.Join(shown, "\n") + "\n"
}
