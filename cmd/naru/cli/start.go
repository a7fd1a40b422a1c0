package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"naru/host/client"
)

func (a *app) startCommand() *cobra.Command {
	var attach, interactive, proxy bool
	var keys string
	cmd := &cobra.Command{
		Use: "start [OPTIONS] CONTAINER [CONTAINER...]", Short: "Start one or more stopped containers", Args: atLeast(1),
		ValidArgsFunction: a.completeContainers(0, notRunning),
	}
	f := cmd.Flags()
	f.BoolVarP(&attach, "attach", "a", false, "Attach STDOUT/STDERR and forward signals")
	f.BoolVarP(&interactive, "interactive", "i", false, "Attach container's STDIN")
	f.BoolVar(&proxy, "sig-proxy", true, "Proxy received signals to the process")
	f.StringVar(&keys, "detach-keys", "", "Override the key sequence for detaching a container")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		ctx := cmd.Context()
		if !attach && !interactive {
			return each(args, func(name string) error {
				if err := c.ContainerStart(ctx, name); err != nil {
					return err
				}
				fmt.Fprintln(a.out, name)
				return nil
			})
		}
		if len(args) > 1 {
			return errors.New("you cannot start and attach multiple containers at once")
		}
		return a.startAttached(ctx, c, args[0], interactive, proxy, keys)
	})
	return cmd
}

func (a *app) startAttached(ctx context.Context, c *client.Client, name string, interactive, proxy bool, keys string) error {
	info, err := c.ContainerInspect(ctx, name)
	if err != nil {
		return err
	}
	if info.State.Running {
		return errors.New("you cannot start and attach a running container, use attach")
	}
	config := *info.Config
	config.AttachStdin = interactive && config.OpenStdin
	if err := a.checkTerminal(&config); err != nil {
		return err
	}
	s := &session{
		app: a, client: c, id: info.ID, tty: config.Tty, proxy: proxy,
		attach: client.AttachOptions{Stdin: config.AttachStdin, Stdout: true, Stderr: true},
		wait:   container.WaitConditionNextExit,
		start:  func(ctx context.Context) error { return c.ContainerStart(ctx, info.ID) },
	}
	if s.keys, err = detachKeys(keys); err != nil {
		return err
	}
	if info.HostConfig.AutoRemove {
		s.wait = container.WaitConditionRemoved
	}
	return s.run(ctx)
}
