package cli

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"naru/cmd/naru/progress"
	"naru/cmd/naru/terminal"
	"naru/host/machine"
	"naru/host/target"
)

func (a *app) machineCommands() []*cobra.Command {
	return []*cobra.Command{a.machineStartCommand(), a.machineStopCommand(), a.autostartCommand(), a.machineSetCommand(), a.machineStatusCommand(),
		a.machineShellCommand(), a.machineLogsCommand(), a.machineExportCommand(), a.machineImportCommand(), a.machineResetCommand()}
}

// steps shows what the machine is doing.
func (a *app) steps(title string) *progress.Steps {
	return progress.NewSteps(a.err, terminal.Is(a.err), title)
}

func (a *app) machineStartCommand() *cobra.Command {
	var o machineSettings
	cmd := &cobra.Command{
		Use: "start [OPTIONS]", Short: "Start the VM and wait until its engine answers", Args: exactly(0),
		Long: "Start the VM and wait until its engine answers. The options are stored and hold for later starts too.",
	}
	o.add(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		home, err := a.home()
		if err != nil {
			return err
		}
		if err := a.storeMachine(cmd, home, &o); err != nil {
			return err
		}
		steps := a.steps("starting the machine")
		_, err = machine.Ensure(cmd.Context(), home, steps.Step)
		steps.Done()
		if err != nil {
			t, _ := target.Named(target.Machine, home)
			return &target.StartError{Target: t, Err: err}
		}
		return nil
	}
	return cmd
}

func (a *app) machineStopCommand() *cobra.Command {
	var kill bool
	cmd := &cobra.Command{Use: "stop [OPTIONS]", Short: "Stop all containers in the VM and the VM", Args: exactly(0)}
	cmd.Flags().BoolVar(&kill, "kill", false, "Do not ask the guest: end the VM at once, like a power cut")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		home, err := a.home()
		if err != nil {
			return err
		}
		steps := a.steps("stopping the machine")
		defer steps.Done()
		return machine.Stop(cmd.Context(), home, kill, steps.Step)
	}
	return cmd
}

func (a *app) machineLogsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logs", Short: "Print what naru-machine logged and what the guest's kernel wrote", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			home, err := a.home()
			if err != nil {
				return err
			}
			return machine.Logs(home, a.out)
		},
	}
}

func (a *app) machineResetCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{Use: "reset [OPTIONS]", Short: "Stop the VM and remove it with all images, containers and volumes in it", Args: exactly(0)}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Do not prompt for confirmation")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		home, err := a.home()
		if err != nil {
			return err
		}
		if !force && !a.confirm("WARNING! This will remove the VM with all images, containers and volumes in it.") {
			return errors.New("cancelled")
		}
		steps := a.steps("stopping the machine")
		defer steps.Done()
		return machine.Reset(cmd.Context(), home, steps.Step)
	}
	return cmd
}

func (a *app) machineShellCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "shell [COMMAND [ARG...]]", Short: "Open a root shell in the VM, or run a command there", Args: cobra.ArbitraryArgs,
	}
	cmd.Flags().SetInterspersed(false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		home, err := a.home()
		if err != nil {
			return err
		}
		sh := machine.Shell{Command: strings.Join(args, " ")}
		if terminal.Is(a.in) && terminal.Is(a.out) {
			rows, cols, _ := terminal.Size(a.out)
			sh.Term, sh.Rows, sh.Cols = envOr("TERM", "xterm"), uint16(rows), uint16(cols)
		}
		conn, err := machine.OpenShell(cmd.Context(), home, sh)
		if errors.Is(err, machine.ErrNotRunning) {
			return &hinted{err, "naru machine start"}
		}
		if err != nil {
			return err
		}
		defer conn.Close()
		if sh.Term != "" {
			restore, err := terminal.Raw(a.in, a.out)
			if err != nil {
				return err
			}
			defer restore()
		}
		go copyShellInput(conn, a.in) // a read of our stdin cannot be ended: it lives on until the process ends
		return copyAll(cmd.Context(), a.out, conn)
	}
	return cmd
}

func copyShellInput(conn interface {
	io.Writer
	CloseWrite() error
}, in *os.File) {
	_, _ = io.Copy(conn, in)
	_ = conn.CloseWrite()
}
