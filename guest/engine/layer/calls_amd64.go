package layer

import "golang.org/x/sys/unix"

const archAudit = unix.AUDIT_ARCH_X86_64

var archCalls = []uint32{unix.SYS_NEWFSTATAT, unix.SYS_ARCH_PRCTL}
