package runtime

import (
	"path"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ExecProcess returns the process of an exec in the running container c. User, working folder and environment fall
// back to the container's own.
func ExecProcess(c Container, e *container.ExecCreateRequest) (*specs.Process, error) {
	wish := e.User
	if wish == "" {
		wish = c.Config.User
	}
	user, home, err := lookupUser(c.Rootfs, wish, c.HostConfig.GroupAdd)
	if err != nil {
		return nil, err
	}
	caps, err := capabilities(c.HostConfig.Privileged || e.Privileged, c.HostConfig.CapAdd, c.HostConfig.CapDrop)
	if err != nil {
		return nil, err
	}
	opts, err := ParseSecurityOpt(c.HostConfig.SecurityOpt)
	if err != nil {
		return nil, err
	}
	cwd := e.WorkingDir
	if cwd == "" {
		cwd = c.Config.WorkingDir
	}
	if cwd == "" {
		cwd = "/"
	}
	tty := *c.Config
	tty.Tty = e.Tty
	withTTY := c
	withTTY.Config = &tty
	p := &specs.Process{
		Terminal:        e.Tty,
		User:            user,
		Args:            e.Cmd,
		Env:             mergeEnv(environment(withTTY, home), e.Env),
		Cwd:             path.Clean(cwd),
		Capabilities:    capabilitySets(caps, user.UID),
		NoNewPrivileges: opts.NoNewPrivileges,
		Rlimits:         rlimits(c.HostConfig.Ulimits),
	}
	if adj := c.HostConfig.OomScoreAdj; adj != 0 {
		p.OOMScoreAdj = &adj
	}
	privileged := c.HostConfig.Privileged || e.Privileged
	if p.ApparmorProfile, err = profile(opts, privileged, AppArmorEnabled(), installProfile); err != nil {
		return nil, err
	}
	if e.ConsoleSize != nil && e.Tty {
		p.ConsoleSize = &specs.Box{Height: e.ConsoleSize[0], Width: e.ConsoleSize[1]}
	}
	return p, nil
}
