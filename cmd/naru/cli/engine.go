package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"naru/host/client"
	"naru/host/direct"
	"naru/host/target"
)

func (a *app) engineCommands() []*cobra.Command {
	return []*cobra.Command{a.engineStartCommand(), a.engineStopCommand(), a.engineStatusCommand()}
}

// remapUsage is of the flag --userns-remap.
const remapUsage = `Run containers in user namespaces: "default", "user[:group]" of /etc/subuid, or ids "300000-365535[:…]"; "" for none`

func (a *app) engineStartCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "start [OPTIONS]", Short: "Start the engine and wait until it answers", Args: exactly(0),
		Long: "Start the engine and wait until it answers. The options are stored and hold for later starts too.",
	}
	var settings engineSettings
	settings.add(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		home, err := a.home()
		if err != nil {
			return err
		}
		stored, err := direct.LoadSettings(home)
		if err != nil {
			return err
		}
		changed, err := settings.apply(&stored)
		if err != nil {
			return usage(cmd, err)
		}
		if changed {
			if err := direct.SaveSettings(home, stored); err != nil {
				return err
			}
			if s, err := direct.GetStatus(cmd.Context(), home); err == nil && s.Running {
				fmt.Fprintln(a.err, "naru: hint: the engine runs already; what was changed counts after naru engine stop")
			}
		}
		t, err := target.Named(target.Direct, home)
		if err != nil {
			return err
		}
		if err := direct.Ensure(cmd.Context(), home); err != nil {
			return &target.StartError{Target: t, Err: err}
		}
		c, err := directClient(t)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Ping(cmd.Context())
		return err
	}
	return cmd
}

// directClient talks to the direct engine and never starts it.
func directClient(t target.Target) (*client.Client, error) {
	dial, err := t.Dialer(false, nil)
	if err != nil {
		return nil, err
	}
	return client.New(dial, client.Options{Endpoint: t.Socket}), nil
}

func (a *app) engineStopCommand() *cobra.Command {
	return &cobra.Command{
		Use: "stop", Short: "Stop all containers of the engine and the engine", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := a.home()
			if err != nil {
				return err
			}
			_, err = direct.Stop(cmd.Context(), home)
			return err
		},
	}
}

// engineStatus is what `engine status --format` sees.
type engineStatus struct {
	direct.Status
	Version    string `json:"version,omitempty"`
	Containers int    `json:"containers"` // running
	Images     int    `json:"images"`
	Error      string `json:"error,omitempty"` // why the engine does not answer
}

// askTime bounds how long a status waits for an engine that may be ill.
const askTime = 5 * time.Second

func (a *app) engineStatusCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{Use: "status [OPTIONS]", Short: "Tell whether the engine runs", Args: exactly(0)}
	cmd.Flags().StringVarP(&format, "format", "f", "", `Format output: "json" or a Go template`)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.engineStatus(cmd.Context())
		if err != nil {
			return err
		}
		if format != "" {
			return a.printOne(s, format)
		}
		a.printEngine(s)
		return nil
	}
	return cmd
}

func (a *app) engineStatus(ctx context.Context) (s engineStatus, err error) {
	home, err := a.home()
	if err != nil {
		return s, err
	}
	if s.Status, err = direct.GetStatus(ctx, home); err != nil || !s.Running {
		return s, err
	}
	t, err := target.Named(target.Direct, home)
	if err != nil {
		return s, err
	}
	c, err := directClient(t)
	if err != nil {
		return s, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, errors.New("the engine does not answer"))
	defer cancel()
	info, _, err := c.Info(ctx)
	if err != nil {
		s.Error = err.Error()
		return s, nil
	}
	s.Version, s.Containers, s.Images = info.ServerVersion, info.ContainersRunning, info.Images
	return s, nil
}

func (a *app) printEngine(s engineStatus) {
	state := "stopped"
	if s.Running {
		state = fmt.Sprintf("running (naru-keeper %d)", s.Pid)
	}
	fmt.Fprintf(a.out, "State:      %s\n", state)
	if s.Error != "" {
		fmt.Fprintf(a.out, "Error:      %s\n", s.Error)
	} else if s.Running {
		fmt.Fprintf(a.out, "Version:    %s\nContainers: %d running\nImages:     %d\n", s.Version, s.Containers, s.Images)
	}
	fmt.Fprintf(a.out, "Socket:     %s\nRoot:       %s\nLog:        %s\n", s.Socket, s.Root, s.Log)
}
