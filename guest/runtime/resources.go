package runtime

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// minMemory is the least memory limit Docker accepts, in bytes.
const minMemory = 6 << 20

// resources returns the cgroup limits. Errors are of class InvalidArgument with Docker's words.
func resources(hc *container.HostConfig) (*specs.LinuxResources, error) {
	invalid := func(format string, args ...any) (*specs.LinuxResources, error) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
	}
	r := &specs.LinuxResources{Devices: deviceRules(), CPU: &specs.LinuxCPU{}, Memory: &specs.LinuxMemory{}}
	if hc.Privileged {
		r.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	switch {
	case hc.Memory != 0 && hc.Memory < minMemory:
		return invalid("Minimum memory limit allowed is 6MB")
	case hc.MemorySwap > 0 && hc.Memory == 0:
		return invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	case hc.MemorySwap > 0 && hc.MemorySwap < hc.Memory:
		return invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	case hc.MemoryReservation > 0 && hc.Memory > 0 && hc.MemoryReservation > hc.Memory:
		return invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
	case hc.NanoCPUs > 0 && (hc.CPUQuota > 0 || hc.CPUPeriod > 0):
		return invalid("Conflicting options: Nano CPUs and CPU Period/Quota cannot both be set")
	case hc.NanoCPUs < 0 || hc.NanoCPUs > int64(numCPU())*1e9:
		return invalid("range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", numCPU(), numCPU())
	}
	if hc.Memory > 0 {
		r.Memory.Limit = &hc.Memory
		swap := hc.MemorySwap
		if swap == 0 {
			swap = hc.Memory * 2 // as Docker: memory and swap together
		}
		if swapAccounting() {
			r.Memory.Swap = &swap
		}
	}
	if hc.MemoryReservation > 0 {
		r.Memory.Reservation = &hc.MemoryReservation
	}
	if s := hc.MemorySwappiness; s != nil && *s >= 0 && !cgroup2() {
		swappiness := uint64(*s)
		r.Memory.Swappiness = &swappiness
	}
	if hc.OomKillDisable != nil && !cgroup2() {
		r.Memory.DisableOOMKiller = hc.OomKillDisable
	}
	setCPU(r.CPU, hc)
	if p := hc.PidsLimit; p != nil && *p > 0 {
		r.Pids = &specs.LinuxPids{Limit: p}
	}
	if hc.BlkioWeight > 0 {
		r.BlockIO = &specs.LinuxBlockIO{Weight: &hc.BlkioWeight}
	}
	return r, nil
}

func setCPU(cpu *specs.LinuxCPU, hc *container.HostConfig) {
	if hc.CPUShares > 0 {
		shares := uint64(hc.CPUShares)
		cpu.Shares = &shares
	}
	period, quota := uint64(hc.CPUPeriod), hc.CPUQuota
	if hc.NanoCPUs > 0 {
		period = 100_000
		quota = hc.NanoCPUs * int64(period) / 1e9
	}
	if period > 0 {
		cpu.Period = &period
	}
	if quota != 0 {
		cpu.Quota = &quota
	}
	cpu.Cpus, cpu.Mems = hc.CpusetCpus, hc.CpusetMems
}

func numCPU() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 1
	}
	return set.Count()
}

// swapAccounting tells whether the kernel can limit swap; asking for it elsewhere would fail the start.
func swapAccounting() bool {
	if cgroup2() {
		return true // crun writes memory.swap.max only where the file exists
	}
	_, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	return err == nil
}

// devices returns the nodes for HostConfig.Devices, or all of the host's for a privileged container, and adds their
// cgroup rules to r.
func devices(hc *container.HostConfig, r *specs.LinuxResources) ([]specs.LinuxDevice, error) {
	if hc.Privileged {
		return hostDevices(), nil
	}
	var out []specs.LinuxDevice
	for _, d := range hc.Devices {
		node, err := deviceNode(d.PathOnHost, d.PathInContainer)
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("error gathering device information while adding custom device %q: %v", d.PathOnHost, err))
		}
		access := d.CgroupPermissions
		if access == "" {
			access = "rwm"
		}
		out = append(out, node)
		r.Devices = append(r.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: node.Type, Major: &node.Major, Minor: &node.Minor, Access: access})
	}
	for _, rule := range hc.DeviceCgroupRules {
		parsed, err := parseDeviceRule(rule)
		if err != nil {
			return nil, err
		}
		r.Devices = append(r.Devices, parsed)
	}
	return out, nil
}

// parseDeviceRule reads "c 1:3 mr" or "a *:* rwm".
func parseDeviceRule(rule string) (specs.LinuxDeviceCgroup, error) {
	bad := errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid device cgroup rule format: '%s'", rule))
	f := strings.Fields(rule)
	if len(f) != 3 || !strings.Contains("abc", f[0]) || strings.Trim(f[2], "rwm") != "" {
		return specs.LinuxDeviceCgroup{}, bad
	}
	out := specs.LinuxDeviceCgroup{Allow: true, Type: f[0], Access: f[2]}
	major, minor, ok := strings.Cut(f[1], ":")
	for _, part := range []struct {
		text string
		to   **int64
	}{{major, &out.Major}, {minor, &out.Minor}} {
		if part.text == "*" {
			continue
		}
		n, err := strconv.ParseInt(part.text, 10, 64)
		if err != nil || !ok {
			return specs.LinuxDeviceCgroup{}, bad
		}
		*part.to = &n
	}
	return out, nil
}

func deviceNode(source, target string) (specs.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Stat(source, &st); err != nil {
		return specs.LinuxDevice{}, err
	}
	var typ string
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		typ = "c"
	case unix.S_IFBLK:
		typ = "b"
	default:
		return specs.LinuxDevice{}, fmt.Errorf("not a device node")
	}
	if target == "" {
		target = source
	}
	mode := os.FileMode(st.Mode & 0o7777)
	return specs.LinuxDevice{
		Path: target, Type: typ, FileMode: &mode, UID: &st.Uid, GID: &st.Gid,
		Major: int64(unix.Major(uint64(st.Rdev))), Minor: int64(unix.Minor(uint64(st.Rdev))),
	}, nil
}

// runtimeNodes are made by the runtime itself in every container.
var runtimeNodes = map[string]bool{
	"/dev/null": true, "/dev/zero": true, "/dev/full": true, "/dev/random": true, "/dev/urandom": true, "/dev/tty": true,
	"/dev/console": true, "/dev/ptmx": true,
}

// hostDevices lists every device node below /dev. What vanishes meanwhile is left out.
func hostDevices() []specs.LinuxDevice {
	var out []specs.LinuxDevice
	_ = filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() {
			switch path {
			case "/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue":
				return fs.SkipDir
			}
			return nil
		}
		if d.Type()&fs.ModeDevice != 0 && !runtimeNodes[path] {
			if node, err := deviceNode(path, path); err == nil {
				out = append(out, node)
			}
		}
		return nil
	})
	return out
}
