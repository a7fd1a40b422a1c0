package runflags

import (
	"github.com/moby/moby/api/types/container"
	"github.com/spf13/pflag"
)

// Update is the flags of `update`: the limits of `run` that can be changed in a container, and its restart policy.
type Update struct {
	resources Flags
	restart   string
	kernel    bytesValue
}

// AddUpdate defines the flags of `update` on f.
func AddUpdate(f *pflag.FlagSet) *Update {
	u := &Update{resources: Flags{set: f, memorySwap: bytesValue{unlimited: true}}}
	o := &u.resources
	f.Uint16Var(&o.blkioWeight, "blkio-weight", 0, "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")
	f.Int64Var(&o.cpuPeriod, "cpu-period", 0, "Limit CPU CFS (Completely Fair Scheduler) period")
	f.Int64Var(&o.cpuQuota, "cpu-quota", 0, "Limit CPU CFS (Completely Fair Scheduler) quota")
	f.Int64Var(&o.cpuRTPeriod, "cpu-rt-period", 0, "Limit the CPU real-time period in microseconds")
	f.Int64Var(&o.cpuRTRuntime, "cpu-rt-runtime", 0, "Limit the CPU real-time runtime in microseconds")
	f.Int64VarP(&o.cpuShares, "cpu-shares", "c", 0, "CPU shares (relative weight)")
	f.Var(&o.cpus, "cpus", "Number of CPUs")
	f.StringVar(&o.cpusetCPUs, "cpuset-cpus", "", "CPUs in which to allow execution (0-3, 0,1)")
	f.StringVar(&o.cpusetMems, "cpuset-mems", "", "MEMs in which to allow execution (0-3, 0,1)")
	f.VarP(&o.memory, "memory", "m", "Memory limit")
	f.Var(&o.memoryReservation, "memory-reservation", "Memory soft limit")
	f.Var(&o.memorySwap, "memory-swap", "Swap limit equal to memory plus swap: -1 to enable unlimited swap")
	f.Int64Var(&o.pidsLimit, "pids-limit", 0, "Tune container pids limit (set -1 for unlimited)")
	f.StringVar(&u.restart, "restart", "", "Restart policy to apply when a container exits")
	f.Var(&u.kernel, "kernel-memory", "Kernel memory limit (deprecated)")
	_ = f.MarkDeprecated("kernel-memory", "and no longer supported by the kernel")
	return u
}

// Config is what the flags say. What was not given is not to be changed.
func (u *Update) Config() (c container.UpdateConfig, err error) {
	o := &u.resources
	if c.RestartPolicy, err = parseRestart(u.restart); err != nil {
		return c, err
	}
	c.Resources = container.Resources{
		BlkioWeight: o.blkioWeight, CPUPeriod: o.cpuPeriod, CPUQuota: o.cpuQuota, CPURealtimePeriod: o.cpuRTPeriod,
		CPURealtimeRuntime: o.cpuRTRuntime, CPUShares: o.cpuShares, NanoCPUs: int64(o.cpus), CpusetCpus: o.cpusetCPUs,
		CpusetMems: o.cpusetMems, Memory: o.memory.n, MemoryReservation: o.memoryReservation.n, MemorySwap: o.memorySwap.n,
	}
	if o.pidsLimit != 0 {
		c.PidsLimit = &o.pidsLimit
	}
	return c, nil
}
