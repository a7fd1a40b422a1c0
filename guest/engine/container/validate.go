package container

import (
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"naru/guest/runtime"
)

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// validateRequest refuses what start could not do, in Docker's words and order. It looks at what the user said, before
// the image's defaults are merged in, and takes out what this kernel does not have. Warnings are for the user.
func (m *Manager) validateRequest(c *container.Config, hc *container.HostConfig) (warnings []string, err error) {
	checks := []func() error{
		func() error { return checkNetworkMode(c, hc) },
		func() error { return checkConfig(c) },
		func() error { return checkHostConfig(hc) },
		func() error { return m.checkUserns(hc) },
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return nil, err
		}
	}
	if warnings, err = runtime.Validate(c, hc); err != nil {
		return warnings, err
	}
	if len(c.Hostname) > maxHostname {
		return warnings, invalid("hostname %q is too long (maximum %d bytes)", c.Hostname, maxHostname)
	}
	if len(c.Domainname) > maxHostname {
		return warnings, invalid("domainname %q is too long (maximum %d bytes)", c.Domainname, maxHostname)
	}
	if hc.NetworkMode.IsHost() && len(hc.PortBindings) > 0 {
		warnings = append(warnings, "Published ports are discarded when using host network mode")
	}
	return warnings, nil
}

// maxHostname is the kernel's HOST_NAME_MAX, in bytes.
const maxHostname = 64

// validateMerged refuses what only shows with the image's defaults.
func (m *Manager) validateMerged(o CreateOptions) (warnings []string, err error) {
	if len(o.Config.Entrypoint) == 0 && len(o.Config.Cmd) == 0 {
		return nil, invalid("no command specified")
	}
	if err := checkWorkingDir(o.Config); err != nil {
		return nil, err
	}
	if err := checkLog(&o.HostConfig.LogConfig); err != nil {
		return nil, err
	}
	if err := m.Volumes.Validate(o.Config, o.HostConfig); err != nil {
		return nil, err
	}
	if init := o.HostConfig.Init; init != nil && *init && m.InitPath == "" {
		return nil, errdefs.ErrNotImplemented.WithMessage("this engine has no init program for --init")
	}
	return warnings, nil
}

func checkConfig(c *container.Config) error {
	if err := checkWorkingDir(c); err != nil {
		return err
	}
	if c.StopSignal != "" {
		if _, err := parseSignal(c.StopSignal); err != nil {
			return err
		}
	}
	for _, kv := range c.Env {
		if kv == "" || strings.HasPrefix(kv, "=") {
			return invalid("invalid environment variable: %s", kv)
		}
		if strings.ContainsRune(kv, 0) {
			return invalid("invalid environment variable: NUL byte")
		}
	}
	for _, text := range []string{c.Hostname, c.Domainname, c.User, c.WorkingDir} {
		if strings.ContainsRune(text, 0) {
			return invalid("invalid configuration: NUL byte in %q", text)
		}
	}
	for _, arg := range append(append([]string{}, c.Entrypoint...), c.Cmd...) {
		if strings.ContainsRune(arg, 0) {
			return invalid("invalid command: NUL byte in %q", arg)
		}
	}
	return checkHealth(c.Healthcheck)
}

func checkWorkingDir(c *container.Config) error {
	if c.WorkingDir == "" {
		return nil
	}
	if !strings.HasPrefix(c.WorkingDir, "/") {
		return invalid("the working directory '%s' is invalid, it needs to be an absolute path", c.WorkingDir)
	}
	c.WorkingDir = path.Clean(c.WorkingDir)
	return nil
}

func checkHostConfig(hc *container.HostConfig) error {
	if hc.AutoRemove && !hc.RestartPolicy.IsNone() {
		return invalid("can't create 'AutoRemove' container with restart policy")
	}
	for _, extra := range hc.ExtraHosts {
		if err := checkExtraHost(extra); err != nil {
			return err
		}
	}
	if err := checkPorts(hc.PortBindings); err != nil {
		return err
	}
	if err := container.ValidateRestartPolicy(hc.RestartPolicy); err != nil {
		return invalid("%s", err)
	}
	if !hc.Isolation.IsDefault() {
		return invalid("invalid isolation (%s): linux only supports 'default'", hc.Isolation)
	}
	if hc.IOMaximumBandwidth != 0 {
		return invalid("invalid option: QoS maximum bandwidth configuration is not supported on linux")
	}
	if hc.IOMaximumIOps != 0 {
		return invalid("invalid option: QoS maximum IOPs configuration is not supported on linux")
	}
	if _, ok := hc.Annotations[""]; ok {
		return invalid("invalid Annotations: the empty string is not permitted as an annotation key")
	}
	return nil
}

func checkExtraHost(extra string) error {
	host, addr, ok := strings.Cut(extra, ":")
	if !ok || host == "" {
		return invalid("bad format for add-host: %q", extra)
	}
	if addr == "host-gateway" {
		return nil
	}
	if _, err := netip.ParseAddr(strings.Trim(addr, "[]")); err != nil {
		return invalid("invalid IP address in add-host: %q", addr)
	}
	return nil
}

func checkPorts(ports network.PortMap) error {
	for port, bindings := range ports {
		if !port.IsValid() || port.Num() == 0 {
			return invalid("invalid port specification: %q", port.String())
		}
		for _, b := range bindings {
			if b.HostPort == "" {
				continue
			}
			if _, err := network.ParsePortRange(b.HostPort); err != nil {
				return invalid("invalid port specification: %q", b.HostPort)
			}
		}
	}
	return nil
}

// checkNetworkMode refuses what does not go together with a network, or a host name, that is not the container's own.
func checkNetworkMode(c *container.Config, hc *container.HostConfig) error {
	mode := hc.NetworkMode
	if mode == "container" || mode.IsContainer() {
		switch {
		case mode.ConnectedContainer() == "":
			return invalid("invalid network mode: invalid container format container:<name|id>")
		case c.Hostname != "":
			return invalid("conflicting options: hostname and the network mode")
		case len(hc.Links) > 0:
			return invalid("conflicting options: container type network can't be used with links. This would result in undefined behavior")
		case len(hc.DNS) > 0:
			return invalid("conflicting options: dns and the network mode")
		case len(hc.ExtraHosts) > 0:
			return invalid("conflicting options: custom host-to-IP mapping and the network mode")
		case len(hc.PortBindings) > 0 || hc.PublishAllPorts:
			return invalid("conflicting options: port publishing and the container type network mode")
		case len(c.ExposedPorts) > 0:
			return invalid("conflicting options: port exposing and the container type network mode")
		}
	}
	if hc.UTSMode.IsHost() && c.Hostname != "" {
		return invalid("conflicting options: hostname and the UTS mode")
	}
	if mode.IsHost() && len(hc.Links) > 0 {
		return invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
	}
	return nil
}
