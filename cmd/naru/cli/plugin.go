package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"naru/cmd/naru/plugin"
	"naru/host/client"
)

// buildCommand, buildxCommand and composeCommand are Docker's own programs on this engine: their flags are not ours.
func (a *app) buildCommand() *cobra.Command {
	return a.pluginCommand("build [OPTIONS] PATH | URL | -", "Build an image from a Dockerfile", "  naru build -t web .", plugin.Buildx, "build")
}

func (a *app) buildxCommand() *cobra.Command {
	cmd := a.pluginCommand("buildx COMMAND", "Build with all of buildx: bake, imagetools, du, history", "  naru buildx bake", plugin.Buildx)
	cmd.Aliases = []string{"builder"}
	return cmd
}

func (a *app) composeCommand() *cobra.Command {
	return a.pluginCommand("compose COMMAND", "Run applications of several containers with Docker Compose", "  naru compose up -d", plugin.Compose)
}

// pluginCommand passes all of its arguments, after those given here, to a plug-in.
func (a *app) pluginCommand(use, short, example, name string, first ...string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, DisableFlagParsing: true}
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		// One of ours is started by this, when it does not run. Help needs no engine.
		if !asksForHelp(args) {
			if _, err := c.Ping(cmd.Context()); err != nil {
				return err
			}
		}
		a.leaveSignals()
		code, err := plugin.Run(cmd.Context(), name, a.target.Socket, append(first, args...))
		var missing *plugin.MissingError
		if errors.As(err, &missing) {
			return &hinted{err, "in a checkout of naru, `make plugins` builds it"}
		}
		if err != nil {
			return err
		}
		return exitCode(code)
	})
	return cmd
}

func asksForHelp(args []string) bool {
	return len(args) == 0 || args[0] == "--help" || args[0] == "-h" || args[0] == "help" || args[len(args)-1] == "--help"
}
