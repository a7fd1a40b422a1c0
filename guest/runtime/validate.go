package runtime

import (
	"slices"

	"github.com/moby/moby/api/types/container"
)

// Runtimes are the names under which Docker's users know the runtime; there is one, crun.
var Runtimes = []string{"crun", "runc", "io.containerd.runc.v2"}

// Validate refuses at creation what no start could give, in Docker's words, and takes out of hc what this kernel
// does not have, with warnings. update is for HostConfig.Resources alone, see CheckResources.
func Validate(c *container.Config, hc *container.HostConfig) (warnings []string, err error) {
	if err := checkCapabilities(hc); err != nil {
		return nil, err
	}
	k := hostKernel()
	if warnings, err = CheckResources(&hc.Resources, k, false); err != nil {
		return warnings, err
	}
	opts, err := ParseSecurityOpt(hc.SecurityOpt)
	if err != nil {
		return warnings, err
	}
	for _, check := range []func() error{
		func() error { return checkModes(hc) },
		func() error { return checkUser(c.User, hc.GroupAdd) },
		func() error { return checkRuntime(hc) },
		func() error { return checkSeccomp(opts.Seccomp) },
		func() error { return checkSysctls(hc) },
		func() error { return checkDevices(hc) },
	} {
		if err := check(); err != nil {
			return warnings, err
		}
	}
	if hc.CgroupnsMode.IsPrivate() && !k.CgroupNamespaces {
		warnings = append(warnings, "Your kernel does not support cgroup namespaces.  Cgroup namespace setting discarded.")
	}
	return warnings, nil
}

func checkModes(hc *container.HostConfig) error {
	switch {
	case !hc.IpcMode.Valid():
		return invalid("invalid IPC mode: %v", hc.IpcMode)
	case !hc.PidMode.Valid():
		return invalid("invalid PID mode: %v", hc.PidMode)
	case hc.ShmSize < 0:
		return invalid("SHM size can not be less than 0")
	case !hc.UTSMode.Valid():
		return invalid("invalid UTS mode: %v", hc.UTSMode)
	case !hc.UsernsMode.Valid():
		return invalid("invalid USER mode: %v", hc.UsernsMode)
	case !hc.CgroupnsMode.Valid():
		return invalid("invalid cgroup namespace mode: %v", hc.CgroupnsMode)
	case hc.OomScoreAdj < -1000 || hc.OomScoreAdj > 1000:
		return invalid("Invalid value %d, range for oom score adj is [-1000, 1000]", hc.OomScoreAdj)
	}
	return nil
}

func checkRuntime(hc *container.HostConfig) error {
	if hc.Runtime != "" && !slices.Contains(Runtimes, hc.Runtime) {
		return invalid("unknown or invalid runtime name: %s", hc.Runtime)
	}
	if len(hc.StorageOpt) > 0 {
		// As dockerd on overlay2 above anything but xfs with project quotas.
		return invalid("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
	}
	return nil
}
