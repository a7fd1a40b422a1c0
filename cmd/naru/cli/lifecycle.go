package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"naru/host/client"
)

// atOnce bounds how many containers one command asks for at the same time, as in Docker.
const atOnce = 50

// eachPrinted runs f for every name, many at a time: ten containers that take their ten seconds to stop take no hundred.
// It prints the name of each that it worked for, in the order they were given in.
func (a *app) eachPrinted(names []string, f func(name string) error) error {
	results := make([]chan error, len(names))
	for i := range names {
		results[i] = make(chan error, 1)
	}
	go func() {
		slots := make(chan struct{}, atOnce)
		for i, name := range names {
			slots <- struct{}{}
			go func() {
				results[i] <- f(name)
				<-slots
			}()
		}
	}()
	next := 0
	return each(names, func(name string) error {
		err := <-results[next]
		next++
		switch {
		case err == nil:
			fmt.Fprintln(a.out, name)
		case errors.Is(err, errNothingDone):
			return nil
		}
		return err
	})
}

// errNothingDone is of a name for which there was nothing to do, and nothing is to be printed.
var errNothingDone = errors.New("nothing done")

func (a *app) pauseCommand() *cobra.Command {
	return a.plainVerb("pause", "Pause all processes within one or more containers", isRunning, (*client.Client).ContainerPause)
}

func (a *app) unpauseCommand() *cobra.Command {
	return a.plainVerb("unpause", "Unpause all processes within one or more containers", isPaused, (*client.Client).ContainerUnpause)
}

// plainVerb is a command without flags that does one thing to each container.
func (a *app) plainVerb(name, short string, which func(container.Summary) bool, f func(*client.Client, context.Context, string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " CONTAINER [CONTAINER...]", Short: short, Args: atLeast(1), ValidArgsFunction: a.completeContainers(0, which),
		Example: "  naru " + name + " web db",
	}
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		return a.eachPrinted(args, func(name string) error { return f(c, cmd.Context(), name) })
	})
	return cmd
}

func (a *app) stopCommand() *cobra.Command {
	return a.stopLike("stop", "Stop one or more running containers", (*client.Client).ContainerStop)
}

func (a *app) restartCommand() *cobra.Command {
	return a.stopLike("restart", "Restart one or more containers", (*client.Client).ContainerRestart)
}

func (a *app) killCommand() *cobra.Command {
	var signal string
	cmd := &cobra.Command{
		Use: "kill [OPTIONS] CONTAINER [CONTAINER...]", Short: "Kill one or more running containers", Args: atLeast(1),
		ValidArgsFunction: a.completeContainers(0, isRunning),
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", "", "Signal to send to the container")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		return a.eachPrinted(args, func(name string) error { return c.ContainerKill(cmd.Context(), name, signal) })
	})
	return cmd
}

func (a *app) rmCommand() *cobra.Command {
	var o client.RemoveOptions
	cmd := &cobra.Command{
		Use: "rm [OPTIONS] CONTAINER [CONTAINER...]", Short: "Remove one or more containers", Args: atLeast(1), Aliases: []string{"remove"},
		ValidArgsFunction: a.completeContainers(0, anyState),
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Force, "force", "f", false, "Force the removal of a running container (uses SIGKILL)")
	f.BoolVarP(&o.Volumes, "volumes", "v", false, "Remove anonymous volumes associated with the container")
	f.BoolVarP(&o.Link, "link", "l", false, "Remove the specified link")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		return a.eachPrinted(args, func(name string) error {
			trimmed := strings.Trim(name, "/")
			if trimmed == "" {
				return errors.New("container name cannot be empty")
			}
			err := c.ContainerRemove(cmd.Context(), trimmed, o)
			if o.Force && client.IsNotFound(err) {
				fmt.Fprintf(a.err, "naru: warning: %v\n", err)
				return errNothingDone
			}
			return err
		})
	})
	return cmd
}

func (a *app) renameCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rename CONTAINER NEW_NAME", Short: "Rename a container", Args: exactly(2), ValidArgsFunction: a.completeContainers(1, anyState),
	}
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		if strings.TrimSpace(args[0]) == "" || strings.TrimSpace(args[1]) == "" {
			return errors.New("neither old nor new names may be empty")
		}
		return c.ContainerRename(cmd.Context(), args[0], args[1])
	})
	return cmd
}

func (a *app) waitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "wait CONTAINER [CONTAINER...]", Short: "Block until one or more containers stop, then print their exit codes",
		Args: atLeast(1), ValidArgsFunction: a.completeContainers(0, isRunning),
	}
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		return each(args, func(name string) error {
			code, err := waitFor(cmd.Context(), c, name)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.out, code)
			return nil
		})
	})
	return cmd
}

// waitFor waits for the end of a container, also across deaths of the engine, which its containers survive.
func waitFor(ctx context.Context, c *client.Client, name string) (code int, err error) {
	for range maxResumes {
		var w *client.Waiting
		if w, err = c.ContainerWait(ctx, name, container.WaitConditionNotRunning); err != nil {
			return 0, err
		}
		if code, err = w.Result(); err == nil {
			return code, nil
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	return 0, err
}
