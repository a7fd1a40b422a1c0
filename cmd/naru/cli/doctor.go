package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"naru/host/doctor"
)

func (a *app) doctorCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "doctor [OPTIONS]", Short: "Tell what this host can do, what is wrong, and what mends it", Args: exactly(0),
		Long: "Tell what this host can do for naru, what is wrong, and the command that mends it. Nothing is started and nothing\n" +
			"changed. The exit code is 1 when something will fail in the current context.",
		Example: "  naru doctor\n  naru doctor --format json", ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", `Format output: "json"`)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		home, err := a.home()
		if err != nil {
			return err
		}
		current, err := a.resolve()
		if err != nil {
			return err
		}
		report := doctor.Examine(cmd.Context(), doctor.Options{Home: home, Version: a.version, Context: current.Name})
		switch format {
		case "":
			printReport(a.out, report)
		case "json":
			if err := json.NewEncoder(a.out).Encode(report); err != nil {
				return err
			}
		default:
			return fmt.Errorf("invalid --format: %q, possible is json", format)
		}
		if report.Problems() > 0 {
			return &exitError{code: codeFailed}
		}
		return nil
	}
	return cmd
}

// marks are how a finding begins.
var marks = map[doctor.Status]string{doctor.OK: "ok", doctor.Note: "note", doctor.Problem: "PROBLEM"}

func printReport(w io.Writer, r *doctor.Report) {
	fmt.Fprintf(w, "naru %s on %s/%s, context %s\n", r.Version, r.OS, r.Arch, r.Context)
	area := ""
	for _, f := range r.Findings {
		if f.Area != area {
			area = f.Area
			fmt.Fprintf(w, "\n%s\n", area)
		}
		fmt.Fprintf(w, "  %-8s %s: %s\n", marks[f.Status], f.Check, f.Text)
		if f.Fix != "" {
			fmt.Fprintf(w, "  %-8s   %s\n", "", f.Fix)
		}
	}
	switch n := r.Problems(); n {
	case 0:
		fmt.Fprintln(w, "\nNothing is wrong.")
	case 1:
		fmt.Fprintln(w, "\n1 problem.")
	default:
		fmt.Fprintf(w, "\n%d problems.\n", n)
	}
}
