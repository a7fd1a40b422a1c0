package layer

import "golang.org/x/sys/unix"

const archAudit = unix.AUDIT_ARCH_AARCH64

var archCalls = []uint32{unix.SYS_FSTATAT}
