package runtime

import (
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// UpdateArgs sets the limits in the JSON file of a running container.
//
// crun does it rather than we: it knows how a limit is written on v1 and on v2, which of memory and swap has to be
// written first, and is what wrote them at the start. It takes 4 ms.
func (c Crun) UpdateArgs(id, file string) []string {
	return []string{c.Path, "--root", c.Root, "--cgroup-manager", "cgroupfs", "update", "--resources", file, id}
}

// Update returns the limits to write into a running container that has now what change has changed; nil for none. Limits
// that hang together, as memory and swap do, are all in it, and -1 takes one away.
func Update(now, change *container.Resources) (*specs.LinuxResources, error) {
	want := *change
	if change.Memory != 0 || change.MemorySwap != 0 {
		want.Memory, want.MemorySwap = now.Memory, now.MemorySwap
	}
	if change.NanoCPUs != 0 || change.CPUPeriod != 0 || change.CPUQuota != 0 {
		want.NanoCPUs, want.CPUPeriod, want.CPUQuota = now.NanoCPUs, now.CPUPeriod, now.CPUQuota
	}
	r, err := Resources(&want)
	if err != nil {
		return nil, err
	}
	if want.Memory < 0 || want.MemorySwap < 0 || want.MemoryReservation < 0 {
		if r.Memory == nil {
			r.Memory = &specs.LinuxMemory{}
		}
		takeAway(r.Memory, &want)
	}
	if r.Memory == nil && r.CPU == nil && r.Pids == nil && r.BlockIO == nil {
		return nil, nil
	}
	return r, nil
}

func takeAway(m *specs.LinuxMemory, want *container.Resources) {
	if want.Memory < 0 {
		m.Limit = &want.Memory
	}
	if want.MemorySwap < 0 && hostKernel().Swap {
		m.Swap = &want.MemorySwap
	}
	if want.MemoryReservation < 0 {
		m.Reservation = &want.MemoryReservation
	}
}
