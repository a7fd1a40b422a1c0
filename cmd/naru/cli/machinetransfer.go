package cli

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"naru/cmd/naru/terminal"
	"naru/host/machine/transfer"
)

func (a *app) machineExportCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "export [OPTIONS]", Short: "Write the VM's data, all images, containers and volumes, to a file", Args: exactly(0),
		Long: "Write the VM's data disk, with all images, containers and volumes, to a file (streamed to STDOUT by default). The VM must be stopped.",
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to a file, instead of STDOUT")
	cmd.RunE = func(*cobra.Command, []string) error {
		home, err := a.home()
		if err != nil {
			return err
		}
		if output == "" {
			if terminal.Is(a.out) {
				return errors.New("cowardly refusing to write to a terminal: use -o, or redirect the output")
			}
			return transfer.Export(home, a.version, a.out)
		}
		f, err := os.OpenFile(output, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(transfer.Export(home, a.version, f), f.Close()); err != nil {
			_ = os.Remove(output)
			return err
		}
		return nil
	}
	return cmd
}

func (a *app) machineImportCommand() *cobra.Command {
	var input string
	cmd := &cobra.Command{
		Use: "import [OPTIONS]", Short: "Make the VM's data from a file that machine export wrote", Args: exactly(0),
		Long: "Make the VM's data disk from a file that machine export wrote (from STDIN by default). A VM that has data keeps it: the import is refused.",
	}
	cmd.Flags().StringVarP(&input, "input", "i", "", "Read from a file, instead of STDIN")
	cmd.RunE = func(*cobra.Command, []string) error {
		home, err := a.home()
		if err != nil {
			return err
		}
		if input == "" {
			return transfer.Import(home, a.in)
		}
		f, err := os.Open(input)
		if err != nil {
			return err
		}
		defer f.Close()
		return transfer.Import(home, f)
	}
	return cmd
}
