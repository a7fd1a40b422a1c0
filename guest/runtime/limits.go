package runtime

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// minMemory is the least memory limit Docker accepts, in bytes.
const minMemory = 6 << 20

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// CheckResources refuses limits that are wrong, with Docker's words and of class InvalidArgument, and takes those out of r
// that this kernel does not have, each with a warning. It is asked at creation, at each start (the kernel may be
// another one) and by update, which may change the swap limit alone.
func CheckResources(r *container.Resources, k *Kernel, update bool) (warnings []string, err error) {
	c := &checker{r: r, k: k}
	for _, check := range []func() error{
		func() error { return c.memory(update) }, c.oomAndPids, c.cpu, c.cpuset, c.blkio, c.ulimits,
	} {
		if err := check(); err != nil {
			return c.warnings, err
		}
	}
	return c.warnings, nil
}

type checker struct {
	r        *container.Resources
	k        *Kernel
	warnings []string
}

// discard warns that the kernel lacks something, where it was asked for and the kernel does.
func (c *checker) discard(asked, supported bool, warning string) bool {
	if asked && !supported {
		c.warnings = append(c.warnings, warning)
	}
	return asked && !supported
}

func (c *checker) memory(update bool) error {
	r, k := c.r, c.k
	if r.MemorySwappiness != nil && *r.MemorySwappiness == -1 {
		r.MemorySwappiness = nil
	}
	if r.Memory != 0 && r.Memory < minMemory {
		return invalid("Minimum memory limit allowed is 6MB")
	}
	if c.discard(r.Memory > 0, k.Memory, "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.") {
		r.Memory, r.MemorySwap = 0, -1
	}
	if c.discard(r.Memory > 0 && r.MemorySwap != -1, k.Swap, "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.") {
		r.MemorySwap = -1
	}
	if r.Memory > 0 && r.MemorySwap > 0 && r.MemorySwap < r.Memory {
		return invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	}
	if r.Memory == 0 && r.MemorySwap > 0 && !update {
		return invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	}
	if c.discard(r.MemorySwappiness != nil, k.Swappiness, "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.") {
		r.MemorySwappiness = nil
	}
	if s := r.MemorySwappiness; s != nil && (*s < 0 || *s > 100) {
		return invalid("Invalid value: %v, valid memory swappiness range is 0-100", *s)
	}
	if c.discard(r.MemoryReservation > 0, k.MemoryReservation, "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.") {
		r.MemoryReservation = 0
	}
	if r.MemoryReservation > 0 && r.MemoryReservation < minMemory {
		return invalid("Minimum memory reservation allowed is 6MB")
	}
	if r.Memory > 0 && r.MemoryReservation > 0 && r.Memory < r.MemoryReservation {
		return invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
	}
	return nil
}

func (c *checker) oomAndPids() error {
	r, k := c.r, c.k
	if r.OomKillDisable != nil && !k.OomKillDisable {
		c.discard(*r.OomKillDisable, false, "Your kernel does not support OomKillDisable. OomKillDisable discarded.")
		r.OomKillDisable = nil
	}
	if r.OomKillDisable != nil && *r.OomKillDisable && r.Memory == 0 {
		c.warnings = append(c.warnings, "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.")
	}
	if r.PidsLimit != nil && !k.Pids {
		c.discard(*r.PidsLimit > 0, false, "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.")
		r.PidsLimit = nil
	}
	return nil
}

