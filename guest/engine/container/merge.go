package container

import (
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
)

// conflicts refuses limits that do not go with those that a container has.
func conflicts(now, change *container.Resources) error {
	switch {
	case change.NanoCPUs > 0 && now.CPUPeriod > 0:
		return errConflict("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set")
	case change.NanoCPUs > 0 && now.CPUQuota > 0:
		return errConflict("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set")
	case change.CPUPeriod > 0 && now.NanoCPUs > 0:
		return errConflict("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set")
	case change.CPUQuota > 0 && now.NanoCPUs > 0:
		return errConflict("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set")
	case change.Memory != 0 && change.Memory > now.MemorySwap && change.MemorySwap == 0:
		return errConflict("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
	}
	return nil
}

// mergeResources sets in r what change has.
func mergeResources(r, change *container.Resources) {
	for to, value := range map[*int64]int64{
		&r.CPUShares: change.CPUShares, &r.NanoCPUs: change.NanoCPUs, &r.CPUPeriod: change.CPUPeriod, &r.CPUQuota: change.CPUQuota,
		&r.Memory: change.Memory, &r.MemorySwap: change.MemorySwap, &r.MemoryReservation: change.MemoryReservation,
		&r.CPURealtimePeriod: change.CPURealtimePeriod, &r.CPURealtimeRuntime: change.CPURealtimeRuntime,
	} {
		if value != 0 {
			*to = value
		}
	}
	for to, value := range map[*string]string{&r.CpusetCpus: change.CpusetCpus, &r.CpusetMems: change.CpusetMems} {
		if value != "" {
			*to = value
		}
	}
	if change.BlkioWeight != 0 {
		r.BlkioWeight = change.BlkioWeight
	}
	if change.PidsLimit != nil {
		r.PidsLimit = change.PidsLimit
	}
	if change.BlkioWeightDevice != nil {
		r.BlkioWeightDevice = change.BlkioWeightDevice
	}
	for to, value := range map[*[]*blkiodev.ThrottleDevice][]*blkiodev.ThrottleDevice{
		&r.BlkioDeviceReadBps: change.BlkioDeviceReadBps, &r.BlkioDeviceWriteBps: change.BlkioDeviceWriteBps,
		&r.BlkioDeviceReadIOps: change.BlkioDeviceReadIOps, &r.BlkioDeviceWriteIOps: change.BlkioDeviceWriteIOps,
	} {
		if value != nil {
			*to = value
		}
	}
}

// unlimited is r without what change leaves alone, and with words for "no limit" where r has none.
func unlimited(r container.Resources, change *container.Resources) *container.Resources {
	out := &container.Resources{}
	set := func(changed bool, to *int64, value, none int64) {
		if changed {
			if *to = value; value == 0 {
				*to = none
			}
		}
	}
	memory := change.Memory != 0 || change.MemorySwap != 0
	cpu := change.NanoCPUs != 0 || change.CPUPeriod != 0 || change.CPUQuota != 0
	set(memory, &out.Memory, r.Memory, -1)
	set(memory, &out.MemorySwap, r.MemorySwap, -1)
	set(change.MemoryReservation != 0, &out.MemoryReservation, r.MemoryReservation, -1)
	set(change.CPUShares != 0, &out.CPUShares, r.CPUShares, 1024)
	if cpu && r.NanoCPUs != 0 {
		out.NanoCPUs = r.NanoCPUs
	} else {
		set(cpu, &out.CPUPeriod, r.CPUPeriod, 100_000)
		set(cpu, &out.CPUQuota, r.CPUQuota, -1)
	}
	if change.PidsLimit != nil {
		if out.PidsLimit = r.PidsLimit; out.PidsLimit == nil {
			out.PidsLimit = new(int64)
		}
	}
	if change.CpusetCpus != "" {
		out.CpusetCpus = r.CpusetCpus
	}
	if change.CpusetMems != "" {
		out.CpusetMems = r.CpusetMems
	}
	if change.BlkioWeight != 0 {
		out.BlkioWeight = r.BlkioWeight
	}
	return out
}
