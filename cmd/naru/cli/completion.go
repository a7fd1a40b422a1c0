package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"naru/host/client"
)

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print the completion script for bash, zsh, fish or powershell", Args: exactly(1),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Example:   "  source <(naru completion bash)",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return usage(cmd, fmt.Errorf("unknown shell %q: bash, zsh, fish or powershell", args[0]))
		},
	}
}

type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completionTime bounds how long the shell waits for names.
const completionTime = 2 * time.Second

// complete offers what list returns, for the first most arguments (0: for all), without those given already. It never
// starts an engine.
func (a *app) complete(most int, list func(context.Context, *client.Client) []string) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveDefault
		}
		c, _, err := a.connect(false)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		names := slices.DeleteFunc(list(ctx, c), func(n string) bool { return slices.Contains(args, n) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// fixed offers the same words always.
func fixed(words ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

func anyState(container.Summary) bool    { return true }
func isRunning(s container.Summary) bool { return s.State == container.StateRunning }
func isPaused(s container.Summary) bool  { return s.State == container.StatePaused }
func notRunning(s container.Summary) bool {
	return s.State != container.StateRunning
}

func (a *app) completeContainers(most int, want func(container.Summary) bool) completer {
	return a.complete(most, func(ctx context.Context, c *client.Client) (names []string) {
		list, err := c.ContainerList(ctx, client.ListOptions{All: true})
		if err != nil {
			return nil
		}
		for _, s := range list {
			if want(s) && len(s.Names) > 0 {
				names = append(names, strings.TrimPrefix(s.Names[0], "/"))
			}
		}
		return names
	})
}

func (a *app) completeImages(most int) completer {
	return a.complete(most, func(ctx context.Context, c *client.Client) (names []string) {
		list, err := c.ImageList(ctx, false, nil)
		if err != nil {
			return nil
		}
		for _, s := range list {
			names = append(names, s.RepoTags...)
		}
		return names
	})
}

func (a *app) completeVolumes(most int) completer {
	return a.complete(most, func(ctx context.Context, c *client.Client) (names []string) {
		list, err := c.VolumeList(ctx, nil)
		if err != nil {
			return nil
		}
		for _, v := range list.Volumes {
			names = append(names, v.Name)
		}
		return names
	})
}

func (a *app) completeNetworks(most int) completer {
	return a.complete(most, func(ctx context.Context, c *client.Client) (names []string) {
		list, err := c.NetworkList(ctx, nil)
		if err != nil {
			return nil
		}
		for _, n := range list {
			names = append(names, n.Name)
		}
		return names
	})
}
