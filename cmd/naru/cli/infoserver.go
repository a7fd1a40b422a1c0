package cli

import (
	"fmt"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/system"

	"naru/guest/api"
)

// printServer has the lines of Docker's `info`, and after the server's version those that only naru has.
func (a *app) printServer(i system.Info, ours api.Info) {
	l := list{a.out}
	fmt.Fprintln(a.out, "Server:")
	l.always(" Containers:", i.Containers)
	l.always("  Running:", i.ContainersRunning)
	l.always("  Paused:", i.ContainersPaused)
	l.always("  Stopped:", i.ContainersStopped)
	l.always(" Images:", i.Images)
	l.line(" Server Version:", i.ServerVersion)
	l.line(" Runs:", runsIn(ours))
	for n, s := range ours.Shares {
		if n == 0 {
			fmt.Fprintln(a.out, " Shares:")
		}
		fmt.Fprintln(a.out, "  "+s.Path)
	}
	printDrivers(l, i)
	printRuntimes(l, i)
	printHost(l, i)
	printSettings(l, i)
	fmt.Fprintln(a.out)
	for _, w := range i.Warnings {
		fmt.Fprintln(a.err, w)
	}
}

func printDrivers(l list, i system.Info) {
	l.line(" Storage Driver:", i.Driver)
	for _, pair := range i.DriverStatus {
		l.always("  "+pair[0]+":", pair[1])
	}
	l.line(" Logging Driver:", i.LoggingDriver)
	l.line(" Cgroup Driver:", i.CgroupDriver)
	l.line(" Cgroup Version:", i.CgroupVersion)
	fmt.Fprintln(l.w, " Plugins:")
	l.always("  Volume:", strings.Join(i.Plugins.Volume, " "))
	l.always("  Network:", strings.Join(i.Plugins.Network, " "))
	l.line("  Authorization:", strings.Join(i.Plugins.Authorization, " "))
	l.always("  Log:", strings.Join(i.Plugins.Log, " "))
	l.items(" CDI spec directories:", i.CDISpecDirs)
	var devices []string
	for _, d := range i.DiscoveredDevices {
		devices = append(devices, d.Source+": "+d.ID)
	}
	l.items(" Discovered Devices:", devices)
	l.always(" Swarm:", i.Swarm.LocalNodeState)
}

func printRuntimes(l list, i system.Info) {
	if len(i.Runtimes) > 0 {
		l.always(" Runtimes:", strings.Join(sortedKeys(i.Runtimes), " "))
		l.always(" Default Runtime:", i.DefaultRuntime)
	}
	if i.OSType != "linux" {
		return
	}
	l.always(" Init Binary:", i.InitBinary)
	l.always(" containerd version:", i.ContainerdCommit.ID)
	l.always(" "+i.DefaultRuntime+" version:", i.RuncCommit.ID)
	l.always(" init version:", i.InitCommit.ID)
	var options []string
	for _, option := range i.SecurityOptions {
		name, more, _ := strings.Cut(strings.TrimPrefix(option, "name="), ",")
		options = append(options, name)
		for _, o := range strings.Split(more, ",") {
			if profile, ok := strings.CutPrefix(o, "profile="); ok {
				options = append(options, " Profile: "+profile)
			}
		}
	}
	l.items(" Security Options:", options)
}

func printHost(l list, i system.Info) {
	l.line(" Kernel Version:", i.KernelVersion)
	l.line(" Operating System:", i.OperatingSystem)
	l.line(" OSType:", i.OSType)
	l.line(" Architecture:", i.Architecture)
	l.always(" CPUs:", i.NCPU)
	l.always(" Total Memory:", units.BytesSize(float64(i.MemTotal)))
	l.line(" Name:", i.Name)
	l.line(" ID:", i.ID)
	l.always(" Docker Root Dir:", i.DockerRootDir)
	l.always(" Debug Mode:", i.Debug)
	if i.Debug {
		l.always("  File Descriptors:", i.NFd)
		l.always("  Goroutines:", i.NGoroutines)
		l.always("  System Time:", i.SystemTime)
		l.always("  EventsListeners:", i.NEventsListener)
	}
	l.line(" HTTP Proxy:", i.HTTPProxy)
	l.line(" HTTPS Proxy:", i.HTTPSProxy)
	l.line(" No Proxy:", i.NoProxy)
}

func printSettings(l list, i system.Info) {
	l.items(" Labels:", i.Labels)
	l.always(" Experimental:", i.ExperimentalBuild)
	if r := i.RegistryConfig; r != nil {
		var insecure []string
		for _, name := range sortedKeys(r.IndexConfigs) {
			if !r.IndexConfigs[name].Secure {
				insecure = append(insecure, name)
			}
		}
		for _, cidr := range r.InsecureRegistryCIDRs {
			insecure = append(insecure, cidr.String())
		}
		l.items(" Insecure Registries:", insecure)
		l.items(" Registry Mirrors:", r.Mirrors)
	}
	l.always(" Live Restore Enabled:", i.LiveRestoreEnabled)
	if len(i.DefaultAddressPools) > 0 {
		fmt.Fprintln(l.w, " Default Address Pools:")
		for _, p := range i.DefaultAddressPools {
			fmt.Fprintf(l.w, "   Base: %s, Size: %d\n", p.Base, p.Size)
		}
	}
	if i.FirewallBackend != nil {
		l.always(" Firewall Backend:", i.FirewallBackend.Driver)
		for _, pair := range i.FirewallBackend.Info {
			l.always("  "+pair[0]+":", pair[1])
		}
	}
}
