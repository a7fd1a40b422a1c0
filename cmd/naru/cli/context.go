package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/target"
)

func (a *app) contextCommands() []*cobra.Command {
	return []*cobra.Command{a.contextListCommand(), a.contextUseCommand(), a.contextInspectCommand()}
}

// contextRow has the fields of `context ls --format`.
type contextRow struct {
	Current     bool
	Description string
	Name        string
	Socket      string
}

// Star marks the current context in the table.
func (r contextRow) Star() string {
	if r.Current {
		return r.Name + " *"
	}
	return r.Name
}

var contextTable = table.Spec{
	Default: "{{.Star}}\t{{.Description}}\t{{.Socket}}",
	Header:  table.Header{"Star": "NAME", "Name": "NAME", "Description": "DESCRIPTION", "Socket": "SOCKET", "Current": "CURRENT"},
}

// contexts are those of the installation, and the current one when it is another.
func (a *app) contexts() ([]contextRow, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	current, err := a.resolve()
	if err != nil {
		return nil, err
	}
	var rows []contextRow
	for name, description := range map[string]string{
		target.Direct: "directly on this Linux", target.Machine: "in the one small VM",
	} {
		if name == target.Direct && target.Default() != target.Direct {
			continue
		}
		t, err := target.Named(name, home)
		if err != nil {
			return nil, err
		}
		rows = append(rows, contextRow{Name: name, Description: description, Socket: t.Socket, Current: current.Name == name})
	}
	if len(rows) == 2 && rows[0].Name > rows[1].Name {
		rows[0], rows[1] = rows[1], rows[0]
	}
	if current.IsURL() {
		rows = append(rows, contextRow{Name: current.Name, Description: "chosen by " + current.Origin, Socket: current.Socket, Current: true})
	}
	return rows, nil
}

func (a *app) contextListCommand() *cobra.Command {
	var quiet bool
	var format string
	cmd := &cobra.Command{Use: "ls [OPTIONS]", Short: "List contexts and their sockets", Aliases: []string{"list"}, Args: exactly(0)}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "Only show context names")
	cmd.Flags().StringVar(&format, "format", "", formatHelp)
	cmd.RunE = func(*cobra.Command, []string) error {
		rows, err := a.contexts()
		if err != nil {
			return err
		}
		if quiet && format == "" {
			format = "{{.Name}}"
		}
		return table.Print(a.out, format, contextTable, rows)
	}
	return cmd
}

func (a *app) contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use CONTEXT", Short: "Choose the context of all later commands", Args: exactly(1),
		ValidArgsFunction: fixed(target.Direct, target.Machine),
		RunE: func(_ *cobra.Command, args []string) error {
			home, err := a.home()
			if err != nil {
				return err
			}
			if err := target.Use(home, args[0]); err != nil {
				return err
			}
			fmt.Fprintln(a.out, args[0])
			if now, err := a.resolve(); err == nil && now.Name != args[0] {
				fmt.Fprintf(a.err, "naru: warning: %s is set and chooses %s\n", now.Origin, now.Name)
			}
			return nil
		},
	}
}

func (a *app) contextInspectCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "inspect [OPTIONS] [CONTEXT]", Short: "Show a context, by default the current one", Args: upTo(0, 1),
		ValidArgsFunction: fixed(target.Direct, target.Machine),
	}
	cmd.Flags().StringVarP(&format, "format", "f", "json", `Format output: "json" or a Go template`)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		rows, err := a.contexts()
		if err != nil {
			return err
		}
		for _, r := range rows {
			if len(args) == 0 && r.Current || len(args) == 1 && r.Name == args[0] {
				return a.printOne(r, format)
			}
		}
		return fmt.Errorf("unknown context %q", args[0])
	}
	return cmd
}