func (c *checker) cpu() error {
	r, k := c.r, c.k
	switch {
	case r.NanoCPUs > 0 && r.CPUPeriod > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
	case r.NanoCPUs > 0 && r.CPUQuota > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
	case r.NanoCPUs > 0 && !k.CPUQuota:
		return invalid("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted")
	case r.NanoCPUs < 0 || r.NanoCPUs > int64(k.NumCPU)*1e9:
		return invalid("range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", k.NumCPU, k.NumCPU)
	case (r.CPURealtimePeriod != 0 || r.CPURealtimeRuntime != 0) && !k.CPURealtime:
		return invalid("kernel does not support CPU real-time scheduler")
	case r.CPURealtimePeriod != 0 && r.CPURealtimeRuntime > r.CPURealtimePeriod:
		return invalid("cpu real-time runtime cannot be higher than cpu real-time period")
	case r.CPUShares < 0:
		return invalid("invalid CPU shares (%d): value must be a positive integer", r.CPUShares)
	}
	if c.discard(r.CPUShares > 0, k.CPUShares, "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.") {
		r.CPUShares = 0
	}
	if c.discard(r.CPUPeriod != 0 || r.CPUQuota != 0, k.CPUQuota, "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.") {
		r.CPUPeriod, r.CPUQuota = 0, 0
	}
	if r.CPUPeriod != 0 && (r.CPUPeriod < 1000 || r.CPUPeriod > 1000000) {
		return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	}
	if r.CPUQuota > 0 && r.CPUQuota < 1000 {
		return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
	}
	if c.discard(r.CPUPercent > 0, false, "linux does not support CPU percent. Percent discarded.") {
		r.CPUPercent = 0
	}
	return nil
}

func (c *checker) cpuset() error {
	r, k := c.r, c.k
	if c.discard(r.CpusetCpus != "" || r.CpusetMems != "", k.Cpuset, "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.") {
		r.CpusetCpus, r.CpusetMems = "", ""
	}
	if ok, err := within(r.CpusetCpus, k.CPUs); err != nil {
		return invalid("Invalid value %s for cpuset cpus: %s", r.CpusetCpus, err)
	} else if !ok {
		return invalid("Requested CPUs are not available - requested %s, available: %s", r.CpusetCpus, k.CPUs)
	}
	if ok, err := within(r.CpusetMems, k.Mems); err != nil {
		return invalid("Invalid value %s for cpuset mems: %s", r.CpusetMems, err)
	} else if !ok {
		return invalid("Requested memory nodes are not available - requested %s, available: %s", r.CpusetMems, k.Mems)
	}
	return nil
}

func (c *checker) blkio() error {
	r, k := c.r, c.k
	if c.discard(r.BlkioWeight > 0, k.BlkioWeight, "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.") {
		r.BlkioWeight = 0
	}
	if r.BlkioWeight > 0 && (r.BlkioWeight < 10 || r.BlkioWeight > 1000) {
		return invalid("Range of blkio weight is from 10 to 1000")
	}
	if r.IOMaximumBandwidth != 0 || r.IOMaximumIOps != 0 {
		return invalid("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps")
	}
	if c.discard(len(r.BlkioWeightDevice) > 0, k.BlkioWeightDevice, "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.") {
		r.BlkioWeightDevice = nil
	}
	for _, d := range r.BlkioWeightDevice {
		if d == nil || d.Weight != 0 && (d.Weight < 10 || d.Weight > 1000) {
			return invalid("Range of blkio weight is from 10 to 1000")
		}
	}
	if c.discard(len(r.BlkioDeviceReadBps) > 0, k.ReadBps, "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.") {
		r.BlkioDeviceReadBps = nil
	}
	if c.discard(len(r.BlkioDeviceWriteBps) > 0, k.WriteBps, "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.") {
		r.BlkioDeviceWriteBps = nil
	}
	if c.discard(len(r.BlkioDeviceReadIOps) > 0, k.ReadIOps, "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.") {
		r.BlkioDeviceReadIOps = nil
	}
	if c.discard(len(r.BlkioDeviceWriteIOps) > 0, k.WriteIOps, "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.") {
		r.BlkioDeviceWriteIOps = nil
	}
	for _, d := range slices.Concat(r.BlkioDeviceReadBps, r.BlkioDeviceWriteBps, r.BlkioDeviceReadIOps, r.BlkioDeviceWriteIOps) {
		if d == nil {
			return invalid("invalid block device limit: must not be null")
		}
	}
	return nil
}
