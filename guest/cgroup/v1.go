package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// memory1 are the counters of memory.stat that Docker's API has on v1, each also as that of the whole subtree.
var memory1 = []string{
	"cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout", "pgfault", "pgmajfault",
	"inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable",
}

// tick is the kernel's unit of user and system time, in nanoseconds: USER_HZ is 100 on every architecture of Linux.
const tick = 1e9 / 100

func (t Tree) stats1(group string, s *container.StatsResponse) {
	acct := t.dir(group, "cpuacct")
	used := numbers(acct, "cpuacct.stat")
	s.CPUStats.CPUUsage = container.CPUUsage{
		TotalUsage: number(acct, "cpuacct.usage"), PercpuUsage: list(filepath.Join(acct, "cpuacct.usage_percpu")),
		UsageInKernelmode: tick * used["system"], UsageInUsermode: tick * used["user"],
	}
	cpu := numbers(t.dir(group, "cpu"), "cpu.stat")
	s.CPUStats.ThrottlingData = container.ThrottlingData{
		Periods: cpu["nr_periods"], ThrottledPeriods: cpu["nr_throttled"], ThrottledTime: cpu["throttled_time"],
	}
	memory := t.dir(group, "memory")
	counted := numbers(memory, "memory.stat")
	names := []string{"hierarchical_memory_limit", "hierarchical_memsw_limit"}
	for _, n := range memory1 {
		names = append(names, n, "total_"+n)
	}
	s.MemoryStats = container.MemoryStats{
		Stats: pick(counted, names...), Usage: number(memory, "memory.usage_in_bytes"), MaxUsage: number(memory, "memory.max_usage_in_bytes"),
		Limit: number(memory, "memory.limit_in_bytes"), Failcnt: number(memory, "memory.failcnt"),
	}
	pids := t.dir(group, "pids")
	s.PidsStats = container.PidsStats{Current: number(pids, "pids.current"), Limit: number(pids, "pids.max")}
	if s.PidsStats.Limit == math.MaxUint64 {
		s.PidsStats.Limit = 0
	}
	s.BlkioStats = blkio1(t.dir(group, "blkio"))
}

// blkio1 reads the counters of the CFQ scheduler where the kernel still has it, else those of the throttling layer, as
// Docker does.
func blkio1(dir string) (b container.BlkioStats) {
	for name, into := range map[string]*[]container.BlkioStatEntry{
		"sectors_recursive": &b.SectorsRecursive, "io_service_bytes_recursive": &b.IoServiceBytesRecursive,
		"io_serviced_recursive": &b.IoServicedRecursive, "io_queued_recursive": &b.IoQueuedRecursive,
		"io_service_time_recursive": &b.IoServiceTimeRecursive, "io_wait_time_recursive": &b.IoWaitTimeRecursive,
		"io_merged_recursive": &b.IoMergedRecursive, "time_recursive": &b.IoTimeRecursive,
	} {
		*into = io1(filepath.Join(dir, "blkio."+name))
	}
	if len(b.IoServicedRecursive) == 0 {
		b.IoServicedRecursive = io1(filepath.Join(dir, "blkio.throttle.io_serviced"))
		b.IoServiceBytesRecursive = io1(filepath.Join(dir, "blkio.throttle.io_service_bytes"))
	}
	return b
}

// io1 reads lines like "8:0 Read 1" and "8:0 1", but not the total. Never nil: Docker has empty lists on v1.
func io1(path string) []container.BlkioStatEntry {
	out := []container.BlkioStatEntry{}
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] == "Total" {
			continue
		}
		e := container.BlkioStatEntry{}
		var ok bool
		if e.Major, e.Minor, ok = device(fields[0]); !ok {
			continue
		}
		if len(fields) > 2 {
			e.Op = fields[1]
		}
		e.Value, _ = strconv.ParseUint(fields[len(fields)-1], 10, 64)
		out = append(out, e)
	}
	return out
}

func list(path string) (out []uint64) {
	text, _ := os.ReadFile(path)
	for _, f := range strings.Fields(string(text)) {
		n, _ := strconv.ParseUint(f, 10, 64)
		out = append(out, n)
	}
	return out
}
