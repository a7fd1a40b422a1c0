package cli

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"naru/host/client"
)

func (a *app) logsCommand() *cobra.Command {
	var o client.LogsOptions
	cmd := &cobra.Command{
		Use: "logs [OPTIONS] CONTAINER", Short: "Fetch the logs of a container", Args: exactly(1),
		ValidArgsFunction: a.completeContainers(1, anyState),
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "Follow log output")
	f.BoolVarP(&o.Timestamps, "timestamps", "t", false, "Show timestamps")
	f.BoolVar(&o.Details, "details", false, "Show extra details provided to logs")
	f.StringVar(&o.Since, "since", "", `Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`)
	f.StringVar(&o.Until, "until", "", `Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`)
	f.StringVarP(&o.Tail, "tail", "n", "all", "Number of lines to show from the end of the logs")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) (err error) {
		if o.Since, err = apiTime("since", o.Since); err != nil {
			return err
		}
		if o.Until, err = apiTime("until", o.Until); err != nil {
			return err
		}
		return a.logs(cmd.Context(), c, args[0], o)
	})
	return cmd
}

func (a *app) logs(ctx context.Context, c *client.Client, name string, o client.LogsOptions) error {
	info, err := c.ContainerInspect(ctx, name)
	if err != nil {
		return err
	}
	out, errOut := &counted{w: a.out}, &counted{w: a.err}
	for {
		err = a.copyLog(ctx, c, info.ID, o, info.Config.Tty, out, errOut)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// The engine died under us, and the keeper starts it again: the same log has the same beginning.
		if !errors.Is(err, io.ErrUnexpectedEOF) || !o.Follow || o.Tail != "all" {
			return err
		}
	}
}

// copyLog copies a log behind what was shown of it already.
func (a *app) copyLog(ctx context.Context, c *client.Client, id string, o client.LogsOptions, tty bool, out, errOut *counted) error {
	in, err := c.ContainerLogs(ctx, id, o)
	if err != nil {
		return err
	}
	defer in.Close()
	return copyOutput(&behind{to: out, skip: out.n}, &behind{to: errOut, skip: errOut.n}, in, tty)
}
