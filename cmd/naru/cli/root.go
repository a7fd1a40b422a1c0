package cli

import (
	"fmt"
	"slices"
	"strings"

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

// usageTemplate is cobra's without its second usage line and its own topics.
const usageTemplate = `Usage:  {{.UseLine}}
{{- if .Aliases}}

Aliases:  {{.NameAndAliases}}{{end}}
{{- if .HasExample}}

Examples:
{{.Example}}{{end}}
{{- if .HasAvailableSubCommands}}{{$cmds := .Commands}}
{{- if eq (len .Groups) 0}}

Commands:{{range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{else}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if (and (eq .GroupID $group.ID) (or .IsAvailableCommand (eq .Name "help")))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{end}}
{{- if .HasAvailableLocalFlags}}

Options:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{- if .HasAvailableSubCommands}}

{{.CommandPath}} COMMAND --help tells more about a command.{{end}}
`

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
	root.SetUsageTemplate(usageTemplate)
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
	// Making every command takes longer than all else that is done before the engine is asked: what is not named on
	// the command line gets no flags and no subcommands.
	add := func(group string, cmds ...*cobra.Command) {
		for _, cmd := range cmds {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupRun, a.runCommand(), a.createCommand(), a.startCommand(), a.stopCommand(), a.restartCommand(),
		a.killCommand(), a.pauseCommand(), a.unpauseCommand(), a.updateCommand(), a.rmCommand(), a.execCommand(), a.attachCommand(),
		a.waitCommand(), a.renameCommand(), a.cpCommand(), a.commitCommand(), a.exportCommand())
	add(groupLook, a.psCommand(), a.logsCommand(), a.inspectCommand(), a.portCommand(), a.diffCommand(), a.topCommand(), a.statsCommand(), a.eventsCommand(),
		a.diskUsageCommand())
	add(groupImages, a.pullCommand(), a.pushCommand(), a.imagesCommand(), a.rmiCommand(), a.tagCommand(), a.loadCommand(), a.saveCommand(),
		a.importCommand(), a.historyCommand(), a.loginCommand(), a.logoutCommand(), a.buildCommand(), a.buildxCommand())
	add(groupManage, a.composeCommand(), a.group("container", "Manage containers", a.containerCommands), a.group("image", "Manage images", a.imageCommands),
		a.group("volume", "Manage volumes", a.volumeCommands), a.group("network", "Manage networks", a.networkCommands),
		a.group("system", "Manage the engine as a whole", a.systemCommands))
	add(groupOurself, a.group("context", "Choose where containers run", a.contextCommands),
		a.group("engine", "Look after the engine that runs containers directly on this Linux", a.engineCommands),
		a.group("machine", "Look after the VM", a.machineCommands), a.doctorCommand(), a.infoCommand(), a.versionCommand(), a.completionCommand())
	quietUseLine(root)
	giveExamples(root)
	return root
}

// quietUseLine leaves "[flags]" away: the use lines say [OPTIONS] themselves.
func quietUseLine(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	for _, c := range cmd.Commands() {
		quietUseLine(c)
	}
}

// containerCommands and imageCommands are the same commands under Docker's longer names.
func (a *app) containerCommands() []*cobra.Command {
	ls := a.psCommand()
	ls.Use, ls.Aliases = "ls [OPTIONS]", []string{"list", "ps"}
	return []*cobra.Command{a.runCommand(), a.createCommand(), a.startCommand(), a.stopCommand(),
		a.restartCommand(), a.killCommand(), a.pauseCommand(), a.unpauseCommand(), a.updateCommand(), a.rmCommand(), a.execCommand(), a.attachCommand(), a.waitCommand(), a.renameCommand(),
		a.cpCommand(), a.commitCommand(), a.exportCommand(), a.diffCommand(), ls, a.logsCommand(), a.portCommand(), a.topCommand(), a.statsCommand(), a.inspectKind("container"), a.containerPruneCommand()}
}

func (a *app) imageCommands() []*cobra.Command {
	ls, rm := a.imagesCommand(), a.rmiCommand()
	ls.Use, ls.Aliases = "ls [OPTIONS] [REPOSITORY[:TAG]]", []string{"list"}
	rm.Use, rm.Aliases = "rm [OPTIONS] IMAGE [IMAGE...]", []string{"remove"}
	return []*cobra.Command{ls, rm, a.pullCommand(), a.pushCommand(), a.tagCommand(), a.loadCommand(), a.saveCommand(),
		a.importCommand(), a.historyCommand(), a.inspectKind("image"), a.imagePruneCommand()}
}

// group is a command that only has subcommands, which are made when it is named.
func (a *app) group(name, short string, cmds func() []*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: name + " COMMAND", Short: short, Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	if a.named(name) {
		g.AddCommand(cmds()...)
	}
	return g
}

// named tells whether a command is on the command line, or help or the shell may ask for any.
func (a *app) named(command string) bool {
	return slices.ContainsFunc(a.args, func(arg string) bool {
		return arg == command || arg == "help" || strings.HasPrefix(arg, cobra.ShellCompRequestCmd)
	})
}

// notYet are Docker's verbs that naru does not have.
var notYet = []string{
	"manifest", "plugin", "search", "swarm",
}

// knownCommand refuses arguments of a command that only has subcommands: they are misspelt ones.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
	if !cmd.HasParent() && slices.Contains(notYet, args[0]) {
		return &hinted{fmt.Errorf("naru has no %s yet", args[0]), "naru --help lists what it has"}
	}
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	hint := cmd.CommandPath() + " --help"
	if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
		hint = "did you mean " + cmd.CommandPath() + " " + strings.Join(names[:min(3, len(names))], ", or "+cmd.CommandPath()+" ") + "?"
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
