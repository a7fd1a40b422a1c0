package layer

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// targetDir is where the child finds the layer's folder.
const targetDir = "/layer"

// The child's bounds.
const (
	maxFiles   = 2304     // a tree that is removed holds a descriptor for each level, as deep as a name can be
	maxData    = 1 << 30  // bytes of memory: a decompressor's window is at most 128 MiB
	softMemory = 64 << 20 // where Go begins to collect more often
)

// confine leaves this process nothing but the layer's folder. What it has open besides are the blob, to be read, and the
// pipe for its answer.
func confine(o childOptions) error {
	debug.SetMemoryLimit(softMemory)
	if err := enter(o.Dir); err != nil {
		return err
	}
	for resource, n := range map[int]uint64{
		unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: maxFiles, unix.RLIMIT_DATA: maxData, unix.RLIMIT_MEMLOCK: 0, unix.RLIMIT_MSGQUEUE: 0,
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("set limit %d: %w", resource, err)
		}
	}
	unix.Umask(0)
	if err := dropCapabilities(); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := filterCalls(); err != nil {
		return fmt.Errorf("filter system calls: %w", err)
	}
	return nil
}

// enter makes a root of a tmpfs with the folder and a /proc in it. The tmpfs is mounted over the folder itself, which is
// open by then: so no other place for it is needed.
func enter(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	const none = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("tmpfs", dir, "tmpfs", none, "mode=755,nr_inodes=16,size=64k"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	for _, name := range []string{"layer", "proc"} {
		if err := unix.Mkdir(name, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(fd), "layer", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", dir, err)
	}
	if err := unix.Mount("", "layer", "", unix.MS_BIND|unix.MS_REMOUNT|none, ""); err != nil {
		return fmt.Errorf("remount %s: %w", dir, err)
	}
	// With subset=pid (Linux 5.8) nothing but this process is in it; without, seccomp still allows nothing with the rest.
	err = unix.Mount("proc", "proc", "proc", none, "subset=pid")
	if err == unix.EINVAL {
		err = unix.Mount("proc", "proc", "proc", none, "")
	}
	if err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|none, ""); err != nil {
		return fmt.Errorf("remount root: %w", err)
	}
	return os.Chdir("/")
}

// kept are the capabilities that unpacking takes: owners, modes, devices and files' capabilities.
const kept = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID | 1<<unix.CAP_MKNOD |
	1<<unix.CAP_SETFCAP | 1<<unix.CAP_DAC_READ_SEARCH

// dropCapabilities drops the others, of all threads. In a program with C parts, which ours are only under test, Go cannot
// reach them all: there it is this one, on which the goroutine stays.
func dropCapabilities() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{
		{Effective: kept & 0xffffffff, Permitted: kept & 0xffffffff},
		{Effective: kept >> 32, Permitted: kept >> 32},
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno == unix.ENOTSUP {
		runtime.LockOSThread()
		return unix.Capset(&hdr, &data[0])
	}
	if errno != 0 {
		return errno
	}
	return nil
}
