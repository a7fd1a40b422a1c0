package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"naru/host/client"
)

func (a *app) topCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "top CONTAINER [ps OPTIONS]", Short: "Display the running processes of a container", Args: atLeast(1),
		Example:           "  naru top web\n  naru top web aux\n  naru top web -eo pid,user,etime,args --sort=-etime",
		ValidArgsFunction: a.completeContainers(1, isRunning),
	}
	cmd.Flags().SetInterspersed(false)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		top, err := c.ContainerTop(cmd.Context(), args[0], args[1:])
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(a.out, 20, 1, 3, ' ', 0)
		fmt.Fprintln(w, strings.Join(top.Titles, "\t"))
		for _, p := range top.Processes {
			fmt.Fprintln(w, strings.Join(p, "\t"))
		}
		return w.Flush()
	})
	return cmd
}
