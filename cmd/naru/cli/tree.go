package cli

import (
	"os"

	"github.com/spf13/cobra"
)

// Tree is every command with its flags and subcommands, for what is made of them: manuals and completions.
func Tree(version string) *cobra.Command {
	a := &app{version: version, args: []string{"help"}, in: os.Stdin, out: os.Stdout, err: os.Stderr}
	return a.rootCommand()
}
