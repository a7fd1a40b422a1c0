package container

import (
	"context"
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

// statsInterval is the time between two samples of a container that somebody watches.
const statsInterval = time.Second

// StatsOptions say how many samples are wanted: without Stream one, with the sample before it unless OneShot.
type StatsOptions struct{ Stream, OneShot bool }

// Stats gives a container's samples to send: the first one at once, further ones every second until ctx ends, send
// fails or the container is removed. One that does not run has an empty sample, as in Docker.
func (m *Manager) Stats(ctx context.Context, ref string, o StatsOptions, send func(*container.StatsResponse) error) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	if !o.Stream && (o.OneShot || !c.statsRunning()) {
		return send(m.sample(c))
	}
	samples, leave := m.watchStats(c)
	defer leave()
	var before *container.StatsResponse
	if !o.Stream {
		if before = next(ctx, samples); before == nil {
			return nil
		}
	}
	for {
		s := next(ctx, samples)
		if s == nil {
			return nil
		}
		out := *s
		if before != nil {
			out.PreRead, out.PreCPUStats = before.Read, before.CPUStats
		}
		if err := send(&out); err != nil || !o.Stream {
			return err
		}
		before = s
	}
}

func next(ctx context.Context, samples <-chan *container.StatsResponse) *container.StatsResponse {
	select {
	case s := <-samples: // nil when it is closed
		return s
	case <-ctx.Done():
		return nil
	}
}

func (c *Container) statsRunning() bool {
	r := c.snapshot()
	return r.State.Pid != 0 // also of one that is paused
}

// statsWatch is the one collector of a container, whoever many listen to it.
type statsWatch struct {
	listeners map[chan *container.StatsResponse]bool
	stop      func()
}

// watchers are the collectors, one for each container that somebody watches. The zero value is ready.
type watchers struct {
	mu  sync.Mutex // guards all below
	all map[*Container]*statsWatch
}

// watchStats returns the samples of a container from now on. The channel holds one: who is slow misses some. It is
// closed when the container is removed. The caller calls leave.
func (m *Manager) watchStats(c *Container) (samples <-chan *container.StatsResponse, leave func()) {
	own := make(chan *container.StatsResponse, 1)
	w := &m.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[*Container]*statsWatch{}
	}
	watch := w.all[c]
	if watch == nil {
		ctx, stop := context.WithCancel(m.life)
		watch = &statsWatch{listeners: map[chan *container.StatsResponse]bool{}, stop: stop}
		w.all[c] = watch
		m.background.run(func() { m.collect(ctx, c, watch) })
	}
	watch.listeners[own] = true
	return own, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(watch.listeners, own)
		if len(watch.listeners) == 0 && w.all[c] == watch {
			watch.stop()
			delete(w.all, c)
		}
	}
}

// collect samples a container every second until ctx ends or the container is removed.
func (m *Manager) collect(ctx context.Context, c *Container, watch *statsWatch) {
	defer m.watchers.end(c, watch)
	ticker := time.NewTicker(statsInterval)
	defer ticker.Stop()
	for {
		c.mu.Lock()
		gone := c.gone
		c.mu.Unlock()
		if gone || ctx.Err() != nil {
			return
		}
		m.watchers.publish(watch, m.sample(c))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *watchers) publish(watch *statsWatch, s *container.StatsResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range watch.listeners {
		select {
		case l <- s:
		default:
		}
	}
}

// end tells all listeners that nothing more comes.
func (w *watchers) end(c *Container, watch *statsWatch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watch.stop()
	for l := range watch.listeners {
		close(l)
		delete(watch.listeners, l)
	}
	if w.all[c] == watch {
		delete(w.all, c)
	}
}

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
