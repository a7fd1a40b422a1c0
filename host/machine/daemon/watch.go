package daemon

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"naru/guest/api"
	"naru/host/watch"
	"naru/platform"
)

// watchShares tells the guest what changes in the shared folders that are watched there.
func (d *Daemon) watchShares(ctx context.Context) {
	d.mu.Lock()
	var paths []string
	for _, s := range d.shares {
		paths = append(paths, s.host.Path)
	}
	d.mu.Unlock()
	if len(paths) == 0 {
		return
	}
	vm := d.machine()
	d.hold(ctx, api.KindWatch, func(ctx context.Context, onReady func()) error {
		dialCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
		conn, err := d.dialEngine(dialCtx, api.KindWatch, "")
		cancel()
		if err != nil {
			return err
		}
		onReady()
		err = watch.Serve(ctx, conn, watch.Options{Shares: paths, Guests: servers(vm), Log: d.log})
		if errors.Is(err, errors.ErrUnsupported) {
			d.log.Warn("what changes on the host is not told to watchers in containers", "reason", err)
			<-ctx.Done()
		}
		return err
	})
}

// servers tells which processes act for the guest: those that serve its shares, and their children.
func servers(vm platform.VM) func(pid int) bool {
	u, err := vm.Usage()
	if err != nil || len(u.ShareServers) == 0 {
		return nil
	}
	known := map[int]bool{} // a server lives as long as the VM, so that its number stays its own
	return func(pid int) bool {
		if known[pid] {
			return true
		}
		for at, up := pid, 0; at > 1 && up < 3; at, up = parent(at), up+1 {
			if slices.Contains(u.ShareServers, at) {
				known[pid] = true
				return true
			}
		}
		return false
	}
}

// parent is the parent of a process, 0 when there is none or it cannot be known.
func parent(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ") // after the name, which may hold anything
	f := strings.Fields(rest)
	if !ok || len(f) < 2 {
		return 0
	}
	ppid, err := strconv.Atoi(f[1])
	if err != nil {
		return 0
	}
	return ppid
}
