package runtime

import (
	"fmt"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Resources returns the cgroup limits for r, which CheckResources has seen, without rules for devices. It fails when a
// block device that r names is not there.
func Resources(r *container.Resources) (*specs.LinuxResources, error) {
	io, err := blockIO(r)
	if err != nil {
		return nil, err
	}
	return &specs.LinuxResources{Memory: memory(r), CPU: cpu(r), Pids: pids(r), BlockIO: io}, nil
}

func memory(r *container.Resources) *specs.LinuxMemory {
	m := specs.LinuxMemory{}
	if r.Memory > 0 {
		m.Limit = &r.Memory
	}
	if r.MemorySwap > 0 { // memory and swap together; -1 leaves swap unlimited
		m.Swap = &r.MemorySwap
	}
	if r.MemoryReservation > 0 {
		m.Reservation = &r.MemoryReservation
	}
	if r.MemorySwappiness != nil {
		swappiness := uint64(*r.MemorySwappiness)
		m.Swappiness = &swappiness
	}
	if r.OomKillDisable != nil && *r.OomKillDisable { // crun refuses even "false" where there is no such file
		m.DisableOOMKiller = r.OomKillDisable
	}
	if m == (specs.LinuxMemory{}) {
		return nil
	}
	return &m
}

func cpu(r *container.Resources) *specs.LinuxCPU {
	c := specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}
	if r.CPUShares > 0 {
		c.Shares = positive(r.CPUShares)
	}
	period, quota := r.CPUPeriod, r.CPUQuota
	if r.NanoCPUs > 0 {
		period = 100_000 // microseconds
		quota = r.NanoCPUs * period / 1e9
	}
	if period > 0 {
		c.Period = positive(period)
	}
	if quota != 0 {
		c.Quota = &quota
	}
	if r.CPURealtimePeriod > 0 {
		c.RealtimePeriod = positive(r.CPURealtimePeriod)
	}
	if r.CPURealtimeRuntime != 0 {
		c.RealtimeRuntime = &r.CPURealtimeRuntime
	}
	if c == (specs.LinuxCPU{}) {
		return nil
	}
	return &c
}

func positive(n int64) *uint64 {
	u := uint64(n)
	return &u
}

// pids: 0 and below are no limit, as in Docker.
func pids(r *container.Resources) *specs.LinuxPids {
	if r.PidsLimit == nil {
		return nil
	}
	limit := *r.PidsLimit
	if limit <= 0 {
		limit = -1
	}
	return &specs.LinuxPids{Limit: &limit}
}

func blockIO(r *container.Resources) (*specs.LinuxBlockIO, error) {
	io := &specs.LinuxBlockIO{}
	if r.BlkioWeight > 0 {
		io.Weight = &r.BlkioWeight
	}
	for _, d := range r.BlkioWeightDevice {
		major, minor, err := blockNumbers(d.Path)
		if err != nil {
			return nil, err
		}
		w := specs.LinuxWeightDevice{Weight: &d.Weight}
		w.Major, w.Minor = major, minor
		io.WeightDevice = append(io.WeightDevice, w)
	}
	for _, list := range []struct {
		from []*blkiodev.ThrottleDevice
		to   *[]specs.LinuxThrottleDevice
	}{
		{r.BlkioDeviceReadBps, &io.ThrottleReadBpsDevice}, {r.BlkioDeviceWriteBps, &io.ThrottleWriteBpsDevice},
		{r.BlkioDeviceReadIOps, &io.ThrottleReadIOPSDevice}, {r.BlkioDeviceWriteIOps, &io.ThrottleWriteIOPSDevice},
	} {
		for _, d := range list.from {
			major, minor, err := blockNumbers(d.Path)
			if err != nil {
				return nil, err
			}
			t := specs.LinuxThrottleDevice{Rate: d.Rate}
			t.Major, t.Minor = major, minor
			*list.to = append(*list.to, t)
		}
	}
	if io.Weight == nil && len(io.WeightDevice)+len(io.ThrottleReadBpsDevice)+len(io.ThrottleWriteBpsDevice)+
		len(io.ThrottleReadIOPSDevice)+len(io.ThrottleWriteIOPSDevice) == 0 {
		return nil, nil
	}
	return io, nil
}

// blockNumbers are those of a device at the start of a container: the path may lead to another one by then than at its
// creation, or to none.
func blockNumbers(path string) (major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, fmt.Errorf("stat %s: %w", path, err)
	}
	return int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev))), nil
}
