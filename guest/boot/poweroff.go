package boot

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Poweroff writes everything to the data disk, unmounts what it can, makes the rest read-only, and powers the guest
// off. It does not return. The caller has stopped the containers; a process that still writes loses what it writes
// from here on, and the disk stays whole all the same.
func (s *System) Poweroff() {
	unix.Sync()
	for _, target := range writable() {
		if unix.Unmount(target, unix.UMOUNT_NOFOLLOW) != nil {
			_ = unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // busy: it goes with its last user
		}
	}
	// What is still in use somewhere, for example a disk below a container's overlay: read-only, journal written.
	// sysrq-u does that to every file system at once (Documentation/admin-guide/sysrq.rst).
	_ = os.WriteFile("/proc/sysrq-trigger", []byte("u"), 0)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // the kernel does not come back from there; returning would make it panic
}

// writable lists the mounts that hold data of the user's, the innermost first: those on a disk, of the host, and the
// overlays over them. The root overlay holds nothing.
func writable() []string {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	var targets []string
	for _, line := range strings.Split(string(table), "\n") {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] == "/" {
			continue
		}
		switch f[2] {
		case "ext4", "virtiofs", "9p", "overlay":
			targets = append(targets, unescape.Replace(f[1]))
		}
	}
	slices.Reverse(targets)
	return targets
}

// unescape undoes the kernel's octal escapes in the table of mounts.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
