package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"naru/guest/cgroup"
)

// sample reads a container's counters. Of one that does not run, only the names.
func (m *Manager) sample(c *Container) *container.StatsResponse {
	r := c.snapshot()
	empty := container.StatsResponse{ID: r.ID, Name: "/" + r.Name, OSType: "linux"}
	if !c.statsRunning() {
		return &empty
	}
	s := empty
	s.Read = time.Now().UTC()
	err := cgroup.Host().Stats(m.cgroup(r.ID), hostMemory(), &s)
	if err == nil {
		s.CPUStats.SystemUsage, s.CPUStats.OnlineCPUs, err = systemCPU()
	}
	if err == nil && !r.Config.NetworkDisabled && !r.HostConfig.NetworkMode.IsHost() {
		s.Networks, err = interfaces(&r)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errdefs.IsNotFound(err) { // it has just ended
		return &empty
	}
	if err != nil {
		m.Log.Warn("statistics", "id", r.ID, "error", err)
		return &empty
	}
	return &s
}

var hostMemory = sync.OnceValue(func() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
})

// systemCPU is the time that all processors have spent, idle included, in nanoseconds, and how many they are.
func systemCPU() (used uint64, processors uint32, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("system's processor time: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, values, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(name, "cpu") {
			break
		}
		if name != "cpu" {
			processors++
			continue
		}
		for i, f := range strings.Fields(values) {
			if n, err := strconv.ParseUint(f, 10, 64); err == nil && i < 7 { // guest time is part of user time
				used += n * 1e9 / 100
			}
		}
	}
	return used, processors, nil
}

// interfaceName is the endpoint option that names the interface in the container.
const interfaceName = "com.docker.network.endpoint.ifname"

// interfaces are the counters of the interfaces that networks gave to the container; those it made itself are its own
// affair. /proc/<pid>/net shows the process's network, whoever reads it: nothing has to enter that.
func interfaces(r *record) (map[string]container.NetworkStats, error) {
	named := map[string]bool{}
	for _, e := range r.Networks {
		if e != nil && e.DriverOpts[interfaceName] != "" {
			named[e.DriverOpts[interfaceName]] = true
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", r.State.Pid))
	if err != nil {
		return nil, fmt.Errorf("network of container: %w", err)
	}
	return parseInterfaces(string(text), func(name string) bool { return strings.HasPrefix(name, "eth") || named[name] }), nil
}

// parseInterfaces reads the lines of proc_pid_net(5)'s dev that are wanted.
func parseInterfaces(text string, wanted func(name string) bool) map[string]container.NetworkStats {
	out := map[string]container.NetworkStats{}
	for line := range strings.Lines(text) {
		name, values, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		f := strings.Fields(values)
		if !ok || len(f) < 12 || !wanted(name) {
			continue
		}
		var n [12]uint64
		for i := range n {
			n[i], _ = strconv.ParseUint(f[i], 10, 64)
		}
		out[name] = container.NetworkStats{
			RxBytes: n[0], RxPackets: n[1], RxErrors: n[2], RxDropped: n[3],
			TxBytes: n[8], TxPackets: n[9], TxErrors: n[10], TxDropped: n[11],
		}
	}
	return out
}
