package keeper

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killPatience bounds how long processes may take to vanish after SIGKILL: one in an uninterruptible wait may not.
const killPatience = 10 * time.Second

// clearCgroups kills every process in the cgroup tree of all containers, /<name> in every hierarchy, and removes the
// tree. After a keeper has died its containers are lost: their stdio and their parent are gone.
func clearCgroups(name string, log *slog.Logger) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return fmt.Errorf("find cgroups: %w", err)
	}
	var trees []string
	for _, m := range mounts {
		tree := filepath.Join(m, name)
		if info, err := os.Stat(tree); err == nil && info.IsDir() {
			trees = append(trees, tree)
		}
	}
	var errs []error
	for _, tree := range trees {
		errs = append(errs, killTree(tree, log))
	}
	for _, tree := range trees {
		errs = append(errs, removeTree(tree))
	}
	return errors.Join(errs...)
}

// cgroupMounts are the mount points of all hierarchies, v1 and v2, but for the one that mountAll has covered: what crun
// writes there are ordinary files, with pids that others may have by now.
func cgroupMounts() ([]string, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") && isCgroup(fields[1]) {
			found = append(found, fields[1])
		}
	}
	return found, nil
}

func isCgroup(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && (fs.Type == unix.CGROUP_SUPER_MAGIC || fs.Type == unix.CGROUP2_SUPER_MAGIC)
}

// killTree kills until none is left: a process that forks quickly may need several rounds.
func killTree(tree string, log *slog.Logger) error {
	deadline := time.Now().Add(killPatience)
	for {
		pids, err := treePids(tree)
		if err != nil || len(pids) == 0 {
			return err
		}
		log.Info("killing", "cgroup", tree, "processes", len(pids))
		fds := make([]int, 0, len(pids))
		for _, pid := range pids {
			if fd, err := unix.PidfdOpen(pid, 0); err == nil {
				fds = append(fds, fd)
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it may just have ended
			}
		}
		// A frozen process dies only when it is thawed; the v1 freezer, and v2's, when there is one.
		thaw(tree)
		if !awaitDeaths(fds, deadline) {
			return fmt.Errorf("%d processes in %s do not die", len(pids), tree)
		}
	}
}

func treePids(tree string) (pids []int, err error) {
	err = filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids, err
}

func thaw(tree string) {
	_ = filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "freezer.state" {
			_ = os.WriteFile(path, []byte("THAWED"), 0)
		}
		if err == nil && d.Name() == "cgroup.freeze" {
			_ = os.WriteFile(path, []byte("0"), 0)
		}
		return nil
	})
}

// awaitDeaths waits until all processes have ended and closes the pidfds. A zombie has ended, but stays listed in
// v1's cgroup.procs not at all, and in v2's neither.
func awaitDeaths(fds []int, deadline time.Time) bool {
	all := true
	for _, fd := range fds {
		for {
			left := time.Until(deadline).Milliseconds()
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(left, 0)))
			if err == unix.EINTR {
				continue
			}
			all = all && err == nil && n > 0
			break
		}
		_ = unix.Close(fd)
	}
	return all && time.Now().Before(deadline)
}

// removeTree removes the folders from the leaves up. A cgroup whose last process just ended can be busy for a moment.
func removeTree(tree string) error {
	var dirs []string
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	slices.Reverse(dirs)
	deadline := time.Now().Add(killPatience)
	for _, dir := range dirs {
		err := unix.Rmdir(dir)
		for err == unix.EBUSY && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
			err = unix.Rmdir(dir)
		}
		if err != nil && err != unix.ENOENT {
			return fmt.Errorf("remove cgroup: %w", &os.PathError{Op: "rmdir", Path: dir, Err: err})
		}
	}
	return err
}
