package facts

import "naru/guest/runtime"

// Cgroup is what containers can be limited by.
type Cgroup struct{ *runtime.Kernel }

// Cgroups looks at this machine.
func Cgroups() Cgroup { return Cgroup{runtime.Host()} }

// Version is that of the hierarchy that has the controllers.
func (c Cgroup) Version() string {
	if c.CgroupV2 {
		return "2"
	}
	return "1"
}

// Warnings says what cannot be limited, in Docker's words.
func (c Cgroup) Warnings() []string {
	v2 := c.CgroupV2
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
		{c.OomKillDisable || v2, "oom kill disable"}, // version 2 has none, and nobody can change that
		{c.CPUQuota, "cpu cfs quota"}, {c.CPUQuota, "cpu cfs period"}, {c.CPUShares, "cpu shares"}, {c.Cpuset, "cpuset"},
		{c.BlkioWeight || !v2, "io.weight"}, {c.BlkioWeight || !v2, "io.weight (per device)"},
		{c.ReadBps, block("read_bps", "rbps")}, {c.WriteBps, block("write_bps", "wbps")},
		{c.ReadIOps, block("read_iops", "riops")}, {c.WriteIOps, block("write_iops", "wiops")},
		{c.Pids, "pids limit"},
	} {
		if !w.fine {
			out = append(out, "WARNING: No "+w.what+" support")
		}
	}
	return out
}
