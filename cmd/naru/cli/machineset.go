package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"naru/host/machine"
	"naru/platform/paths"
)

// machineSettings are the flags of `machine set` and `machine start`: they are stored and count from the next start on.
type machineSettings struct {
	cpus            int
	memory, disk    string
	shares, unshare []string
	sockets         []string
	backend         string
	idle            string
	engine          engineSettings
}

func (o *machineSettings) add(f *pflag.FlagSet) {
	f.IntVar(&o.cpus, "cpus", 0, "Number of CPUs")
	f.StringVarP(&o.memory, "memory", "m", "", "The most memory it may use, e.g. 4g")
	f.StringVar(&o.disk, "disk", "", "Size of the data disk, e.g. 200g; it can grow, never shrink")
	f.StringArrayVar(&o.shares, "share", nil, "Folder to share at the same path, DIR[:ro]")
	f.StringArrayVar(&o.sockets, "socket", nil, "Unix socket of the host that containers may bind, outside the shared folders")
	f.StringVar(&o.idle, "idle", "", `How long nothing may run until the VM is put to rest, e.g. 10m, or "off"; the next command wakes it`)
	f.StringVar(&o.backend, "backend", "", "Hypervisor to use")
	_ = f.MarkHidden("backend")
	o.engine.add(f)
}

func (a *app) machineSetCommand() *cobra.Command {
	var o machineSettings
	cmd := &cobra.Command{
		Use: "set [OPTIONS]", Short: "Change the VM's settings; they count from its next start on", Args: exactly(0),
		Long: "Change the VM's settings. They are stored, and count from its next start on.",
	}
	o.add(cmd.Flags())
	cmd.Flags().StringArrayVar(&o.unshare, "unshare", nil, "Folder to share no more")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		home, err := a.home()
		if err != nil {
			return err
		}
		if cmd.Flags().NFlag() == 0 {
			return errors.New("nothing to set: see naru machine set --help")
		}
		return a.storeMachine(cmd, home, &o)
	}
	return cmd
}

// storeMachine stores the flags and says when they count.
func (a *app) storeMachine(cmd *cobra.Command, home paths.Home, o *machineSettings) error {
	changed, err := o.store(home)
	if err != nil || !changed {
		return err
	}
	if s, err := machine.GetStatus(cmd.Context(), home); err == nil && s.State == machine.StateRunning {
		fmt.Fprintln(a.err, "naru: hint: the machine runs already; what was changed counts after naru machine stop")
	}
	return nil
}

// store writes what the user said into the machine's settings.
func (o *machineSettings) store(home paths.Home) (changed bool, err error) {
	s, err := machine.LoadSettings(home)
	if err != nil {
		return false, err
	}
	if o.cpus < 0 {
		return false, fmt.Errorf("invalid --cpus: %d", o.cpus)
	}
	if o.cpus > 0 {
		s.CPUs, changed = o.cpus, true
	}
	if o.backend != "" {
		s.Backend, changed = o.backend, true
	}
	if o.idle != "" {
		if s.Idle, err = idleSeconds(o.idle); err != nil {
			return false, err
		}
		changed = true
	}
	engineChanged, err := o.engine.apply(&s.Engine)
	if err != nil {
		return false, err
	}
	sizesChanged, err := o.sizes(home, s)
	if err != nil {
		return false, err
	}
	sharesChanged, err := o.folders(s)
	if err != nil {
		return false, err
	}
	if !changed && !engineChanged && !sizesChanged && !sharesChanged {
		return false, nil
	}
	return true, machine.SaveSettings(home, s)
}

// idleSeconds is machine.Settings.Idle.
func idleSeconds(value string) (int, error) {
	if value == "off" {
		return -1, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < time.Second {
		return 0, fmt.Errorf("invalid --idle: %q; a duration such as 10m, at least 1s, or off", value)
	}
	return int(d.Seconds()), nil
}

// sizes sets memory and disk.
func (o *machineSettings) sizes(home paths.Home, s *machine.Settings) (changed bool, err error) {
	if o.memory != "" {
		n, err := units.RAMInBytes(o.memory)
		if err != nil || n <= 0 {
			return false, fmt.Errorf("invalid --memory: %q", o.memory)
		}
		s.Memory, changed = uint64(n), true
	}
	if o.disk != "" {
		n, err := units.RAMInBytes(o.disk)
		if err != nil || n <= 0 {
			return false, fmt.Errorf("invalid --disk: %q", o.disk)
		}
		if err := machine.CheckDisk(home, uint64(n)); err != nil {
			return false, err
		}
		s.Disk, changed = uint64(n), true
	}
	return changed, nil
}

// folders sets the shares.
func (o *machineSettings) folders(s *machine.Settings) (changed bool, err error) {
	for _, share := range o.shares {
		dir, readOnly := strings.CutSuffix(share, ":ro")
		if dir, err = filepath.Abs(dir); err != nil {
			return false, err
		}
		added, err := s.AddShare(dir, readOnly)
		if err != nil {
			return false, err
		}
		changed = changed || added
	}
	for _, share := range o.unshare {
		dir, err := filepath.Abs(share)
		if err != nil {
			return false, err
		}
		if err := s.RemoveShare(dir); err != nil {
			return false, err
		}
		changed = true
	}
	for _, socket := range o.sockets {
		added, err := s.AddSocket(socket)
		if err != nil {
			return false, err
		}
		changed = changed || added
	}
	return changed, nil
}
