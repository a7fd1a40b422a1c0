package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/client"
)

// pruned is what a prune removed.
type pruned struct {
	title     string // "Deleted Containers:"
	names     []string
	reclaimed uint64 // bytes
	noSpace   bool   // what was removed takes none
}

// pruneCommand asks before it removes, unless --force is given.
func (a *app) pruneCommand(short, warning string, setup func(*cobra.Command) func(context.Context, *client.Client, client.Filters) (pruned, error)) *cobra.Command {
	var force bool
	filters := &filterFlag{}
	cmd := &cobra.Command{Use: "prune [OPTIONS]", Short: short, Args: exactly(0)}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Do not prompt for confirmation")
	cmd.Flags().Var(filters, "filter", `Provide filter values (e.g. "label=<label>")`)
	prune := setup(cmd)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, _ []string) error {
		if !force && !a.confirm(warning) {
			return errors.New("cancelled")
		}
		p, err := prune(cmd.Context(), c, filters.values)
		if err != nil {
			return err
		}
		if len(p.names) > 0 {
			fmt.Fprintf(a.out, "%s\n%s\n\n", p.title, strings.Join(p.names, "\n"))
		}
		if p.noSpace {
			return nil
		}
		fmt.Fprintln(a.out, "Total reclaimed space:", table.Size(int64(p.reclaimed)))
		return nil
	})
	return cmd
}

// confirm asks on stdout and reads y or yes.
func (a *app) confirm(warning string) bool {
	fmt.Fprintf(a.out, "%s\nAre you sure you want to continue? [y/N] ", warning)
	answer, _ := bufio.NewReader(a.in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}

func (a *app) containerPruneCommand() *cobra.Command {
	return a.pruneCommand("Remove all stopped containers", "WARNING! This will remove all stopped containers.",
		func(*cobra.Command) func(context.Context, *client.Client, client.Filters) (pruned, error) {
			return func(ctx context.Context, c *client.Client, f client.Filters) (pruned, error) {
				r, err := c.ContainersPrune(ctx, f)
				return pruned{title: "Deleted Containers:", names: r.ContainersDeleted, reclaimed: r.SpaceReclaimed}, err
			}
		})
}

func (a *app) volumePruneCommand() *cobra.Command {
	return a.pruneCommand("Remove unused local volumes", "WARNING! This will remove volumes not used by at least one container.",
		func(cmd *cobra.Command) func(context.Context, *client.Client, client.Filters) (pruned, error) {
			all := cmd.Flags().BoolP("all", "a", false, "Remove all unused volumes, not just anonymous ones")
			return func(ctx context.Context, c *client.Client, f client.Filters) (pruned, error) {
				if *all {
					f = withFilter(f, "all", "true")
				}
				r, err := c.VolumesPrune(ctx, f)
				return pruned{title: "Deleted Volumes:", names: r.VolumesDeleted, reclaimed: r.SpaceReclaimed}, err
			}
		})
}

func (a *app) imagePruneCommand() *cobra.Command {
	return a.pruneCommand("Remove unused images", "WARNING! This will remove images that no container uses.",
		func(cmd *cobra.Command) func(context.Context, *client.Client, client.Filters) (pruned, error) {
			all := cmd.Flags().BoolP("all", "a", false, "Remove all unused images, not just dangling ones")
			return func(ctx context.Context, c *client.Client, f client.Filters) (pruned, error) {
				r, err := c.ImagesPrune(ctx, withFilter(f, "dangling", fmt.Sprint(!*all)))
				p := pruned{title: "Deleted Images:", reclaimed: r.SpaceReclaimed}
				for _, d := range r.ImagesDeleted {
					if d.Untagged != "" {
						p.names = append(p.names, "untagged: "+d.Untagged)
					}
					if d.Deleted != "" {
						p.names = append(p.names, "deleted: "+d.Deleted)
					}
				}
				return p, err
			}
		})
}

func withFilter(f client.Filters, key, value string) client.Filters {
	out := client.Filters{key: {value}}
	for k, v := range f {
		out[k] = append(out[k], v...)
	}
	return out
}
