package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"naru/host/autostart"
	"naru/host/machine"
)

// autostartCommand is `machine autostart`: the VM starts at login, on Linux when somebody first connects to its engine.
func (a *app) autostartCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "autostart COMMAND", Short: "Have the VM start by itself",
		Long: "Have the VM start by itself: on Linux systemd starts it for the first who connects to its engine's socket, on macOS and Windows it starts at login.",
	}
	add := func(use, short string, run func(*autostart.Plan) error) {
		cmd.AddCommand(&cobra.Command{Use: use, Short: short, Args: exactly(0), RunE: func(*cobra.Command, []string) error {
			plan, err := a.autostartPlan()
			if err != nil {
				return err
			}
			return run(plan)
		}})
	}
	add("enable", "Have the VM start by itself from now on", func(p *autostart.Plan) error {
		if err := a.keepSettings(); err != nil {
			return err
		}
		return p.On()
	})
	add("disable", "Have the VM start when it is needed by naru only", (*autostart.Plan).Off)
	add("status", "Tell whether the VM starts by itself", func(p *autostart.Plan) error {
		word := "disabled"
		if p.Written() {
			word = "enabled"
		}
		_, err := fmt.Fprintln(a.out, word)
		return err
	})
	return cmd
}

func (a *app) autostartPlan() (*autostart.Plan, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	daemon, err := machine.DaemonPath()
	if err != nil {
		return nil, err
	}
	place, err := autostart.Here(home, daemon)
	if err != nil {
		return nil, err
	}
	return place.Make()
}

// keepSettings writes the settings of a first start: the system starts the VM in no folder of the user's.
func (a *app) keepSettings() error {
	home, err := a.home()
	if err != nil {
		return err
	}
	s, err := machine.LoadSettings(home)
	if err != nil {
		return err
	}
	return machine.SaveSettings(home, s)
}
