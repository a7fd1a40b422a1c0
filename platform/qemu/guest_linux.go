package qemu

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"
)

// dialKernel dials through the host kernel's AF_VSOCK. The library's Dial knows no context, so a guest that does not
// answer is left to the kernel's own 2 seconds.
func dialKernel(ctx context.Context, cid, port uint32) (net.Conn, error) {
	type result struct {
		conn *vsock.Conn
		err  error
	}
	ch := make(chan result, 1)
	go func() {
		conn, err := vsock.Dial(cid, port, nil)
		ch <- result{conn, err}
	}()
	select {
	case r := <-ch:
		if r.err != nil {
			return nil, r.err
		}
		return r.conn, nil
	case <-ctx.Done():
		go func() {
			if r := <-ch; r.err == nil {
				_ = r.conn.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// memoryOf is the resident set of a process and the part of it that is shared memory or file, in bytes.
func memoryOf(pid int) (resident, shared uint64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0, err
	}
	var size uint64
	if _, err := fmt.Sscan(string(data), &size, &resident, &shared); err != nil {
		return 0, 0, fmt.Errorf("read statm: %w", err)
	}
	page := uint64(os.Getpagesize())
	return resident * page, shared * page, nil
}

// privateOf is what a process and its children have resident for themselves; nothing when they have just ended.
func privateOf(pid int) (total uint64) {
	for _, p := range family(pid) {
		if resident, shared, err := memoryOf(p); err == nil {
			total += resident - shared
		}
	}
	return total
}

// family is a process and its children: virtiofsd forks to enter its sandbox.
func family(pid int) []int {
	all := []int{pid}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, word := range bytes.Fields(children) {
		if kid, err := strconv.Atoi(string(word)); err == nil {
			all = append(all, family(kid)...)
		}
	}
	return all
}

// openFiles is how many files a process or its child has open, whichever has more, and how many it may. Linux 6.2 and
// newer give the number as the size of /proc/<pid>/fd; older ones give 0.
func openFiles(pid int) (files, limit int) {
	for _, p := range family(pid) {
		info, err := os.Stat(fmt.Sprintf("/proc/%d/fd", p))
		if err != nil || int(info.Size()) <= files {
			continue
		}
		var rlimit unix.Rlimit
		if err := unix.Prlimit(p, unix.RLIMIT_NOFILE, nil, &rlimit); err == nil {
			files, limit = int(info.Size()), int(min(rlimit.Cur, 1<<30))
		}
	}
	return files, limit
}
