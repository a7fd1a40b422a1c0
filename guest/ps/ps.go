// Package ps shows processes as ps(1) of procps does, from /proc. Docker runs the host's ps for `docker top`; here it
// is built in, so that the answer is the same on a host and in the VM, which has no ps.
package ps

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Table is what ps prints, in fields.
type Table struct {
	Titles []string
	Rows   [][]string
}

// System is what rows are computed from beside the processes.
type System struct {
	Proc   string               // where procfs is mounted
	Now    time.Time            // in the time zone to show
	Uptime time.Duration        // since boot
	Memory uint64               // of the host, in bytes
	User   func(uid int) string // "" shows the number
	Group  func(gid int) string // the same
}

// Host is this machine, without names of users.
func Host() (System, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return System{}, fmt.Errorf("sysinfo: %w", err)
	}
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return System{}, fmt.Errorf("time since boot: %w", err)
	}
	nobody := func(int) string { return "" }
	return System{
		Proc: "/proc", Now: time.Now(), Uptime: time.Duration(boot.Nano()), Memory: uint64(info.Totalram) * uint64(info.Unit),
		User: nobody, Group: nobody,
	}, nil
}

// Show returns the table of the given processes that f asks for; processes that have ended are left out.
func (s *System) Show(f *Format, pids []int) (*Table, error) {
	t := &Table{Rows: [][]string{}}
	for _, c := range f.columns {
		if c.title != "" {
			t.Titles = append(t.Titles, c.title)
		}
	}
	var list []*process
	for _, pid := range pids {
		p, err := s.read(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read process %d: %w", pid, err)
		}
		list = append(list, p)
	}
	f.sort(s, list)
	for _, p := range list {
		row := make([]string, 0, len(f.columns))
		for _, c := range f.columns {
			row = append(row, c.show(s, p))
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// sort orders by the keys of --sort, else by pid.
func (f *Format) sort(s *System, list []*process) {
	slices.SortStableFunc(list, func(a, b *process) int {
		for _, k := range f.keys {
			if n := compare(k.show(s, a), k.show(s, b)); n != 0 {
				return n * k.sign
			}
		}
		return a.pid - b.pid
	})
}

// compare compares as numbers what are numbers.
func compare(a, b string) int {
	x, err := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	if err != nil || err2 != nil {
		return strings.Compare(a, b)
	}
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
