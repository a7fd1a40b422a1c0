package keeper

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// status is what the host asks for. It does not ask the engine, which may be down.
func (k *keeper) status() (*api.Status, error) {
	s := &api.Status{EngineRunning: k.engine != nil && k.engine.running.Load()}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	s.Kernel = unix.ByteSliceToString(name.Release[:])
	var err error
	if s.MemoryTotal, s.MemoryUsed, err = memory(); err != nil {
		return nil, err
	}
	var data unix.Statfs_t
	if err := unix.Statfs(k.o.Root, &data); err != nil {
		return nil, fmt.Errorf("statfs %s: %w", k.o.Root, err)
	}
	s.DataTotal = data.Blocks * uint64(data.Bsize)
	s.DataUsed = (data.Blocks - data.Bfree) * uint64(data.Bsize)
	if s.Containers, err = countContainers(k.o.Name); err != nil {
		return nil, err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return nil, fmt.Errorf("boot time: %w", err)
	}
	s.Booted = time.Now().Add(-time.Duration(up.Nano())).UTC().Truncate(time.Second)
	return s, nil
}

// memory reads /proc/meminfo; see proc(5). Used is what is neither free nor easily reclaimed. Bytes.
func memory() (total, used uint64, err error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	var available uint64
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseUint(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			available = kib << 10
		}
	}
	return total, total - min(available, total), nil
}

// countContainers counts the cgroups of containers with a process in them: the keeper itself does not tell containers
// from execs, and execs are in their container's cgroup.
func countContainers(name string) (int, error) {
	mounts, err := cgroupMounts()
	if err != nil {
		return 0, fmt.Errorf("find cgroups: %w", err)
	}
	most := 0
	for _, m := range mounts {
		dirs, err := os.ReadDir(filepath.Join(m, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("count containers: %w", err)
		}
		n := 0
		for _, d := range dirs {
			if !d.IsDir() {
				continue
			}
			if pids, err := treePids(filepath.Join(m, name, d.Name())); err == nil && len(pids) > 0 {
				n++
			}
		}
		most = max(most, n)
	}
	return most, nil
}
