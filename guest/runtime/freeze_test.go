package runtime

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestFreeze freezes a process of our own, on whichever freezer this machine has.
func TestFreeze(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./guest/runtime")
	}
	var dir string
	cgroup := fmt.Sprintf("/nfreeze%d", os.Getpid())
	for _, m := range cgroupMounts() {
		at := filepath.Join(m.path, cgroup)
		if os.Mkdir(at, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { _ = removeCgroup(at, func() {}) })
		if exists(filepath.Join(at, "freezer.state")) || exists(filepath.Join(at, "cgroup.freeze")) {
			dir = at
			break
		}
	}
	if dir == "" {
		t.Skip("this machine has no freezer of cgroups that can be written")
	}
	process := exec.Command("sleep", "1000")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(process.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var c Crun
	for range 3 { // also what is frozen already
		if err := c.Freeze(ctx, cgroup); err != nil || !c.Frozen(cgroup) {
			t.Fatalf("freeze: %v, frozen %v", err, c.Frozen(cgroup))
		}
	}
	if err := process.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
		t.Fatal("a frozen process heard a signal")
	case <-time.After(20 * time.Millisecond):
	}
	if err := c.Thaw(cgroup); err != nil || c.Frozen(cgroup) {
		t.Fatalf("thaw: %v, frozen %v", err, c.Frozen(cgroup))
	}
	<-ended
	if err := c.Thaw("/nosuch"); err != nil || c.Frozen("/nosuch") {
		t.Errorf("no cgroup: %v", err)
	}
	if err := c.Freeze(ctx, "/nosuch"); err == nil {
		t.Error("froze what is not there")
	}
}
