package runtime

import (
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Spec returns the OCI spec of c. It reads /etc/passwd and /etc/group of the mounted root file system; it writes
// nothing. Errors are of class InvalidArgument where the user's wish is at fault.
func Spec(c Container) (*specs.Spec, error) {
	checked := *c.HostConfig // the kernel may be another one than at the creation
	hc := &checked
	if _, err := CheckResources(&hc.Resources, hostKernel(), false); err != nil {
		return nil, err
	}
	s := &specs.Spec{
		Version:     specs.Version,
		Hostname:    c.Hostname,
		Domainname:  c.Config.Domainname,
		Root:        &specs.Root{Path: c.Rootfs, Readonly: hc.ReadonlyRootfs},
		Annotations: hc.Annotations,
		Linux: &specs.Linux{
			CgroupsPath:   c.CgroupPath,
			MaskedPaths:   masked(hc.MaskedPaths, DefaultMaskedPaths(), hc.Privileged),
			ReadonlyPaths: masked(hc.ReadonlyPaths, DefaultReadonlyPaths(), hc.Privileged),
			Sysctl:        sysctls(c),
		},
	}
	opts, err := ParseSecurityOpt(hc.SecurityOpt)
	if err != nil {
		return nil, err
	}
	if s.Process, err = process(c); err != nil {
		return nil, err
	}
	setNamespaces(s, c)
	setMounts(s, c, opts)
	if s.Linux.Resources, err = Resources(&hc.Resources); err != nil {
		return nil, err
	}
	if s.Linux.Devices, err = devices(hc, s.Linux.Resources); err != nil {
		return nil, err
	}
	if err := setSecurity(s, hc, opts); err != nil {
		return nil, err
	}
	return s, nil
}

// masked returns the user's list where one is given (also an empty one), nothing for privileged, else the default.
func masked(wish, standard []string, privileged bool) []string {
	switch {
	case wish != nil:
		return wish
	case privileged:
		return nil
	}
	return standard
}

func process(c Container) (*specs.Process, error) {
	user, home, err := lookupUser(c.Rootfs, c.Config.User, c.HostConfig.GroupAdd)
	if err != nil {
		return nil, err
	}
	args := slices.Concat(c.Config.Entrypoint, c.Config.Cmd)
	if len(args) == 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage("no command specified")
	}
	if c.InitPath != "" {
		args = append([]string{initTarget, "--"}, args...)
	}
	caps, err := capabilities(c.HostConfig.Privileged, c.HostConfig.CapAdd, c.HostConfig.CapDrop)
	if err != nil {
		return nil, err
	}
	cwd := c.Config.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	user.Umask = c.HostConfig.Umask
	p := &specs.Process{
		Terminal:     c.Config.Tty,
		User:         user,
		Args:         args,
		Env:          environment(c, home),
		Cwd:          path.Clean(cwd),
		Capabilities: capabilitySets(caps, user.UID),
	}
	if h, w := c.HostConfig.ConsoleSize[0], c.HostConfig.ConsoleSize[1]; c.Config.Tty && h > 0 && w > 0 {
		p.ConsoleSize = &specs.Box{Height: h, Width: w}
	}
	if adj := c.HostConfig.OomScoreAdj; adj != 0 {
		p.OOMScoreAdj = &adj
	}
	p.Rlimits = rlimits(c.HostConfig.Ulimits)
	return p, nil
}

// environment is Docker's: PATH, HOSTNAME and TERM first, the container's own over them, HOME when nobody set it.
func environment(c Container, home string) []string {
	env := []string{defaultPath, "HOSTNAME=" + c.Hostname}
	if c.Config.Tty {
		env = append(env, "TERM=xterm")
	}
	env = mergeEnv(env, c.Config.Env)
	if !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "HOME=") }) {
		env = append(env, "HOME="+home)
	}
	return env
}

// mergeEnv returns base with each variable of over replaced or appended. A name without "=" in over removes it.
func mergeEnv(base, over []string) []string {
	index := map[string]int{}
	out := make([]string, 0, len(base)+len(over))
	for _, list := range [][]string{base, over} {
		for _, kv := range list {
			name, _, set := strings.Cut(kv, "=")
			if i, ok := index[name]; ok {
				out[i] = kv
			} else if set {
				index[name] = len(out)
				out = append(out, kv)
			}
		}
	}
	return slices.DeleteFunc(out, func(kv string) bool { return !strings.Contains(kv, "=") })
}

func sysctls(c Container) map[string]string {
	set := map[string]string{}
	if c.NetNS != "" && c.UserNS == "" && !c.HostConfig.NetworkMode.IsContainer() {
		// As Docker: ports below 1024 and ping need no capability in a network of the container's own. From within a user
		// namespace the second cannot be set; there the namespace has both when it is made.
		set["net.ipv4.ip_unprivileged_port_start"] = "0"
		set["net.ipv4.ping_group_range"] = "0 2147483647"
	}
	for k, v := range c.HostConfig.Sysctls {
		set[k] = v
	}
	return set
}

