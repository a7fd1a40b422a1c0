package runtime

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SecurityOpt is HostConfig.SecurityOpt, parsed.
type SecurityOpt struct {
	NoNewPrivileges bool
	WritableCgroups *bool // nil: as privileged is
	AppArmor        string
	Seccomp         string   // "", "builtin", "unconfined", or the profile's JSON itself
	Labels          []string // SELinux: "disable", "type:…", "level:…"
}

// ParseSecurityOpt understands what dockerd does: "no-new-privileges", "seccomp=…", "apparmor=…", "label=…" and
// "writable-cgroups", with "=" or the old ":". "systempaths=unconfined" is the CLI's: it sends empty lists of paths.
func ParseSecurityOpt(opts []string) (SecurityOpt, error) {
	var o SecurityOpt
	for _, opt := range opts {
		key, value, found := strings.Cut(opt, "=")
		if !found {
			key, value, found = strings.Cut(opt, ":")
		}
		switch {
		case !found && opt == "no-new-privileges":
			o.NoNewPrivileges = true
		case !found && opt == "writable-cgroups":
			yes := true
			o.WritableCgroups = &yes
		case !found && opt == "disable":
			o.Labels = append(o.Labels, opt)
		case !found:
			return o, invalid("invalid --security-opt 1: %q", opt)
		case key == "label":
			o.Labels = append(o.Labels, value)
		case key == "apparmor":
			o.AppArmor = value
		case key == "seccomp":
			o.Seccomp = value
		case key == "no-new-privileges":
			yes, err := strconv.ParseBool(value)
			if err != nil {
				return o, invalid("invalid --security-opt 2: %q", opt)
			}
			o.NoNewPrivileges = yes
		case key == "writable-cgroups":
			yes, err := strconv.ParseBool(value)
			if err != nil {
				return o, invalid("invalid --security-opt 2: %q", opt)
			}
			o.WritableCgroups = &yes
		default:
			return o, invalid("invalid --security-opt 2: %q", opt)
		}
	}
	return o, nil
}

// checkSeccomp refuses at creation a profile that is none: dockerd finds out at the start.
func checkSeccomp(profile string) error {
	switch profile {
	case "", "builtin", "unconfined":
		return nil
	}
	var p seccomp.Seccomp
	if err := json.Unmarshal([]byte(profile), &p); err != nil {
		return invalid("Decoding seccomp profile failed: %s", err)
	}
	if len(p.Architectures) != 0 && len(p.ArchMap) != 0 {
		return invalid("both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'")
	}
	return nil
}

// setSecurity applies SecurityOpt and the seccomp profile. It comes last: the profile depends on the capabilities.
func setSecurity(s *specs.Spec, hc *container.HostConfig, opts SecurityOpt) (err error) {
	s.Process.NoNewPrivileges = opts.NoNewPrivileges
	if s.Process.ApparmorProfile, err = profile(opts, hc.Privileged, AppArmorEnabled(), installProfile); err != nil {
		return err
	}
	switch {
	case opts.Seccomp == "unconfined", hc.Privileged && opts.Seccomp == "":
		return nil
	case opts.Seccomp == "", opts.Seccomp == "builtin":
		s.Linux.Seccomp, err = seccomp.GetDefaultProfile(s)
	default:
		s.Linux.Seccomp, err = seccomp.LoadProfile(opts.Seccomp, s)
	}
	if err != nil {
		return invalid("seccomp profile: %s", err)
	}
	return nil
}
