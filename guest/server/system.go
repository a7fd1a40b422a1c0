package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"
	"golang.org/x/sys/unix"

	"naru/guest/engine"
	"naru/guest/engine/container"
	"naru/guest/engine/image"
)

// systemRoutes serves what is about the engine as a whole.
func systemRoutes(e *engine.Engine) []route {
	h := systemHandlers{e}
	return []route{
		{"GET", "/_ping", h.ping},
		{"HEAD", "/_ping", h.ping},
		{"GET", "/version", h.version},
		{"GET", "/info", h.info},
		{"GET", "/plugins", h.plugins},
		{"GET", "/plugins/{name:*}/json", h.plugin},
	}
}

type systemHandlers struct{ e *engine.Engine }

// ping has no Builder-Version: there is no builder yet.
func (h systemHandlers) ping(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	head := w.Header()
	head.Set("Docker-Experimental", "false")
	head.Set("Swarm", "inactive")
	head.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	head.Set("Pragma", "no-cache")
	head.Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method == http.MethodHead {
		head.Set("Content-Length", "0")
		return nil
	}
	head.Set("Content-Length", "2")
	_, _ = io.WriteString(w, "OK")
	return nil
}

func (h systemHandlers) version(w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
	kernel := kernelVersion()
	v := system.VersionResponse{
		Platform: system.PlatformInfo{Name: "naru"}, Version: h.e.Version, APIVersion: MaxAPIVersion, MinAPIVersion: MinAPIVersion,
		Os: "linux", Arch: runtime.GOARCH, GoVersion: runtime.Version(), KernelVersion: kernel,
	}
	v.Components = []system.ComponentVersion{{
		Name: "Engine", Version: h.e.Version,
		Details: map[string]string{
			"ApiVersion": MaxAPIVersion, "MinAPIVersion": MinAPIVersion, "Os": "linux", "Arch": runtime.GOARCH,
			"GoVersion": runtime.Version(), "KernelVersion": kernel, "Experimental": "false",
		},
	}}
	return writeJSON(w, http.StatusOK, v)
}

// plugins: there are none, which is what clients that look everywhere for a name need to hear.
func (h systemHandlers) plugins(w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
	return writeJSON(w, http.StatusOK, []struct{}{})
}

func (h systemHandlers) plugin(_ http.ResponseWriter, _ *http.Request, vars map[string]string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", vars["name"]))
}

func (h systemHandlers) info(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	info, err := systemInfo(r.Context(), h.e)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, info)
}

func systemInfo(ctx context.Context, e *engine.Engine) (*system.Info, error) {
	images, err := e.Images.List(ctx, image.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	list, err := e.Containers.List(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	host, _ := os.Hostname() // "" says as much
	info := &system.Info{
		ID: e.Name, Images: len(images), Containers: len(list), Driver: "overlay2",
		DriverStatus:  [][2]string{{"Backing Filesystem", fileSystem(e.Root)}, {"Supports d_type", "true"}},
		Plugins:       system.PluginsInfo{Volume: []string{"local"}, Network: []string{"bridge", "host", "none"}, Log: []string{"json-file"}},
		LoggingDriver: "json-file", CgroupDriver: "cgroupfs", CgroupVersion: cgroupVersion(),
		SystemTime: now.Format(time.RFC3339Nano), NGoroutines: runtime.NumGoroutine(), NFd: openFiles(),
		KernelVersion: kernelVersion(), OperatingSystem: osRelease("PRETTY_NAME"), OSVersion: osRelease("VERSION_ID"),
		OSType: "linux", Architecture: machine(), IndexServerAddress: "https://index.docker.io/v1/",
		RegistryConfig: &registry.ServiceConfig{IndexConfigs: map[string]*registry.IndexInfo{}},
		NCPU:           runtime.NumCPU(), MemTotal: memTotal(), DockerRootDir: e.Root, Name: host, Labels: []string{},
		ServerVersion: e.Version, DefaultRuntime: "crun", LiveRestoreEnabled: true,
		Runtimes:        map[string]system.RuntimeWithStatus{"crun": {Runtime: system.Runtime{Path: e.Crun}}},
		SecurityOptions: []string{"name=seccomp,profile=builtin"}, CDISpecDirs: []string{}, Warnings: []string{},
		HTTPProxy: os.Getenv("HTTP_PROXY"), HTTPSProxy: os.Getenv("HTTPS_PROXY"), NoProxy: os.Getenv("NO_PROXY"),
	}
	info.Swarm.LocalNodeState = "inactive"
	if e.InitPath != "" {
		info.InitBinary = filepath.Base(e.InitPath)
	}
	if cgroupVersion() == "2" {
		info.SecurityOptions = append(info.SecurityOptions, "name=cgroupns")
	}
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
	limits(info)
	return info, nil
}

// limits says which limits the kernel can set, and warns of those that it cannot.
func limits(info *system.Info) {
	has := cgroupControllers()
	info.MemoryLimit, info.PidsLimit, info.CPUShares, info.CPUSet = has["memory"], has["pids"], has["cpu"], has["cpuset"]
	info.CPUCfsPeriod, info.CPUCfsQuota = has["cpu"], has["cpu"]
	info.SwapLimit = has["swap"]
	info.OomKillDisable = has["memory"] && info.CgroupVersion == "1"
	forward, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	info.IPv4Forwarding = strings.TrimSpace(string(forward)) == "1"
	for _, w := range []struct {
		ok   bool
		what string
	}{
		{info.MemoryLimit, "No memory limit support"}, {info.SwapLimit, "No swap limit support"},
		{info.CPUCfsQuota, "No cpu cfs quota support"}, {info.PidsLimit, "No pids limit support"},
		{info.CPUSet, "No cpuset support"}, {info.IPv4Forwarding, "IPv4 forwarding is disabled"},
	} {
		if !w.ok {
			info.Warnings = append(info.Warnings, "WARNING: "+w.what)
		}
	}
}

func cgroupVersion() string {
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		return "2"
	}
	return "1"
}

// cgroupControllers are those that containers can be limited by, and "swap".
func cgroupControllers() map[string]bool {
	has := map[string]bool{}
	if cgroupVersion() == "2" {
		data, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		for _, name := range strings.Fields(string(data)) {
			has[name] = true
		}
		has["swap"] = has["memory"]
		return has
	}
	for _, name := range []string{"memory", "pids", "cpu", "cpuset"} {
		info, err := os.Stat("/sys/fs/cgroup/" + name + "/cgroup.procs")
		has[name] = err == nil && !info.IsDir()
	}
	_, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	has["swap"] = err == nil
	return has
}

func uname() (u unix.Utsname) {
	_ = unix.Uname(&u) // cannot fail with a valid pointer
	return u
}

func kernelVersion() string {
	u := uname()
	return unix.ByteSliceToString(u.Release[:])
}

func machine() string {
	u := uname()
	return unix.ByteSliceToString(u.Machine[:])
}

func memTotal() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}

func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// osRelease is one value of os-release(5).
func osRelease(key string) string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(data), "\n") {
			if value, ok := strings.CutPrefix(line, key+"="); ok {
				if plain, err := strconv.Unquote(value); err == nil {
					return plain
				}
				return value
			}
		}
	}
	return "Linux"
}

func fileSystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "unknown"
	}
	switch st.Type {
	case unix.EXT4_SUPER_MAGIC:
		return "extfs"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	}
	return fmt.Sprintf("%#x", st.Type)
}