func setNamespaces(s *specs.Spec, c Container) {
	add := func(typ specs.LinuxNamespaceType, path string) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: typ, Path: path})
	}
	hc := c.HostConfig
	if c.UserNS != "" {
		add(specs.UserNamespace, c.UserNS)
	}
	add(specs.MountNamespace, "")
	if c.NetNS != "" {
		add(specs.NetworkNamespace, c.NetNS)
	}
	if hc.UTSMode.IsHost() {
		s.Hostname, s.Domainname = "", ""
	} else {
		add(specs.UTSNamespace, "")
	}
	if !hc.PidMode.IsHost() {
		add(specs.PIDNamespace, c.PIDNS)
	}
	if !hc.IpcMode.IsHost() {
		add(specs.IPCNamespace, c.IPCNS)
	}
	if (hc.CgroupnsMode.IsPrivate() || hc.CgroupnsMode.IsEmpty() && cgroup2()) && hostKernel().CgroupNamespaces {
		add(specs.CgroupNamespace, "")
	}
}

// initTarget is where the init program appears in a container; Docker's name.
const initTarget = "/sbin/docker-init"

func setMounts(s *specs.Spec, c Container, opts SecurityOpt) {
	hc := c.HostConfig
	writable := hc.Privileged
	if opts.WritableCgroups != nil {
		writable = *opts.WritableCgroups
	}
	s.Mounts = systemMounts(hc.Privileged, writable, hc.ShmSize)
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool {
		return m.Destination == "/dev/shm" && (hc.IpcMode.IsNone() || c.ShmPath != "")
	})
	if c.ShmPath != "" {
		s.Mounts = append(s.Mounts, bind(c.ShmPath, "/dev/shm", "rw"))
	}
	if hc.ReadonlyRootfs {
		protect(s.Mounts)
	}
	mounts := slices.Clone(c.Mounts)
	sort.SliceStable(mounts, func(i, j int) bool {
		return strings.Count(mounts[i].Target, "/") < strings.Count(mounts[j].Target, "/")
	})
	for _, m := range mounts {
		target := path.Clean(m.Target)
		// A user's mount takes the place of ours, one at /dev also of all below it.
		s.Mounts = slices.DeleteFunc(s.Mounts, func(o specs.Mount) bool {
			return o.Destination == target || target == "/dev" && strings.HasPrefix(o.Destination, "/dev/")
		})
		s.Mounts = append(s.Mounts, specMount(m, target))
		s.Linux.RootfsPropagation = rootPropagation(s.Linux.RootfsPropagation, m.Propagation)
	}
	if c.InitPath != "" {
		s.Mounts = append(s.Mounts, bind(c.InitPath, initTarget, "ro"))
	}
}

// rootPropagation is what the container's mount namespace must be for a mount that hears of the host's others, or tells of its own: the
// runtime cuts off all ties unless it is told, and a private root is no source of anything else.
func rootPropagation(now, wish string) string {
	switch {
	case strings.HasSuffix(wish, "shared"):
		return "shared"
	case strings.HasSuffix(wish, "slave") && now == "":
		return "rslave"
	}
	return now
}

// protect makes the kernel's file systems read-only for a read-only root, but for those that Docker keeps writable.
func protect(mounts []specs.Mount) {
	for i, m := range mounts {
		switch m.Destination {
		case "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue":
			continue
		}
		if !slices.Contains(m.Options, "ro") {
			mounts[i].Options = append(slices.Clone(m.Options), "ro")
		}
	}
}

func bind(source, target, access string) specs.Mount {
	return specs.Mount{Destination: target, Type: "bind", Source: source, Options: []string{"rbind", "rprivate", access}}
}

func specMount(m Mount, target string) specs.Mount {
	access := "rw"
	if m.ReadOnly {
		access = "ro"
	}
	if m.Type == "tmpfs" {
		options := append([]string{"nosuid", "nodev", "noexec"}, m.Options...)
		if slices.Contains(m.Options, "exec") {
			options = slices.DeleteFunc(options, func(o string) bool { return o == "noexec" })
		}
		if m.ReadOnly {
			options = append(options, "ro")
		}
		return specs.Mount{Destination: target, Type: "tmpfs", Source: "tmpfs", Options: options}
	}
	propagation := m.Propagation
	if propagation == "" {
		propagation = "rprivate"
	}
	bind := "rbind"
	if m.Flat {
		// crun takes the r of rprivate for one of rbind.
		bind, propagation = "bind", strings.TrimPrefix(propagation, "r")
	}
	return specs.Mount{Destination: target, Type: "bind", Source: m.Source, Options: append([]string{bind, propagation, access}, m.Options...)}
}

func sizeOption(bytes int64) string { return "size=" + strconv.FormatInt(bytes, 10) }
