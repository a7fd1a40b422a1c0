package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultCaps are Docker's 14 capabilities.
var defaultCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// DefaultMaskedPaths are Docker's: what a container must not read of the kernel's own trees. The thermal counters of each
// CPU tell of other users' work.
var DefaultMaskedPaths = sync.OnceValue(func() []string {
	paths := []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}
	thermal, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle") // the pattern is right
	return append(paths, thermal...)
})

// DefaultReadonlyPaths are Docker's: what a container must not write of them.
func DefaultReadonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// defaultPath is the PATH of a container whose image sets none.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// DefaultShm is the size of /dev/shm in bytes when none is asked for.
const DefaultShm = 64 << 20

// deviceRules are the device nodes that every container may use, all others are denied. A rule allows mknod of any
// device but the use of none: what is in /dev is made by the runtime.
func deviceRules() []specs.LinuxDeviceCgroup {
	node := func(typ string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		rule := specs.LinuxDeviceCgroup{Allow: true, Type: typ, Access: access}
		if major >= 0 {
			rule.Major = &major
		}
		if minor >= 0 {
			rule.Minor = &minor
		}
		return rule
	}
	return []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		node("c", -1, -1, "m"),
		node("b", -1, -1, "m"),
		node("c", 1, 3, "rwm"),    // null
		node("c", 1, 5, "rwm"),    // zero
		node("c", 1, 7, "rwm"),    // full
		node("c", 1, 8, "rwm"),    // random
		node("c", 1, 9, "rwm"),    // urandom
		node("c", 5, 0, "rwm"),    // tty
		node("c", 5, 1, "rwm"),    // console
		node("c", 5, 2, "rwm"),    // ptmx
		node("c", 136, -1, "rwm"), // pts
	}
}

// systemMounts are the kernel file systems of a container: /sys writable when it is privileged, the cgroups as told.
func systemMounts(privileged, cgroups bool, shmSize int64) []specs.Mount {
	access := func(writable bool) string {
		if writable {
			return "rw"
		}
		return "ro"
	}
	if shmSize == 0 {
		shmSize = DefaultShm
	}
	sys := specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", access(privileged)}}
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		sys,
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{access(cgroups), "nosuid", "noexec", "nodev"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", sizeOption(shmSize)}},
	}
}

// cgroup2 tells whether the controllers are those of cgroup v2. On a hybrid host they are not: the keeper hides the
// empty v2 tree there.
func cgroup2() bool {
	controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	return err == nil && strings.TrimSpace(string(controllers)) != ""
}
