package boot

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mount is one line of a table of mounts. The target is made when it is missing.
type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   []string // options to try in turn: what an older kernel lacks is left out
}

const strict = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// earlyMounts are made in the initramfs and moved along to the real root.
var earlyMounts = []mount{
	{"proc", "/proc", "proc", strict, nil},
	{"sysfs", "/sys", "sysfs", strict, nil},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, []string{"mode=0755"}},
}

// lateMounts are made on the real root.
var lateMounts = []mount{
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, []string{"gid=5,mode=620,ptmxmode=666"}},
	{"mqueue", "/dev/mqueue", "mqueue", strict, nil},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, []string{"mode=1777"}},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, []string{"mode=0755"}},
	{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, []string{"mode=1777"}},
	// nsdelegate: a container's cgroup namespace is a border. favordynmods (Linux 6.0): moving a process into a cgroup
	// takes no grace period of milliseconds, which every container start would pay.
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", strict, []string{"nsdelegate,favordynmods", "nsdelegate", ""}},
}

func mountAll(table []mount) error {
	for _, m := range table {
		if err := m.mount(); err != nil {
			return err
		}
	}
	return nil
}

func (m mount) mount() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	options := m.data
	if len(options) == 0 {
		options = []string{""}
	}
	var err error
	for _, data := range options {
		if err = unix.Mount(m.source, m.target, m.fstype, m.flags, data); !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
	}
	return nil
}
