package cli

import (
	"fmt"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"naru/host/machine"
)

func (a *app) machineStatusCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{Use: "status [OPTIONS]", Short: "Tell whether the VM runs and what it uses", Args: exactly(0)}
	cmd.Flags().StringVarP(&format, "format", "f", "", `Format output: "json" or a Go template`)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		home, err := a.home()
		if err != nil {
			return err
		}
		s, err := machine.GetStatus(cmd.Context(), home)
		if err != nil {
			return err
		}
		if format != "" {
			return a.printOne(s, format)
		}
		a.printMachine(s)
		return nil
	}
	return cmd
}

func (a *app) printMachine(s *machine.Status) {
	line := func(name, form string, args ...any) {
		fmt.Fprintf(a.out, "%-12s %s\n", name+":", fmt.Sprintf(form, args...))
	}
	size := func(n uint64) string { return units.BytesSize(float64(n)) }
	state := string(s.State)
	if s.Step != "" {
		state += ": " + s.Step
	}
	line("State", "%s", state)
	if s.Error != "" {
		line("Error", "%s", s.Error)
	}
	if s.Backend != "" {
		line("VM", "one, %s with %s (pid %d)", s.Backend, s.Accel, s.VMPid)
	}
	if s.Note != "" {
		line("Note", "%s", s.Note)
	}
	if s.Boot > 0 {
		line("Boot", "%v, up %s", s.Boot.Round(10*time.Millisecond), units.HumanDuration(time.Since(s.Started)))
	}
	if s.CPUs > 0 {
		line("CPUs", "%d", s.CPUs)
		line("Memory", "%s of this host's, at most %s", size(s.HostMemory), size(s.Memory))
		line("Disk", "%s of this host's, at most %s", size(s.HostDisk), size(s.Disk))
	}
	if g := s.Guest; g != nil {
		line("Kernel", "%s", g.Kernel)
		line("Containers", "%d running", g.Containers)
		line("In use", "memory %s of %s, disk %s of %s", size(g.MemoryUsed), size(g.MemoryTotal), size(g.DataUsed), size(g.DataTotal))
	}
	for _, share := range s.Shares {
		mode := ""
		if share.ReadOnly {
			mode = ", read-only"
		}
		line("Share", "%s (%s%s)", share.Path, share.Type, mode)
	}
	for _, p := range s.Ports {
		line("Port", "%s:%d/%s -> %s", p.HostIP, p.HostPort, p.Protocol, p.Target)
	}
	line("Socket", "%s", s.Socket)
}
