package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// memory2 are the counters of memory.stat that Docker's API has on v2.
var memory2 = []string{
	"anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty", "file_writeback", "anon_thp",
	"inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable", "slab_reclaimable", "slab_unreclaimable",
	"pgfault", "pgmajfault", "workingset_refault", "workingset_activate", "workingset_nodereclaim", "pgrefill", "pgscan",
	"pgsteal", "pgactivate", "pgdeactivate", "pglazyfree", "pglazyfreed", "thp_fault_alloc", "thp_collapse_alloc",
}

func (t Tree) stats2(group string, s *container.StatsResponse) {
	dir := t.dir(group, "")
	cpu := numbers(dir, "cpu.stat")
	s.CPUStats.CPUUsage = container.CPUUsage{
		TotalUsage: 1000 * cpu["usage_usec"], UsageInKernelmode: 1000 * cpu["system_usec"], UsageInUsermode: 1000 * cpu["user_usec"],
	}
	s.CPUStats.ThrottlingData = container.ThrottlingData{
		Periods: cpu["nr_periods"], ThrottledPeriods: cpu["nr_throttled"], ThrottledTime: 1000 * cpu["throttled_usec"],
	}
	s.MemoryStats = container.MemoryStats{
		Stats: pick(numbers(dir, "memory.stat"), memory2...), Usage: number(dir, "memory.current"),
		Limit: number(dir, "memory.max"), Failcnt: numbers(dir, "memory.events")["oom"],
	}
	s.PidsStats = container.PidsStats{Current: number(dir, "pids.current"), Limit: number(dir, "pids.max")}
	s.BlkioStats.IoServiceBytesRecursive = io2(filepath.Join(dir, "io.stat"))
}

// io2 reads lines like "8:0 rbytes=1 wbytes=2 rios=3 …".
func io2(path string) (out []container.BlkioStatEntry) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		major, minor, ok := device(fields[0])
		if !ok {
			continue
		}
		var read, written uint64
		for _, f := range fields[1:] {
			name, value, _ := strings.Cut(f, "=")
			n, _ := strconv.ParseUint(value, 10, 64)
			switch name {
			case "rbytes":
				read = n
			case "wbytes":
				written = n
			}
		}
		out = append(out, container.BlkioStatEntry{Major: major, Minor: minor, Op: "read", Value: read},
			container.BlkioStatEntry{Major: major, Minor: minor, Op: "write", Value: written})
	}
	return out
}

func device(s string) (major, minor uint64, ok bool) {
	a, b, _ := strings.Cut(s, ":")
	major, err := strconv.ParseUint(a, 10, 64)
	minor, err2 := strconv.ParseUint(b, 10, 64)
	return major, minor, err == nil && err2 == nil
}
