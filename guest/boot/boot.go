// Package boot is PID 1's part of naru-keeper: it brings the guest from the kernel's first instruction in user space to the
// point where a direct engine could be started on any Linux.
//
//	initramfs (/init)                       real root (/sbin/init, an overlay of tmpfs over EROFS)
//	proc, sys, dev ─ modules ─ root disk ──▶ mounts ─ modules ─ config drive ─ data disk ─ network ─ shares ─▶ Boot returns
//
// Both stages are this package in the same program; which one is running is told by the file system of "/". A step
// that fails is pushed to the host with its error, and the guest powers off: a guest that is half there helps nobody.
package boot

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/api"
	"naru/guest/modules"
)

// Root is the folder on the data disk that holds everything that outlives a boot.
const Root = "/var/lib/naru"

// System is the guest after Boot.
type System struct {
	Config *api.Config
	Root   string // "/var/lib/naru", on the data disk

	modules chan error // how the loading of the late modules ended
}

// step is one line of the tables of stages: its name is what the user reads when it fails.
type step struct {
	name string
	run  func(*System) error
}

// initramfs is the first stage. It ends by becoming /sbin/init on the real root.
var initramfs = []step{
	{"kernel file systems", func(*System) error { return mountAll(earlyMounts) }},
	{"early modules", func(*System) error { return modules.Load("/lib/modules/early") }},
	{"root disk", func(*System) error { return mountRoot() }},
	{"switch to the root disk", func(*System) error { return switchRoot() }},
}

// realRoot is the second stage.
var realRoot = []step{
	{"file systems", func(*System) error { return mountAll(lateMounts) }},
	{"limits", func(*System) error { return raiseLimits() }},
	{"modules", startModules}, // meanwhile:
	{"config drive", readConfig},
	{"the host's proxy and certificates", func(s *System) error { return trustHost(s.Config, certificates) }},
	{"clock", func(s *System) error { return setClock(s.Config.Time) }},
	{"data disk", mountData},
	{"control groups", func(*System) error { return delegateControllers() }},
	{"modules", waitModules},
	{"kernel settings", func(*System) error { return writeSettings() }},
	{"network", func(s *System) error { return configureNetwork(s.Config) }},
	{"shares", func(s *System) error { return mountShares(s.Config.Shares) }},
}

// Boot does everything between the kernel and the keeper's own work. Call it first thing in main when the process is
// PID 1. In the initramfs it does not return: it executes /sbin/init on the real root, which calls it again.
//
// notify gets a Notice for each step and must not block for long; it is nil-safe. When a step fails, notify gets
// NoticeFailed with the step's name and the error, the same goes to the console, and the guest powers off. An error
// is returned only when this process is not PID 1.
func Boot(notify func(api.Notice)) (*System, error) {
	if os.Getpid() != 1 {
		return nil, errors.New("boot: this is for PID 1 of naru's VM")
	}
	if notify == nil {
		notify = func(api.Notice) {}
	}
	steps := realRoot
	if inInitramfs() {
		steps = initramfs
	}
	s := &System{Root: Root}
	for _, st := range steps {
		notify(api.Notice{Kind: api.NoticeStep, Step: st.name})
		if err := st.run(s); err != nil {
			fmt.Fprintf(os.Stderr, "naru-keeper: boot: %s: %v\n", st.name, err)
			notify(api.Notice{Kind: api.NoticeFailed, Step: st.name, Detail: err.Error()})
			s.Poweroff()
		}
	}
	return s, nil
}

// inInitramfs tells the stage: the kernel unpacks an initramfs into ramfs or tmpfs, the real root is an overlay.
func inInitramfs() bool {
	var fs unix.Statfs_t
	if err := unix.Statfs("/", &fs); err != nil {
		return false
	}
	return fs.Type == unix.RAMFS_MAGIC || fs.Type == unix.TMPFS_MAGIC
}

// setClock sets the guest's clock forward when it is behind by more than a second: the document is as old as the boot, and
// the host sets the clock exactly once the guest is ready. A zero time leaves it alone.
func setClock(now time.Time) error {
	if now.IsZero() || time.Until(now) <= time.Second {
		return nil
	}
	tv := unix.NsecToTimeval(now.UnixNano())
	return unix.Settimeofday(&tv)
}

// raiseLimits gives this process, and with it the engine and every container that asks for it, the most open files
// that the kernel allows.
func raiseLimits() error {
	const files = 1 << 20
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files})
}
