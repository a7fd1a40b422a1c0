package cli

import (
	"context"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"naru/host/client"
)

func (a *app) attachCommand() *cobra.Command {
	var noStdin, proxy bool
	var keys string
	cmd := &cobra.Command{
		Use: "attach [OPTIONS] CONTAINER", Short: "Attach local standard input, output, and error streams to a running container",
		Args: exactly(1), ValidArgsFunction: a.completeContainers(1, isRunning),
	}
	f := cmd.Flags()
	f.BoolVar(&noStdin, "no-stdin", false, "Do not attach STDIN")
	f.BoolVar(&proxy, "sig-proxy", true, "Proxy all received signals to the process")
	f.StringVar(&keys, "detach-keys", "", "Override the key sequence for detaching a container")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		return a.attachTo(cmd.Context(), c, args[0], !noStdin, proxy, keys)
	})
	return cmd
}

func (a *app) attachTo(ctx context.Context, c *client.Client, name string, stdin, proxy bool, keys string) error {
	info, err := c.ContainerInspect(ctx, name)
	if err != nil {
		return err
	}
	switch {
	case !info.State.Running:
		return attachError("stopped container, start it first")
	case info.State.Paused:
		return attachError("paused container, unpause it first")
	case info.State.Restarting:
		return attachError("restarting container, wait until it is running")
	}
	config := *info.Config
	config.AttachStdin = stdin && config.OpenStdin
	if err := a.checkTerminal(&config); err != nil {
		return err
	}
	s := &session{
		app: a, client: c, id: info.ID, tty: config.Tty, proxy: proxy,
		attach: client.AttachOptions{Stdin: config.AttachStdin, Stdout: true, Stderr: true},
		wait:   container.WaitConditionNotRunning,
	}
	if s.keys, err = detachKeys(keys); err != nil {
		return err
	}
	return s.run(ctx)
}

// attachError is in Docker's words.
type attachError string

func (e attachError) Error() string { return "cannot attach to a " + string(e) }
