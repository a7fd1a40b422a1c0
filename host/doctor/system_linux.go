package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// oldestKernel is the first with id-mapped mounts of overlay's layers, openat2 and the mount API that the engine uses.
var oldestKernel = [2]int{5, 19}

// system looks at what the direct engine needs of this Linux.
func (r *Report) system(o Options) {
	r.kernel()
	if os.Geteuid() == 0 {
		r.add("linux", "user", OK, "", "you are root, who runs the direct engine")
	} else if err := unix.Access(o.Home.DirectSocket(), unix.W_OK); err != nil {
		r.add("linux", "user", r.lacking("direct"), "sudo naru engine start", "you are not root, and no engine of root's can be reached on %s", o.Home.DirectSocket())
	}
	r.cgroups()
	r.features()
	r.docker()
}

func (r *Report) kernel() {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return
	}
	release := unix.ByteSliceToString(name.Release[:])
	var have [2]int
	if n, _ := fmt.Sscanf(release, "%d.%d", &have[0], &have[1]); n == 2 && slices.Compare(have[:], oldestKernel[:]) < 0 {
		r.add("linux", "kernel", r.lacking("direct"), "upgrade the kernel, or use the VM: naru context use machine",
			"Linux %s is older than %d.%d", release, oldestKernel[0], oldestKernel[1])
		return
	}
	r.add("linux", "kernel", OK, "", "Linux %s", release)
}

// cgroups tells the version, and which limits cannot be set.
func (r *Report) cgroups() {
	const root = "/sys/fs/cgroup"
	if data, err := os.ReadFile(root + "/cgroup.controllers"); err == nil {
		have := strings.Fields(string(data))
		if missing := without([]string{"cpu", "cpuset", "io", "memory", "pids"}, have); len(missing) > 0 {
			r.add("linux", "cgroups", Note, "", "cgroups version 2, without %s: such limits cannot be set", strings.Join(missing, ", "))
			return
		}
		r.add("linux", "cgroups", OK, "", "cgroups version 2 with all controllers")
		return
	}
	var missing []string
	for _, controller := range []string{"blkio", "cpu", "cpuset", "devices", "freezer", "memory", "pids"} {
		if _, err := os.Stat(root + "/" + controller); err != nil {
			missing = append(missing, controller)
		}
	}
	switch {
	case len(missing) == 7:
		r.add("linux", "cgroups", r.lacking("direct"), "mount -t cgroup2 none "+root, "no cgroups are mounted on %s", root)
	case len(missing) > 0:
		r.add("linux", "cgroups", Note, "", "cgroups version 1, without %s: such limits cannot be set", strings.Join(missing, ", "))
	default:
		r.add("linux", "cgroups", OK, "", "cgroups version 1")
	}
}

func without(want, have []string) (missing []string) {
	for _, w := range want {
		if !slices.Contains(have, w) {
			missing = append(missing, w)
		}
	}
	return missing
}

// features looks for what a kernel may lack.
func (r *Report) features() {
	systems, _ := os.ReadFile("/proc/filesystems")
	if !bytes.Contains(systems, []byte("\toverlay\n")) && exec.Command("modprobe", "-q", "overlay").Run() != nil {
		r.add("linux", "overlay", r.lacking("direct"), "modprobe overlay", "the kernel has no overlay file system, which images are made of")
	}
	if n, err := number("/proc/sys/user/max_user_namespaces"); err != nil || n == 0 {
		r.add("linux", "user namespaces", Note, "sysctl user.max_user_namespaces=15000", "there are no user namespaces: --userns-remap will not work")
	}
	if _, err := os.Stat("/proc/self/ns/net"); err != nil {
		r.add("linux", "network namespaces", r.lacking("direct"), "", "the kernel has no network namespaces: only --network host works")
	}
	if actions, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail"); err != nil || !bytes.Contains(actions, []byte("errno")) {
		r.add("linux", "seccomp", r.lacking("direct"), "", "the kernel has no seccomp filters")
	}
	if fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER); err != nil {
		r.add("linux", "nftables", r.lacking("direct"), "modprobe nf_tables", "the kernel has no nftables, which publish ports and keep networks apart: %v", err)
	} else {
		_ = unix.Close(fd)
	}
	if on, err := number("/proc/sys/net/ipv4/ip_forward"); err == nil && on == 0 {
		r.add("linux", "forwarding", Note, "", "IP forwarding is off; the engine turns it on with the first network and says so in its log")
	}
	if n, err := number("/proc/sys/fs/inotify/max_user_instances"); err == nil && n < 256 {
		r.add("linux", "inotify", Note, "sysctl fs.inotify.max_user_instances=1024", "only %d inotify instances for all containers of a user: file watchers may fail", n)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Max < 65536 {
		r.add("linux", "open files", Note, "ulimit -Hn 1048576", "a process may open only %d files", limit.Max)
	}
}

func number(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// docker looks for another engine at the well-known place.
func (r *Report) docker() {
	const socket = "/var/run/docker.sock"
	target, err := os.Readlink(socket)
	if err == nil {
		r.add("linux", "docker.sock", Note, "", "%s is a link to %s: that engine answers tools which are told nothing", socket, target)
		return
	}
	if _, err := os.Stat(socket); errors.Is(err, fs.ErrNotExist) {
		r.add("linux", "docker.sock", Note, "export "+"DOCKER_HOST=$(naru context inspect -f '{{.Socket}}')",
			"nobody serves %s: Docker's tools find naru by DOCKER_HOST", socket)
	} else if err == nil {
		r.add("linux", "docker.sock", Note, "", "another engine serves %s; both can run side by side", socket)
	}
}

func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
