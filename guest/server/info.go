package server

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"

	"naru/guest/engine"
	"naru/guest/engine/container"
	"naru/guest/engine/facts"
	"naru/guest/engine/image"
)

func (h systemHandlers) info(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	info, err := systemInfo(r.Context(), h.e)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, olderInfo(info, requestVersion(r)))
}

func systemInfo(ctx context.Context, e *engine.Engine) (*system.Info, error) {
	images, err := e.Images.List(ctx, image.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // "" says as much
	info := &system.Info{
		ID: e.ID, Name: host, Images: len(images), DockerRootDir: e.Root, ServerVersion: e.Version, Labels: []string{},
		Driver: "overlay2", DriverStatus: facts.OverlayStatus(e.Root), LoggingDriver: cmp.Or(e.LogConfig.Type, "json-file"),
		Plugins: system.PluginsInfo{Volume: []string{"local"}, Network: []string{"bridge", "host", "null"}, Log: []string{"json-file", "local"}},
		NFd:     facts.OpenFiles(), NGoroutines: runtime.NumGoroutine(), NEventsListener: e.Events.Listeners(),
		SystemTime: time.Now().Format(time.RFC3339Nano), KernelVersion: facts.Kernel(), OperatingSystem: facts.OperatingSystem(),
		OSVersion: facts.OSVersion(), OSType: "linux", Architecture: facts.Architecture(), NCPU: runtime.NumCPU(), MemTotal: facts.Memory(),
		IndexServerAddress: "https://index.docker.io/v1/", RegistryConfig: registryConfig(e.Registries),
		HTTPProxy: facts.Proxy("HTTP_PROXY"), HTTPSProxy: facts.Proxy("HTTPS_PROXY"), NoProxy: facts.Proxy("NO_PROXY"),
		LiveRestoreEnabled: true, FirewallBackend: &system.FirewallInfo{Driver: "nftables"}, CDISpecDirs: []string{},
	}
	info.Swarm.LocalNodeState = "inactive"
	fillPrograms(ctx, info, e)
	fillLimits(info)
	info.SecurityOptions = e.SecurityOptions()
	return info, fillContainers(ctx, info, e.Containers)
}

// registryConfig shows the settings for registries as Docker does: loopback addresses are always insecure ones.
func registryConfig(r image.Registries) *registry.ServiceConfig {
	mirrors := append([]string{}, r.Mirrors...)
	for i, m := range mirrors {
		mirrors[i] = strings.TrimSuffix(m, "/") + "/"
	}
	c := &registry.ServiceConfig{
		InsecureRegistryCIDRs: []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.0/8")},
		IndexConfigs:          map[string]*registry.IndexInfo{"docker.io": {Name: "docker.io", Mirrors: mirrors, Secure: true, Official: true}},
		Mirrors:               mirrors,
	}
	for _, name := range r.Insecure {
		if p, err := netip.ParsePrefix(name); err == nil {
			c.InsecureRegistryCIDRs = append(c.InsecureRegistryCIDRs, p)
		} else {
			c.IndexConfigs[name] = &registry.IndexInfo{Name: name, Mirrors: []string{}}
		}
	}
	return c
}

func fillPrograms(ctx context.Context, info *system.Info, e *engine.Engine) {
	crun := e.Programs.Runtime(ctx, e.Crun)
	runtime := system.RuntimeWithStatus{Runtime: system.Runtime{Path: e.Crun}}
	if crun.Features != "" {
		runtime.Status = map[string]string{"org.opencontainers.runtime-spec.features": crun.Features}
	}
	info.DefaultRuntime, info.Runtimes = "crun", map[string]system.RuntimeWithStatus{"crun": runtime}
	// The fields have the names of Docker's parts; the runtime is another one, and containerd a library of the engine's.
	info.RuncCommit.ID = orUnknown(crun.Commit)
	info.ContainerdCommit.ID = orUnknown(facts.Library("github.com/containerd/containerd/v2"))
	info.InitCommit.ID = "N/A"
	if e.InitPath != "" {
		info.InitBinary = filepath.Base(e.InitPath)
		if init := e.Programs.Init(ctx, e.InitPath); init.Commit != "" {
			info.InitCommit.ID = init.Commit
		} else {
			info.InitCommit.ID = orUnknown(init.Version)
		}
	}
}

// fillLimits says which limits the kernel can set, and warns of those that it cannot.
func fillLimits(info *system.Info) {
	c := facts.Cgroups()
	info.CgroupDriver, info.CgroupVersion = "cgroupfs", c.Version()
	info.MemoryLimit, info.SwapLimit, info.OomKillDisable = c.Memory, c.Swap, c.OomKillDisable
	info.CPUCfsPeriod, info.CPUCfsQuota, info.CPUShares, info.CPUSet = c.CPUQuota, c.CPUQuota, c.CPUShares, c.Cpuset
	info.PidsLimit, info.IPv4Forwarding = c.Pids, facts.IPv4Forwarding()
	info.Warnings = c.Warnings()
	if !info.IPv4Forwarding {
		info.Warnings = append(info.Warnings, "WARNING: IPv4 forwarding is disabled")
	}
}

func fillContainers(ctx context.Context, info *system.Info, m *container.Manager) error {
	list, err := m.List(ctx, container.ListOptions{All: true})
	if err != nil {
		return err
	}
	info.Containers = len(list)
	for _, c := range list {
		switch c.State {
		case "running", "restarting":
			info.ContainersRunning++
		case "paused":
			info.ContainersPaused++
		default:
			info.ContainersStopped++
		}
	}
	return nil
}

// olderInfo has the fields of the version: what came later is left out, what has gone since is added.
func olderInfo(info *system.Info, version string) any {
	before := func(v string) bool { return lessVersion(version, v) }
	extra := map[string]any{}
	if before("1.44") {
		for name, r := range info.Runtimes {
			info.Runtimes[name] = system.RuntimeWithStatus{Runtime: r.Runtime}
		}
	}
	if before("1.47") {
		extra["RegistryConfig"] = map[string]any{"AllowNondistributableArtifactsCIDRs": nil, "AllowNondistributableArtifactsHostnames": nil}
	}
	if before("1.49") {
		info.FirewallBackend = nil
		extra["ContainerdCommit"] = map[string]any{"Expected": info.ContainerdCommit.ID}
		extra["RuncCommit"] = map[string]any{"Expected": info.RuncCommit.ID}
		extra["InitCommit"] = map[string]any{"Expected": info.InitCommit.ID}
	}
	if before("1.50") {
		extra["BridgeNfIptables"], extra["BridgeNfIp6tables"] = false, false
	}
	if len(extra) == 0 {
		return info
	}
	return withFields{info, extra}
}
