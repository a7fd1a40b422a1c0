package container

import (
	"fmt"
	"net/netip"
	goruntime "runtime"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"naru/guest/runtime"
)

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// validate refuses what start could not do, in Docker's words. Warnings are for the user.
func (m *Manager) validate(o CreateOptions) (warnings []string, err error) {
	checks := []func() error{
		func() error { return checkConfig(o.Config) },
		func() error { return checkPolicies(o.HostConfig) },
		func() error { return checkMemory(o.HostConfig) },
		func() error { return checkCPU(o.HostConfig) },
		func() error { return checkNetwork(o.Config, o.HostConfig) },
		func() error { return runtime.Validate(o.HostConfig) },
		func() error { return m.Volumes.Validate(o.Config, o.HostConfig) },
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return nil, err
		}
	}
	hc := o.HostConfig
	if len(hc.LogConfig.Config) > 0 {
		warnings = append(warnings, "naru does not apply options of a log driver yet: the log grows without bound")
	}
	if hc.NetworkMode.IsHost() && (len(hc.PortBindings) > 0 || hc.PublishAllPorts) {
		warnings = append(warnings, "Published ports are discarded when using host network mode")
	}
	if hc.Init != nil && *hc.Init && m.InitPath == "" {
		return nil, errdefs.ErrNotImplemented.WithMessage("this engine has no init program for --init")
	}
	return warnings, nil
}

func checkConfig(c *container.Config) error {
	if len(c.Entrypoint) == 0 && len(c.Cmd) == 0 {
		return invalid("no command specified")
	}
	if c.WorkingDir != "" && !strings.HasPrefix(c.WorkingDir, "/") {
		return invalid("the working directory '%s' is invalid, it needs to be an absolute path", c.WorkingDir)
	}
	for _, kv := range c.Env {
		if kv == "" || strings.HasPrefix(kv, "=") {
			return invalid("invalid environment variable: %s", kv)
		}
		if strings.ContainsRune(kv, 0) {
			return invalid("invalid environment variable: NUL byte")
		}
	}
	if len(c.Hostname) > 64 || len(c.Domainname) > 64 {
		return invalid("invalid hostname: %s%s: longer than 64 bytes", c.Hostname, c.Domainname)
	}
	if c.StopSignal != "" {
		if _, err := parseSignal(c.StopSignal); err != nil {
			return err
		}
	}
	return checkHealth(c.Healthcheck)
}

func checkPolicies(hc *container.HostConfig) error {
	if err := container.ValidateRestartPolicy(hc.RestartPolicy); err != nil {
		return invalid("%s", err)
	}
	if hc.AutoRemove && !hc.RestartPolicy.IsNone() {
		return invalid("can't create 'AutoRemove' container with restart policy")
	}
	if !hc.Isolation.IsDefault() {
		return invalid("invalid isolation %q on linux", hc.Isolation)
	}
	switch hc.LogConfig.Type {
	case "json-file", "none":
	default:
		return invalid("logger: no log driver named '%s' is registered", hc.LogConfig.Type)
	}
	return nil
}

const minMemory = 6 << 20

func checkMemory(hc *container.HostConfig) error {
	switch {
	case hc.Memory != 0 && hc.Memory < minMemory:
		return invalid("Minimum memory limit allowed is 6MB")
	case hc.Memory > 0 && hc.MemorySwap > 0 && hc.MemorySwap < hc.Memory:
		return invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	case hc.Memory == 0 && hc.MemorySwap > 0:
		return invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	case hc.MemoryReservation > 0 && hc.MemoryReservation < minMemory:
		return invalid("Minimum memory reservation allowed is 6MB")
	case hc.Memory > 0 && hc.MemoryReservation > 0 && hc.Memory < hc.MemoryReservation:
		return invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
	case hc.MemorySwappiness != nil && *hc.MemorySwappiness != -1 && (*hc.MemorySwappiness < 0 || *hc.MemorySwappiness > 100):
		return invalid("Invalid value: %d, valid memory swappiness range is 0-100", *hc.MemorySwappiness)
	case hc.ShmSize < 0:
		return invalid("SHM size can not be less than 0")
	case hc.OomScoreAdj < -1000 || hc.OomScoreAdj > 1000:
		return invalid("Invalid value %d, range for oom score adj is [-1000, 1000]", hc.OomScoreAdj)
	}
	return nil
}

func checkCPU(hc *container.HostConfig) error {
	n := goruntime.NumCPU()
	switch {
	case hc.NanoCPUs < 0 || hc.NanoCPUs > int64(n)*1e9:
		return invalid("range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", n, n)
	case hc.NanoCPUs > 0 && hc.CPUPeriod > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
	case hc.NanoCPUs > 0 && hc.CPUQuota > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set.")
	case hc.CPUShares < 0:
		return invalid("invalid CPU shares (%d): value must be a positive integer", hc.CPUShares)
	case hc.CPUPeriod != 0 && (hc.CPUPeriod < 1000 || hc.CPUPeriod > 1000000):
		return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	case hc.CPUQuota > 0 && hc.CPUQuota < 1000:
		return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
	}
	return nil
}

func checkNetwork(c *container.Config, hc *container.HostConfig) error {
	if len(hc.Links) > 0 {
		return errdefs.ErrNotImplemented.WithMessage("naru does not serve --link yet")
	}
	mode := hc.NetworkMode
	if mode.IsContainer() {
		switch {
		case mode.ConnectedContainer() == "":
			return invalid("invalid container format container:<name|id>")
		case c.Hostname != "":
			return invalid("conflicting options: hostname and the network mode")
		case len(hc.DNS) > 0:
			return invalid("conflicting options: dns and the network mode")
		case len(hc.ExtraHosts) > 0:
			return invalid("conflicting options: custom host-to-IP mapping and the network mode")
		case len(hc.PortBindings) > 0 || hc.PublishAllPorts:
			return invalid("conflicting options: port publishing and the container type network mode")
		case len(c.ExposedPorts) > 0:
			c.ExposedPorts = nil
		}
	}
	for _, extra := range hc.ExtraHosts {
		host, addr, ok := strings.Cut(extra, ":")
		if !ok || host == "" {
			return invalid("bad format for add-host: %q", extra)
		}
		if addr == "host-gateway" {
			continue
		}
		if _, err := netip.ParseAddr(strings.Trim(addr, "[]")); err != nil {
			return invalid("invalid IP address in add-host: %q", addr)
		}
	}
	return nil
}
