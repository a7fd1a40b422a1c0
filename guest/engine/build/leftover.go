package build

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// killLeftovers ends the steps of an engine that was killed: their runtime died with it, they did not. Their cgroups go
// once they are empty.
func (b *Builder) killLeftovers() {
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		dirs, _ := filepath.Glob(filepath.Join(pattern, b.Cgroup, "buildkit", "*"))
		for _, dir := range dirs {
			for _, pid := range processes(dir) {
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
			}
			_ = os.Remove(dir) // fails for what is no folder, and while a process is still dying
		}
		parents, _ := filepath.Glob(filepath.Join(pattern, b.Cgroup, "buildkit"))
		for _, dir := range parents {
			_ = os.Remove(dir)
		}
	}
}

func processes(cgroup string) (pids []int) {
	data, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	if err != nil {
		return nil
	}
	for _, word := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(word); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
