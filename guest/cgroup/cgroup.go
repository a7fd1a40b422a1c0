// Package cgroup reads what the kernel counts of a container's cgroup, on either version of them, in the form of
// Docker's API. It changes nothing and starts nothing.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"
)

// Tree is where the hierarchies are mounted.
type Tree struct {
	Root string
	V2   bool // one hierarchy at Root; else one for each controller below it
}

// Host is the tree of this host.
var Host = sync.OnceValue(func() Tree {
	const root = "/sys/fs/cgroup"
	var fs unix.Statfs_t
	return Tree{root, unix.Statfs(root, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC}
})

// dir is the folder of a group for a controller.
func (t Tree) dir(group, controller string) string {
	if t.V2 {
		return filepath.Join(t.Root, group)
	}
	return filepath.Join(t.Root, controller, group)
}

// Pids returns the processes of a group and of all below it, in ascending order. A group that is not there has none.
func (t Tree) Pids(group string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(t.dir(group, "pids"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // they come and go
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		lines, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) { // the last: a threaded group
			return nil
		}
		for _, line := range strings.Fields(string(lines)) {
			if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list processes of cgroup %s: %w", group, err)
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// Stats fills in what the kernel has counted of a group: processor, memory, processes and block devices. memory is the
// host's, in bytes: the limit of a group without one. fs.ErrNotExist when there is no such group.
func (t Tree) Stats(group string, memory uint64, s *container.StatsResponse) error {
	if _, err := os.Stat(t.dir(group, "memory")); err != nil {
		return fmt.Errorf("statistics of cgroup %s: %w", group, err)
	}
	if t.V2 {
		t.stats2(group, s)
	} else {
		t.stats1(group, s)
	}
	if s.MemoryStats.Limit > memory && memory > 0 {
		s.MemoryStats.Limit = memory
	}
	return nil
}

// number reads a file with one number; "max" is the largest. What cannot be read is 0: not every kernel counts everything.
func number(path ...string) uint64 {
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		return 0
	}
	value := strings.TrimSpace(string(text))
	if value == "max" {
		return math.MaxUint64
	}
	n, _ := strconv.ParseUint(value, 10, 64)
	return n
}

// numbers reads a file of lines "name number".
func numbers(path ...string) map[string]uint64 {
	out := map[string]uint64{}
	file, err := os.Open(filepath.Join(path...))
	if err != nil {
		return out
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64); err == nil {
			out[name] = n
		}
	}
	return out
}

// pick returns the named values; those that are missing are 0, as in Docker.
func pick(from map[string]uint64, names ...string) map[string]uint64 {
	out := make(map[string]uint64, len(names))
	for _, n := range names {
		out[n] = from[n]
	}
	return out
}
