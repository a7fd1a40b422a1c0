// Package userns makes user namespaces for containers whose root is not the host's, and mounts that show a folder with its
// ids shifted into such a namespace. It runs no program: a process that has only been cloned holds the namespaces.
package userns

import (
	"fmt"
	"os"
	goruntime "runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"naru/guest/runtime"
)

// New makes a user namespace with the given map, and in it, so that it owns it, a network namespace when net is true.
// The caller closes both; netns is nil without.
func New(ids *runtime.IDMap, net bool) (user, netns *os.File, err error) {
	flags := uintptr(unix.CLONE_NEWUSER)
	if net {
		flags |= unix.CLONE_NEWNET
	}
	// The tracer of the child is a thread.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	pidfd := -1
	child, err := os.StartProcess("/proc/self/exe", []string{"userns"}, &os.ProcAttr{
		Sys: &syscall.SysProcAttr{
			Cloneflags: flags, UidMappings: sysMap(ids.UIDs), GidMappings: sysMap(ids.GIDs), GidMappingsEnableSetgroups: true,
			// Traced, it stops before its first instruction: nothing of ours runs in there.
			Ptrace: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd,
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("make user namespace: %w", err)
	}
	defer func() {
		if pidfd >= 0 {
			_ = unix.Close(pidfd)
		}
		_ = child.Kill()
		_, _ = child.Wait()
	}()
	user, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", child.Pid))
	if err != nil {
		return nil, nil, fmt.Errorf("open user namespace: %w", err)
	}
	if net {
		if netns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", child.Pid)); err != nil {
			_ = user.Close()
			return nil, nil, fmt.Errorf("open network namespace: %w", err)
		}
	}
	return user, netns, nil
}

func sysMap(ranges []runtime.IDRange) (out []syscall.SysProcIDMap) {
	for _, r := range ranges {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(r.Container), HostID: int(r.Host), Size: int(r.Size)})
	}
	return out
}

// Owner opens the user namespace that owns the namespace at path, a network's say. nil is our own. The caller closes it.
func Owner(path string) (*os.File, error) {
	ns, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open namespace: %w", err)
	}
	defer ns.Close()
	fd, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return nil, fmt.Errorf("owner of namespace %s: %w", path, err)
	}
	unix.CloseOnExec(fd)
	owner := os.NewFile(uintptr(fd), "userns")
	same, err := isOurs(owner)
	if err != nil || same {
		_ = owner.Close()
		return nil, err
	}
	return owner, nil
}

func isOurs(ns *os.File) (bool, error) {
	theirs, err := ns.Stat()
	if err != nil {
		return false, err
	}
	ours, err := os.Stat("/proc/self/ns/user")
	if err != nil {
		return false, err
	}
	return os.SameFile(theirs, ours), nil
}

// View mounts the folder source at target with its ids shifted into the namespace user: what belongs to 0 on the disk is the
// namespace's root's there. Mounts below source are not in it. Needs Linux 5.12 and a file system that can do so.
func View(source, target string, user *os.File) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open_tree %s: %w", source, err)
	}
	defer unix.Close(tree)
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(user.Fd()), Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, attr); err != nil {
		return fmt.Errorf("shift the ids of %s (mount_setattr, Linux 5.12, not on every file system): %w", source, err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
	return nil
}

// AsRoot runs f on a thread of its own that makes files as the root of the map, with all capabilities. Our own root's ids have
// no place on a mount with shifted ids, and an overlay writes as whoever mounted it.
func AsRoot(ids *runtime.IDMap, f func() error) error {
	done := make(chan error, 1)
	go func() {
		goruntime.LockOSThread() // for good: the thread ends with the goroutine
		err := Become(ids)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// Become changes the calling thread, which the caller has locked for good: it makes files as the root of the map from now on.
// Without the secure bit the kernel takes the file capabilities away together with id 0.
func Become(ids *runtime.IDMap) error {
	uid, gid := ids.Root()
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, secbitNoSetuidFixup, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if _, err := unix.SetfsgidRetGid(int(gid)); err != nil {
		return fmt.Errorf("setfsgid %d: %w", gid, err)
	}
	if _, err := unix.SetfsuidRetUid(int(uid)); err != nil {
		return fmt.Errorf("setfsuid %d: %w", uid, err)
	}
	return nil
}

// secbitNoSetuidFixup is SECBIT_NO_SETUID_FIXUP of linux/securebits.h.
const secbitNoSetuidFixup = 1 << 2
