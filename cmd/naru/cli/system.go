package cli

import "github.com/spf13/cobra"

// systemCommands are about the engine as a whole.
func (a *app) systemCommands() []*cobra.Command {
	return []*cobra.Command{a.diskUsageCommand(), a.eventsCommand(), a.infoCommand(), a.systemPruneCommand()}
}
