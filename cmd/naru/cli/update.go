package cli

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"naru/cmd/naru/runflags"
	"naru/host/client"
)

func (a *app) updateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update [OPTIONS] CONTAINER [CONTAINER...]", Short: "Update configuration of one or more containers", Args: atLeast(1),
		ValidArgsFunction: a.completeContainers(0, anyState),
		Example:           "  naru update --memory 512m --memory-swap 1g web\n  naru update --restart unless-stopped web db",
	}
	var flags *runflags.Update
	if a.named("update") {
		flags = runflags.AddUpdate(cmd.Flags())
		_ = cmd.RegisterFlagCompletionFunc("restart", fixed("no", "always", "on-failure", "unless-stopped"))
	}
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		if cmd.Flags().NFlag() == 0 {
			return usage(cmd, errors.New("you must provide one or more flags when using this command"))
		}
		config, err := flags.Config()
		if err != nil {
			return err
		}
		var mu sync.Mutex // guards warnings
		var warnings []string
		err = a.eachPrinted(args, func(name string) error {
			r, err := c.ContainerUpdate(cmd.Context(), name, config)
			mu.Lock()
			defer mu.Unlock()
			warnings = append(warnings, r.Warnings...)
			return err
		})
		if len(warnings) > 0 {
			fmt.Fprintln(a.out, strings.Join(warnings, "\n"))
		}
		return err
	})
	return cmd
}
