package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Groups of the help page.
const (
	groupRun     = "run"
	groupLook    = "look"
	groupImages  = "images"
	groupManage  = "manage"
	groupOurself = "naru"
)

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "naru [--context CONTEXT] COMMAND",
		Short: "Containers for your own machine",
		Long: `Containers for your own machine: directly on Linux, in one small VM elsewhere.
The verbs and flags are Docker's. What has to run for a command is started by it.`,
		Example:          "  naru run --rm hello\n  naru run -it --rm debian bash\n  naru run -d --name web -p 8080:80 nginx",
		SilenceErrors:    true,
		SilenceUsage:     true,
		TraverseChildren: true,
		Version:          a.version,
		Args:             knownCommand,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("naru {{.Version}}\n")
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.Flags().StringVarP(&a.context, "context", "c", "", "where containers run: direct, machine, or a socket's URL")
	root.Flags().BoolP("version", "v", false, "print the version")
	_ = root.RegisterFlagCompletionFunc("context", fixed("direct", "machine"))
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Containers:"}, &cobra.Group{ID: groupLook, Title: "Looking at them:"},
		&cobra.Group{ID: groupImages, Title: "Images:"}, &cobra.Group{ID: groupManage, Title: "Management:"},
		&cobra.Group{ID: groupOurself, Title: "naru itself:"},
	)
	root.SetHelpCommandGroupID(groupOurself)
	add := func(group string, cmds ...*cobra.Command) {
		for _, cmd := range cmds {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupRun, a.runCommand(), a.createCommand(), a.startCommand(), a.stopCommand(), a.restartCommand(),
		a.killCommand(), a.rmCommand(), a.execCommand(), a.attachCommand(), a.waitCommand(), a.renameCommand())
	add(groupLook, a.psCommand(), a.logsCommand(), a.inspectCommand(), a.portCommand(), a.eventsCommand())
	add(groupImages, a.pullCommand(), a.imagesCommand(), a.rmiCommand(), a.tagCommand(), a.loadCommand(), a.saveCommand(),
		a.importCommand(), a.historyCommand())
	add(groupManage, a.containerGroup(), a.imageGroup(), a.volumeGroup(), a.networkGroup())
	add(groupOurself, a.contextGroup(), a.engineGroup(), a.machineGroup(), a.infoCommand(), a.versionCommand(), a.completionCommand())
	return root
}

// containerGroup and imageGroup are the same commands under Docker's longer names.
func (a *app) containerGroup() *cobra.Command {
	ls := a.psCommand()
	ls.Use, ls.Aliases = "ls [OPTIONS]", []string{"list", "ps"}
	return group("container", "Manage containers", a.runCommand(), a.createCommand(), a.startCommand(), a.stopCommand(),
		a.restartCommand(), a.killCommand(), a.rmCommand(), a.execCommand(), a.attachCommand(), a.waitCommand(), a.renameCommand(),
		ls, a.logsCommand(), a.portCommand(), a.inspectKind("container"), a.containerPruneCommand())
}

func (a *app) imageGroup() *cobra.Command {
	ls, rm := a.imagesCommand(), a.rmiCommand()
	ls.Use, ls.Aliases = "ls [OPTIONS] [REPOSITORY[:TAG]]", []string{"list"}
	rm.Use, rm.Aliases = "rm [OPTIONS] IMAGE [IMAGE...]", []string{"remove"}
	return group("image", "Manage images", ls, rm, a.pullCommand(), a.tagCommand(), a.loadCommand(), a.saveCommand(),
		a.importCommand(), a.historyCommand(), a.inspectKind("image"), a.imagePruneCommand())
}

// group is a command that only has subcommands.
func group(name, short string, cmds ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: name + " COMMAND", Short: short, Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.AddCommand(cmds...)
	return g
}

// knownCommand refuses arguments of a command that only has subcommands: they are misspelt ones.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	hint := cmd.CommandPath() + " --help"
	if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
		hint = "did you mean: " + cmd.CommandPath() + " " + names[0]
	}
	return &hinted{err, hint}
}

// flagError is what a flag that is unknown or has a bad value ends with, on any command.
func flagError(cmd *cobra.Command, err error) error {
	return &exitError{codeEngine, usage(cmd, err)}
}

// usage is err with the hint where to read how the command is used.
func usage(cmd *cobra.Command, err error) error {
	return &hinted{err, cmd.CommandPath() + " --help"}
}

// atLeast, exactly and upTo check the number of arguments, in Docker's words.
func atLeast(n int) cobra.PositionalArgs { return argCount(n, -1) }
func exactly(n int) cobra.PositionalArgs { return argCount(n, n) }
func upTo(least, most int) cobra.PositionalArgs {
	return argCount(least, most)
}

func argCount(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		var want string
		switch {
		case most == 0:
			want = "accepts no arguments"
		case least == most:
			want = fmt.Sprintf("requires %d argument%s", least, plural(least))
		case most < 0:
			want = fmt.Sprintf("requires at least %d argument%s", least, plural(least))
		default:
			want = fmt.Sprintf("requires at least %d and at most %d arguments", least, most)
		}
		return usage(cmd, fmt.Errorf("%q %s", cmd.CommandPath(), want))
	}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
