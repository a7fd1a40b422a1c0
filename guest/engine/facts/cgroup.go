package facts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// CgroupRoot is where the hierarchy, or in version 1 the hierarchies, are mounted.
const CgroupRoot = "/sys/fs/cgroup"

// Cgroup is what containers can be limited by.
type Cgroup struct {
	Version                                      string // "1" or "2"
	Memory, Swap, OOMKillDisable                 bool
	CPUShares, CPUQuota, CPUSet, Pids            bool
	BlockWeight                                  bool // version 2 only: kernels since 5.0 have no weight in version 1
	ReadBytes, WriteBytes, ReadCalls, WriteCalls bool // limits of a block device
}

// Cgroups looks at the hierarchy at root.
func Cgroups(root string) Cgroup {
	var st unix.Statfs_t
	if unix.Statfs(root, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		return cgroup2(root)
	}
	return cgroup1(root)
}

func cgroup2(root string) Cgroup {
	data, _ := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	controllers := strings.Fields(string(data))
	has := func(name string) bool { return slices.Contains(controllers, name) }
	// The root has no limits of its own, so files are looked for one level below.
	below, _ := filepath.Glob(filepath.Join(root, "*", "memory.swap.max"))
	io := has("io")
	return Cgroup{
		Version: "2", Memory: has("memory"), Swap: len(below) > 0, CPUShares: has("cpu"), CPUQuota: has("cpu"),
		CPUSet: has("cpuset"), Pids: has("pids"), BlockWeight: io, ReadBytes: io, WriteBytes: io, ReadCalls: io, WriteCalls: io,
	}
}

func cgroup1(root string) Cgroup {
	has := func(controller, file string) bool {
		_, err := os.Stat(filepath.Join(root, controller, file))
		return err == nil
	}
	throttle := func(name string) bool { return has("blkio", "blkio.throttle."+name+"_device") }
	return Cgroup{
		Version: "1", Memory: has("memory", "memory.limit_in_bytes"), Swap: has("memory", "memory.memsw.limit_in_bytes"),
		OOMKillDisable: has("memory", "memory.oom_control"), CPUShares: has("cpu", "cpu.shares"), CPUQuota: has("cpu", "cpu.cfs_quota_us"),
		CPUSet: has("cpuset", "cpuset.cpus"), Pids: has("pids", "cgroup.procs"),
		ReadBytes: throttle("read_bps"), WriteBytes: throttle("write_bps"), ReadCalls: throttle("read_iops"), WriteCalls: throttle("write_iops"),
	}
}

// Warnings says what cannot be limited, in Docker's words.
func (c Cgroup) Warnings() []string {
	v2 := c.Version == "2"
	block := func(v1, name2 string) string {
		if v2 {
			return "io.max (" + name2 + ")"
		}
		return "blkio throttle." + v1 + "_device"
	}
	var out []string
	for _, w := range []struct {
		fine bool
		what string
	}{
		{c.Memory, "memory limit"}, {c.Swap, "swap limit"},
		{c.OOMKillDisable || v2, "oom kill disable"}, // version 2 has none, and nobody can change that
		{c.CPUQuota, "cpu cfs quota"}, {c.CPUQuota, "cpu cfs period"}, {c.CPUShares, "cpu shares"}, {c.CPUSet, "cpuset"},
		{c.BlockWeight || !v2, "io.weight"}, {c.BlockWeight || !v2, "io.weight (per device)"},
		{c.ReadBytes, block("read_bps", "rbps")}, {c.WriteBytes, block("write_bps", "wbps")},
		{c.ReadCalls, block("read_iops", "riops")}, {c.WriteCalls, block("write_iops", "wiops")},
		{c.Pids, "pids limit"},
	} {
		if !w.fine {
			out = append(out, "WARNING: No "+w.what+" support")
		}
	}
	return out
}
