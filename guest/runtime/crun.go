package runtime

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Crun names crun's command lines. Root is its state folder: on a tmpfs that lives as long as the keeper, since crun
// also keeps its compiled seccomp filters there, without which each start costs 25 ms more.
type Crun struct {
	Path string
	Root string
}

func (c Crun) args(verb, pidFile, consoleSocket string, rest ...string) []string {
	args := []string{c.Path, "--root", c.Root, "--cgroup-manager", "cgroupfs", verb, "--detach", "--pid-file", pidFile}
	if consoleSocket != "" {
		args = append(args, "--console-socket", consoleSocket)
	}
	return append(args, rest...)
}

// RunArgs starts the container id from a bundle folder. consoleSocket is empty without a terminal.
func (c Crun) RunArgs(id, bundle, pidFile, consoleSocket string) []string {
	return c.args("run", pidFile, consoleSocket, "--bundle", bundle, id)
}

// ExecArgs starts the process described by the JSON file processFile in the container id.
func (c Crun) ExecArgs(id, processFile, pidFile, consoleSocket string) []string {
	return c.args("exec", pidFile, consoleSocket, "--process", processFile, id)
}

// cleanupTime bounds how long Cleanup waits for the last processes of a cgroup to be gone.
const cleanupTime = 10 * time.Second

// Cleanup removes what crun left of a container whose init has ended: its state folder and its cgroups, without
// running crun. Idempotent. Processes that outlived the init (shared pid namespace) are killed.
func (c Crun) Cleanup(id, cgroupPath string) error {
	return errors.Join(RemoveCgroups(cgroupPath), os.RemoveAll(filepath.Join(c.Root, id)))
}

// RemoveCgroups removes a cgroup with all below it from every hierarchy, and kills the processes in it, however fast they
// make others. Idempotent.
func RemoveCgroups(cgroupPath string) error {
	mounts := cgroupMounts()
	noForks := sync.OnceFunc(func() {
		for _, m := range mounts {
			_ = os.WriteFile(filepath.Join(m.path, cgroupPath, "pids.max"), []byte("0"), 0) // in one hierarchy of v1
		}
	})
	var errs []error
	for _, m := range mounts {
		errs = append(errs, removeCgroup(filepath.Join(m.path, cgroupPath), noForks))
	}
	return errors.Join(append(errs, RemoveHidden(cgroupPath))...)
}

// removeCgroup removes dir with all below it. A cgroup stays busy until its last process is reaped, so this tries
// again until cleanupTime is over. It calls busy before it kills.
func removeCgroup(dir string, busy func()) error {
	deadline := time.Now().Add(cleanupTime)
	for wait := time.Millisecond; ; wait = min(wait*2, 50*time.Millisecond) {
		err := removeTree(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup: %w", err)
		}
		busy()
		killCgroup(dir)
		time.Sleep(wait)
	}
}

func removeTree(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	entries, readErr := os.ReadDir(dir)
	if readErr != nil {
		return readErr
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// killCgroup kills every process of dir: by cgroup.kill (Linux 5.14, v2), else one by one.
func killCgroup(dir string) {
	if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "freezer.state" { // v1 kills the frozen only when they are thawed
			_ = os.WriteFile(path, []byte("THAWED"), 0)
		}
		if err != nil || d.Name() != "cgroup.procs" {
			return nil
		}
		procs, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer procs.Close()
		for lines := bufio.NewScanner(procs); lines.Scan(); {
			var pid int
			if _, err := fmt.Sscan(lines.Text(), &pid); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
}

// hidden is the keeper's tmpfs over the v2 tree of a hybrid host. crun makes a folder for each container there, with
// an ordinary file cgroup.procs. Empty on other hosts.
var hidden = sync.OnceValue(func() string {
	const unified = "/sys/fs/cgroup/unified"
	var fs unix.Statfs_t
	if err := unix.Statfs(unified, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		return ""
	}
	return unified
})

// RemoveHidden removes the folder that crun has made for a cgroup below hidden, and that it leaves there.
func RemoveHidden(cgroupPath string) error {
	if hidden() == "" || cgroupPath == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(hidden(), cgroupPath))
}

// cgroupMount is a mounted hierarchy: the one of v2, or one of the controllers of v1.
type cgroupMount struct{ path, options string }

// cgroupMounts are those that are mounted here. What the keeper has covered is none.
var cgroupMounts = sync.OnceValue(func() []cgroupMount {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var found []cgroupMount
	for _, line := range strings.Split(string(mounts), "\n") {
		before, after, ok := strings.Cut(line, " - ")
		f, super := strings.Fields(before), strings.Fields(after)
		if ok && len(f) >= 5 && len(super) >= 3 && strings.HasPrefix(super[0], "cgroup") && f[4] != hidden() {
			found = append(found, cgroupMount{f[4], super[2]})
		}
	}
	return found
})
