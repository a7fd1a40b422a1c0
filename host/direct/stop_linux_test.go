package direct

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"naru/platform/ipc"
	"naru/platform/paths"
)

// TestKeeperPid finds the keeper by its socket, and by its lock while nobody listens. Here this process plays it.
func TestKeeperPid(t *testing.T) {
	dir, err := os.MkdirTemp("", "naru") // a short path, for the socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	home := paths.Home(dir)
	check := func(when string, want int) {
		t.Helper()
		s, err := GetStatus(t.Context(), home)
		if err != nil || s.Pid != want || s.Running != (want != 0) {
			t.Errorf("%s: %+v, %v", when, s, err)
		}
	}
	check("without anything", 0)
	if err := os.MkdirAll(home.Engine(), 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := ipc.TryLock(home.KeeperLock())
	if err != nil {
		t.Fatal(err)
	}
	check("with the lock", os.Getpid())
	ln, err := ipc.Listen(home.DirectSocket())
	if err != nil {
		t.Fatal(err)
	}
	check("with the socket", os.Getpid())
	if err := Ensure(t.Context(), home); err != nil {
		t.Errorf("Ensure of one that runs: %v", err)
	}
	ln.Close()
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	check("at the end", 0)
	if stopped, err := Stop(t.Context(), home); stopped || err != nil {
		t.Errorf("Stop of none: %v, %v", stopped, err)
	}
}

// TestEnsureTellsWhy: a keeper that cannot be started is told at once, not after the time is over.
func TestEnsureTellsWhy(t *testing.T) {
	home := paths.Home(filepath.Join(t.TempDir(), "n"))
	err := Ensure(t.Context(), home)
	if os.Geteuid() != 0 {
		if !errors.Is(err, ErrNotRoot) {
			t.Errorf("Ensure as a user: %v", err)
		}
		return
	}
	var refused *net.OpError
	if err == nil || errors.As(err, &refused) {
		t.Errorf("Ensure without a keeper beside the test: %v", err)
	}
}
