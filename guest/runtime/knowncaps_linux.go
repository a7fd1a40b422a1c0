package runtime

import (
	"os"
	"strconv"
	"strings"
	"sync"
)

// knownCapabilities is indexed by the kernel's number, include/uapi/linux/capability.h.
var knownCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// allCapabilities are those the engine itself may give: its bounding set.
var allCapabilities = sync.OnceValue(func() []string {
	bounding := ^uint64(0)
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		if _, rest, ok := strings.Cut(string(status), "CapBnd:"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			if n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64); err == nil {
				bounding = n
			}
		}
	}
	var caps []string
	for i, c := range knownCapabilities {
		if bounding&(1<<i) != 0 {
			caps = append(caps, c)
		}
	}
	return caps[:len(caps):len(caps)]
})
