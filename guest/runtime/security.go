package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SecurityOpt is HostConfig.SecurityOpt, parsed.
type SecurityOpt struct {
	NoNewPrivileges       bool
	SystemPathsUnconfined bool
	Seccomp               string // "", "builtin", "unconfined", or the profile's JSON itself
}

// ParseSecurityOpt understands "no-new-privileges[=bool]", "seccomp=…", "apparmor=unconfined", "label=disable" and
// "systempaths=unconfined", with "=" or the old ":".
func ParseSecurityOpt(opts []string) (SecurityOpt, error) {
	var o SecurityOpt
	for _, opt := range opts {
		key, value, found := strings.Cut(opt, "=")
		if !found {
			key, value, found = strings.Cut(opt, ":")
		}
		switch {
		case key == "no-new-privileges" && (!found || value == "true"):
			o.NoNewPrivileges = true
		case key == "no-new-privileges" && value == "false":
		case key == "seccomp" && found:
			o.Seccomp = value
		case key == "systempaths" && value == "unconfined":
			o.SystemPathsUnconfined = true
		case key == "apparmor" && value == "unconfined", key == "label" && value == "disable":
		case key == "apparmor" && found, key == "label" && found:
			return o, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("naru does not serve --security-opt %s yet", opt))
		default:
			return o, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid --security-opt %q", opt))
		}
	}
	return o, nil
}

// Validate refuses at create what no spec can be made from: options that are wrong, or that naru does not have yet.
func Validate(hc *container.HostConfig) error {
	if _, err := ParseSecurityOpt(hc.SecurityOpt); err != nil {
		return err
	}
	if _, err := capabilities(hc.Privileged, hc.CapAdd, hc.CapDrop); err != nil {
		return err
	}
	if _, err := resources(hc); err != nil {
		return err
	}
	notYet := func(what string) error {
		return errdefs.ErrNotImplemented.WithMessage("naru does not serve " + what + " yet")
	}
	switch {
	case hc.UsernsMode != "" && !hc.UsernsMode.IsHost():
		return notYet("--userns=" + string(hc.UsernsMode))
	case len(hc.DeviceRequests) > 0:
		return errdefs.ErrInvalidArgument.WithMessage("could not select device driver: this host has no GPU driver that naru knows")
	case hc.Runtime != "" && hc.Runtime != "crun" && hc.Runtime != "runc":
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unknown or invalid runtime name: %s", hc.Runtime))
	case !hc.PidMode.Valid():
		return errdefs.ErrInvalidArgument.WithMessage("invalid PID mode: " + string(hc.PidMode))
	case !hc.IpcMode.Valid():
		return errdefs.ErrInvalidArgument.WithMessage("invalid IPC mode: " + string(hc.IpcMode))
	case hc.IpcMode.IsContainer():
		return notYet("--ipc=container: /dev/shm would not be shared")
	case !hc.UTSMode.Valid():
		return errdefs.ErrInvalidArgument.WithMessage("invalid UTS mode: " + string(hc.UTSMode))
	case !hc.CgroupnsMode.Valid():
		return errdefs.ErrInvalidArgument.WithMessage("invalid cgroup namespace mode: " + string(hc.CgroupnsMode))
	case len(hc.StorageOpt) > 0:
		return notYet("--storage-opt")
	}
	return nil
}

// capabilities returns the bounding set: the default with CapAdd and CapDrop applied as Docker does. Names may come
// with or without "CAP_", in any case; "ALL" stands for all.
func capabilities(privileged bool, add, drop []string) ([]string, error) {
	if privileged {
		return allCapabilities(), nil
	}
	adds, err := capabilityNames(add)
	if err != nil {
		return nil, err
	}
	drops, err := capabilityNames(drop)
	if err != nil {
		return nil, err
	}
	set := slices.Clone(defaultCaps)
	switch {
	case slices.Contains(adds, "ALL"):
		set = allCapabilities()
	case slices.Contains(drops, "ALL"):
		set = nil
	}
	set = slices.DeleteFunc(set, func(c string) bool { return slices.Contains(drops, c) })
	for _, c := range adds {
		if c != "ALL" && !slices.Contains(set, c) {
			set = append(set, c)
		}
	}
	return set, nil
}

func capabilityNames(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		c := strings.ToUpper(n)
		if c != "ALL" {
			c = "CAP_" + strings.TrimPrefix(c, "CAP_")
			if !slices.Contains(knownCapabilities, c) {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid capability: %q", n))
			}
			if !slices.Contains(allCapabilities(), c) {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("capability not supported by your kernel or not available in the current environment: %q", c))
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// capabilitySets gives root all of caps; another user gets them only in the bounding set, as in Docker.
func capabilitySets(caps []string, uid uint32) *specs.LinuxCapabilities {
	sets := &specs.LinuxCapabilities{Bounding: caps}
	if uid == 0 {
		sets.Effective, sets.Permitted = caps, caps
	}
	return sets
}
