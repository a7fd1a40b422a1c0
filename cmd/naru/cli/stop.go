package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"naru/host/client"
)

// stopLike is `stop` and `restart`, which have the same flags.
func (a *app) stopLike(name, short string, f func(*client.Client, context.Context, string, client.StopOptions) error) *cobra.Command {
	var signal string
	var timeout, oldTime int
	cmd := &cobra.Command{
		Use: name + " [OPTIONS] CONTAINER [CONTAINER...]", Short: short, Args: atLeast(1), ValidArgsFunction: a.completeContainers(0, isRunning),
	}
	flags := cmd.Flags()
	flags.StringVarP(&signal, "signal", "s", "", "Signal to send to the container")
	flags.IntVarP(&timeout, "timeout", "t", 0, "Seconds to wait before killing the container")
	flags.IntVar(&oldTime, "time", 0, "")
	_ = flags.MarkHidden("time")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		o := client.StopOptions{Signal: signal}
		switch given, old := flags.Changed("timeout"), flags.Changed("time"); {
		case given && old:
			return errors.New("conflicting options: cannot specify both --timeout and --time")
		case given:
			o.Timeout = &timeout
		case old:
			o.Timeout = &oldTime
		}
		return a.eachPrinted(args, func(name string) error { return f(c, cmd.Context(), name, o) })
	})
	return cmd
}
