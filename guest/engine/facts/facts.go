// Package facts tells what the engine runs on: kernel, operating system, memory, what cgroups can limit, and the
// versions of the programs it uses. Nothing here fails: what cannot be learnt is left empty or false.
package facts

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Kernel is the release of the running kernel.
func Kernel() string {
	u := uname()
	return unix.ByteSliceToString(u.Release[:])
}

// Architecture is the machine as the kernel names it, "x86_64".
func Architecture() string {
	u := uname()
	return unix.ByteSliceToString(u.Machine[:])
}

func uname() (u unix.Utsname) {
	_ = unix.Uname(&u) // cannot fail with a valid pointer
	return u
}

// Memory is the size of the main memory in bytes.
func Memory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}

// OpenFiles is how many descriptors this process has open.
func OpenFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return max(0, len(entries)-1) // that of the folder itself
}

// OperatingSystem is the name that people know it by, OSVersion its version number: both of os-release(5).
func OperatingSystem() string {
	if name := osRelease("PRETTY_NAME"); name != "" {
		return name
	}
	return "Linux"
}

// OSVersion is empty for a system without releases.
func OSVersion() string { return osRelease("VERSION_ID") }

func osRelease(key string) string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
				if plain, err := strconv.Unquote(value); err == nil {
					return plain
				}
				return strings.Trim(value, "'")
			}
		}
		return ""
	}
	return ""
}

// fileSystems are Docker's names of those that can carry an overlay.
var fileSystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "extfs", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.F2FS_SUPER_MAGIC: "f2fs", 0x2fc12fc1: "zfs", 0x65735546: "fuse",
}

// FileSystem is the kind of file system that a path lies on.
func FileSystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "<unknown>"
	}
	if name := fileSystems[int64(st.Type)]; name != "" {
		return name
	}
	return fmt.Sprintf("%#x", st.Type)
}

// OverlayStatus is what a client shows below the storage driver's name: how overlay mounts below root behave.
func OverlayStatus(root string) [][2]string {
	option := func(name string) bool {
		data, err := os.ReadFile("/sys/module/overlay/parameters/" + name)
		return err == nil && strings.TrimSpace(string(data)) == "Y"
	}
	return [][2]string{
		{"Backing Filesystem", FileSystem(root)},
		{"Supports d_type", "true"}, // all of the above have it as they are made for years, and overlayfs refuses others
		{"Using metacopy", strconv.FormatBool(option("metacopy"))},
		{"Native Overlay Diff", strconv.FormatBool(!option("metacopy") && !option("redirect_dir"))},
		{"userxattr", "false"},
	}
}

// IPv4Forwarding tells whether the kernel forwards packets.
func IPv4Forwarding() bool {
	data, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	return strings.TrimSpace(string(data)) == "1"
}

// Proxy is the address of a proxy from the environment, upper case first, without the password of its user.
func Proxy(name string) string {
	for _, n := range []string{name, strings.ToLower(name)} {
		if v := os.Getenv(n); v != "" {
			return maskUser(v)
		}
	}
	return ""
}

func maskUser(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@')
	if !ok || at < 0 {
		return address
	}
	return scheme + "://xxxxx:xxxxx@" + rest[at+1:]
}
