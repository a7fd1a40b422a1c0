package runtime

import (
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
)

// Kernel is what this machine can limit and separate. The fields are those of Docker's /info.
type Kernel struct {
	CgroupV2 bool

	Memory, Swap, MemoryReservation, Swappiness, OomKillDisable bool
	CPUShares, CPUQuota, CPURealtime, Cpuset, Pids              bool
	BlkioWeight, BlkioWeightDevice                              bool
	ReadBps, WriteBps, ReadIOps, WriteIOps                      bool

	CPUs, Mems string // lists: "0-3"; empty where there is no cpuset
	NumCPU     int

	CgroupNamespaces bool
}

// Host looks at the kernel anew. It reads some twenty small files.
func Host() *Kernel {
	k := &Kernel{CgroupV2: cgroup2(), NumCPU: goruntime.NumCPU(), CgroupNamespaces: exists("/proc/self/ns/cgroup")}
	if k.CgroupV2 {
		k.readV2("/sys/fs/cgroup")
	} else {
		k.readV1(controllerMounts())
	}
	return k
}

// hostKernel is Host as it was at the first call: what a kernel can do does not change, unlike which CPUs are on.
var hostKernel = sync.OnceValue(Host)

func (k *Kernel) readV2(root string) {
	list, _ := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	has := map[string]bool{}
	for _, c := range strings.Fields(string(list)) {
		has[c] = true
	}
	k.Memory, k.MemoryReservation = has["memory"], has["memory"]
	// The root cgroup has no memory.swap.max: the kernel's list of swap areas tells whether it accounts for swap.
	k.Swap = has["memory"] && exists("/proc/swaps")
	k.CPUShares, k.CPUQuota, k.Pids = has["cpu"], has["cpu"], has["pids"]
	// Weights need one of the two that honour them: io.cost, or the scheduler bfq.
	weights := has["io"] && (exists(filepath.Join(root, "io.cost.qos")) || exists("/sys/module/bfq"))
	k.BlkioWeight, k.BlkioWeightDevice = weights, weights
	k.ReadBps, k.WriteBps, k.ReadIOps, k.WriteIOps = has["io"], has["io"], has["io"], has["io"]
	if has["cpuset"] {
		k.Cpuset = true
		k.CPUs, k.Mems = readLine(root, "cpuset.cpus.effective"), readLine(root, "cpuset.mems.effective")
	}
}

// readV1 looks for the files of each controller; mounts are by controller.
func (k *Kernel) readV1(mounts map[string]string) {
	has := func(controller, file string) bool {
		dir, ok := mounts[controller]
		return ok && exists(filepath.Join(dir, file))
	}
	k.Memory = has("memory", "memory.limit_in_bytes")
	k.Swap = has("memory", "memory.memsw.limit_in_bytes")
	k.MemoryReservation = has("memory", "memory.soft_limit_in_bytes")
	k.Swappiness = has("memory", "memory.swappiness")
	k.OomKillDisable = has("memory", "memory.oom_control")
	k.CPUShares = has("cpu", "cpu.shares")
	k.CPUQuota = has("cpu", "cpu.cfs_quota_us")
	k.CPURealtime = has("cpu", "cpu.rt_period_us")
	k.Pids = has("pids", "cgroup.procs")
	k.BlkioWeight = has("blkio", "blkio.weight") || has("blkio", "blkio.bfq.weight")
	k.BlkioWeightDevice = has("blkio", "blkio.weight_device") || has("blkio", "blkio.bfq.weight_device")
	k.ReadBps = has("blkio", "blkio.throttle.read_bps_device")
	k.WriteBps = has("blkio", "blkio.throttle.write_bps_device")
	k.ReadIOps = has("blkio", "blkio.throttle.read_iops_device")
	k.WriteIOps = has("blkio", "blkio.throttle.write_iops_device")
	if dir, ok := mounts["cpuset"]; ok {
		k.Cpuset = true
		k.CPUs, k.Mems = readLine(dir, "cpuset.cpus"), readLine(dir, "cpuset.mems")
	}
}

// controllerMounts are the mount points of the controllers of cgroup v1, by controller.
func controllerMounts() map[string]string {
	mounts := map[string]string{}
	for _, m := range cgroupMounts() {
		for _, opt := range strings.Split(m.options, ",") {
			mounts[opt] = m.path
		}
	}
	return mounts
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readLine(dir, name string) string {
	data, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(data))
}

// DefaultCgroupns is Docker's mode for a container that was given none: its own cgroup namespace on v2 only.
func DefaultCgroupns() container.CgroupnsMode {
	if hostKernel().CgroupV2 {
		return container.CgroupnsModePrivate
	}
	return container.CgroupnsModeHost
}
