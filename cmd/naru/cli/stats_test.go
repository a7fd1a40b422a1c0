package cli

import (
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestStatsRow(t *testing.T) {
	s := &container.StatsResponse{
		ID: "0123456789abcdef", Name: "/web",
		CPUStats:    container.CPUStats{CPUUsage: container.CPUUsage{TotalUsage: 300}, SystemUsage: 2000, OnlineCPUs: 2},
		PreCPUStats: container.CPUStats{CPUUsage: container.CPUUsage{TotalUsage: 100}, SystemUsage: 1000},
		MemoryStats: container.MemoryStats{Usage: 3 << 20, Limit: 8 << 20, Stats: map[string]uint64{"inactive_file": 1 << 20}},
		Networks:    map[string]container.NetworkStats{"eth0": {RxBytes: 1000, TxBytes: 1}, "eth1": {RxBytes: 500}},
		BlkioStats: container.BlkioStats{IoServiceBytesRecursive: []container.BlkioStatEntry{
			{Op: "Read", Value: 10}, {Op: "Write", Value: 20}, {Op: "Total", Value: 30}, {Op: "read", Value: 5},
		}},
		PidsStats: container.PidsStats{Current: 4},
	}
	want := statsRow{
		Container: "w", ID: "0123456789ab", Name: "web", CPUPerc: "40.00%", MemUsage: "2MiB / 8MiB", MemPerc: "25.00%",
		NetIO: "1.5kB / 1B", BlockIO: "15B / 20B", PIDs: "4",
	}
	if got := newStatsRow("w", s, false); got != want {
		t.Errorf("%+v", got)
	}
	s.MemoryStats.Stats = map[string]uint64{"total_inactive_file": 2 << 20, "inactive_file": 1} // v1
	if got := newStatsRow("w", s, true); got.MemUsage != "1MiB / 8MiB" || got.ID != s.ID {
		t.Errorf("v1: %+v", got)
	}
	if got := newStatsRow("w", &container.StatsResponse{}, false); got.CPUPerc != "0.00%" || got.MemUsage != "0B / 0B" || got.MemPerc != "0.00%" {
		t.Errorf("nothing: %+v", got)
	}
}
