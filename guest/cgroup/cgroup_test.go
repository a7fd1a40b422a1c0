package cgroup

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moby/moby/api/types/container"
)

// tree makes files below a folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestV2(t *testing.T) {
	g := Tree{V2: true, Root: tree(t, map[string]string{
		"n/c/cgroup.procs": "12\n7\n", "n/c/sub/cgroup.procs": "9\n",
		"n/c/cpu.stat":       "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 3\nthrottled_usec 2\n",
		"n/c/memory.current": "4096\n", "n/c/memory.max": "max\n", "n/c/memory.events": "low 0\noom 2\noom_kill 1\n",
		"n/c/memory.stat":  "anon 1\ninactive_file 5\nsomething_new 9\n",
		"n/c/pids.current": "3\n", "n/c/pids.max": "max\n",
		"n/c/io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:1 \n",
	})}
	pids, err := g.Pids("/n/c")
	if err != nil || !slices.Equal(pids, []int{7, 9, 12}) {
		t.Errorf("pids: %v %v", pids, err)
	}
	var s container.StatsResponse
	if err := g.Stats("/n/c", 1<<30, &s); err != nil {
		t.Fatal(err)
	}
	if u := s.CPUStats.CPUUsage; u.TotalUsage != 30000 || u.UsageInUsermode != 20000 || u.UsageInKernelmode != 10000 {
		t.Errorf("cpu: %+v", u)
	}
	if d := s.CPUStats.ThrottlingData; d.Periods != 4 || d.ThrottledPeriods != 3 || d.ThrottledTime != 2000 {
		t.Errorf("throttling: %+v", d)
	}
	if m := s.MemoryStats; m.Usage != 4096 || m.Limit != 1<<30 || m.Failcnt != 2 || len(m.Stats) != len(memory2) || m.Stats["inactive_file"] != 5 {
		t.Errorf("memory: %+v", m)
	}
	if s.PidsStats != (container.PidsStats{Current: 3, Limit: math.MaxUint64}) {
		t.Errorf("pids: %+v", s.PidsStats)
	}
	want := []container.BlkioStatEntry{{Major: 8, Op: "read", Value: 1}, {Major: 8, Op: "write", Value: 2}}
	if !slices.Equal(s.BlkioStats.IoServiceBytesRecursive, want) {
		t.Errorf("blkio: %+v", s.BlkioStats)
	}
	if err := g.Stats("/n/gone", 0, &s); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing group: %v", err)
	}
	if pids, err := g.Pids("/n/gone"); err != nil || len(pids) != 0 {
		t.Errorf("missing group: %v %v", pids, err)
	}
}

func TestV1(t *testing.T) {
	g := Tree{Root: tree(t, map[string]string{
		"pids/c/cgroup.procs": "5\n", "pids/c/pids.current": "1\n", "pids/c/pids.max": "max\n",
		"cpuacct/c/cpuacct.usage": "123\n", "cpuacct/c/cpuacct.usage_percpu": "100 23 \n", "cpuacct/c/cpuacct.stat": "user 2\nsystem 1\n",
		"cpu/c/cpu.stat":                 "nr_periods 4\nnr_throttled 3\nthrottled_time 2\n",
		"memory/c/memory.usage_in_bytes": "4096\n", "memory/c/memory.max_usage_in_bytes": "8192\n",
		"memory/c/memory.limit_in_bytes": "9223372036854771712\n", "memory/c/memory.failcnt": "6\n",
		"memory/c/memory.stat":                    "cache 1\ntotal_inactive_file 5\n",
		"blkio/c/blkio.throttle.io_service_bytes": "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n",
	})}
	var s container.StatsResponse
	if err := g.Stats("/c", 1<<30, &s); err != nil {
		t.Fatal(err)
	}
	if u := s.CPUStats.CPUUsage; u.TotalUsage != 123 || u.UsageInUsermode != 2e7 || u.UsageInKernelmode != 1e7 || !slices.Equal(u.PercpuUsage, []uint64{100, 23}) {
		t.Errorf("cpu: %+v", u)
	}
	if m := s.MemoryStats; m.Usage != 4096 || m.MaxUsage != 8192 || m.Limit != 1<<30 || m.Failcnt != 6 || m.Stats["total_inactive_file"] != 5 || len(m.Stats) != 32 {
		t.Errorf("memory: %+v", m)
	}
	if s.PidsStats != (container.PidsStats{Current: 1}) {
		t.Errorf("pids: %+v", s.PidsStats)
	}
	if b := s.BlkioStats; len(b.IoServiceBytesRecursive) != 3 || b.IoServiceBytesRecursive[1] != (container.BlkioStatEntry{Major: 8, Op: "Write", Value: 2}) || b.SectorsRecursive == nil {
		t.Errorf("blkio: %+v", b)
	}
}
