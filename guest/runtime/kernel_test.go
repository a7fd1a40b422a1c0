package runtime

import (
	"os"
	"path/filepath"
	"testing"
)

// hierarchy makes the files of a cgroup hierarchy.
func hierarchy(t *testing.T, files map[string]string) string {
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

func TestKernel(t *testing.T) {
	two := &Kernel{}
	two.readV2(hierarchy(t, map[string]string{
		"cgroup.controllers": "cpu memory pids cpuset\n", "cpuset.cpus.effective": "0-3\n", "cpuset.mems.effective": "0\n",
	}))
	if !two.Memory || !two.MemoryReservation || !two.CPUQuota || !two.Pids || !two.Cpuset || two.CPUs != "0-3" || two.Mems != "0" {
		t.Errorf("version 2: %+v", two)
	}
	if two.OomKillDisable || two.Swappiness || two.CPURealtime || two.ReadBps || two.BlkioWeight {
		t.Errorf("version 2 has too much: %+v", two)
	}
	root := hierarchy(t, map[string]string{
		"memory/memory.limit_in_bytes": "", "memory/memory.oom_control": "", "cpu/cpu.shares": "", "cpu/cpu.cfs_quota_us": "",
		"pids/cgroup.procs": "", "cpuset/cpuset.cpus": "0,2\n", "cpuset/cpuset.mems": "0\n", "blkio/blkio.throttle.read_bps_device": "",
	})
	mounts := map[string]string{}
	for _, c := range []string{"memory", "cpu", "pids", "cpuset", "blkio"} {
		mounts[c] = filepath.Join(root, c)
	}
	one := &Kernel{}
	one.readV1(mounts)
	if !one.Memory || !one.OomKillDisable || !one.CPUShares || !one.CPUQuota || !one.Pids || one.CPUs != "0,2" || !one.ReadBps {
		t.Errorf("version 1: %+v", one)
	}
	if one.Swap || one.Swappiness || one.WriteBps || one.BlkioWeight || one.CPURealtime {
		t.Errorf("version 1 has too much: %+v", one)
	}
}
