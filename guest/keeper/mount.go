package keeper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// stageEnv marks a process that PrivateMounts has started over; its value is the namespace it is in, so that a
// variable inherited from somewhere else means nothing.
const stageEnv = "NARU_KEEPER_MOUNTS"

// PrivateMounts puts the whole process into a mount namespace of its own, a recursive slave of the former, so that
// what the keeper mounts stays unseen and new mounts of the host still arrive. A mount namespace belongs to a thread,
// and Go has many: hence it leaves the namespace on one thread and executes the program anew from there, which ends
// all others. Call it first in main; it returns in the second life only.
func PrivateMounts() error {
	const self = "/proc/thread-self/ns/mnt"
	if was := os.Getenv(stageEnv); was != "" {
		now, err := os.Readlink(self)
		if err == nil && was == now {
			return os.Unsetenv(stageEnv)
		}
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace (are you root?): %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	now, err := os.Readlink(self)
	if err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find myself: %w", err)
	}
	if err := unix.Exec(exe, os.Args, append(os.Environ(), stageEnv+"="+now)); err != nil {
		return fmt.Errorf("start over: %w", err)
	}
	return nil
}

// unified is where a hybrid host has its cgroup v2 tree, beside the v1 ones. crun looks there, finds controllers in
// it, and refuses to run; over a tmpfs crun takes the host for plain v1, which is what we use. Unmounting the tree is
// not enough: crun makes a folder for each container there all the same, which would stay on the host.
const unified = "/sys/fs/cgroup/unified"

// mountAll makes the mounts of a keeper: a fresh tmpfs at run, and no hybrid cgroup tree.
func mountAll(run string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(unified, &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		if err := unix.Mount("naru", unified, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
			return fmt.Errorf("hide %s: %w", unified, err)
		}
	}
	err := unix.Unmount(run, unix.MNT_DETACH) // of a keeper that was killed in this very namespace
	if err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", run, err)
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	// A container's root that is not the host's has to get through to its root file system and volumes.
	if err := unix.Mount("naru", run, "tmpfs", flags, "mode=0711"); err != nil {
		return fmt.Errorf("mount %s: %w", run, err)
	}
	// The network pool pins namespaces and the engine mounts root file systems below: neither may leak out of here.
	if err := unix.Mount("", run, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount %s: %w", run, err)
	}
	return nil
}

// shieldRuntime returns a path of crun on a read-only mount in run. Before it enters a container crun makes sure that
// nothing in there can write to its own program (CVE-2019-5736): anywhere else it executes itself anew from a mount that
// it makes for the purpose, each time, which is a seventh of what an exec costs. Where that cannot be mounted the path is
// crun's own, which works as well.
func shieldRuntime(run, crun string) (string, error) {
	target := filepath.Join(run, "bin", "crun")
	if err := os.Mkdir(filepath.Dir(target), 0o700); err != nil {
		return crun, fmt.Errorf("make a place for %s: %w", crun, err)
	}
	file, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return crun, fmt.Errorf("make a place for %s: %w", crun, err)
	}
	_ = file.Close()
	if err := unix.Mount(crun, target, "", unix.MS_BIND, ""); err != nil {
		return crun, fmt.Errorf("mount %s: %w", crun, err)
	}
	const flags = unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount("", target, "", flags, ""); err != nil {
		return crun, errors.Join(fmt.Errorf("mount %s read-only: %w", crun, err), unix.Unmount(target, unix.MNT_DETACH))
	}
	return target, nil
}
