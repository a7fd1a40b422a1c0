package userns

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"naru/guest/runtime"
)

var shifted = &runtime.IDMap{
	UIDs: []runtime.IDRange{{Container: 0, Host: 100000, Size: 65536}}, GIDs: []runtime.IDRange{{Container: 0, Host: 200000, Size: 65536}},
}

func needRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./guest/engine/userns")
	}
}

func TestOwner(t *testing.T) {
	needRoot(t)
	user, net, err := New(shifted, true)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	defer net.Close()
	owner, err := Owner(fmt.Sprintf("/proc/self/fd/%d", net.Fd()))
	if err != nil || owner == nil {
		t.Fatal(err)
	}
	defer owner.Close()
	a, _ := owner.Stat()
	b, _ := user.Stat()
	if !os.SameFile(a, b) {
		t.Error("the network namespace has another owner")
	}
	if ours, err := Owner("/proc/self/ns/net"); ours != nil || err != nil {
		t.Errorf("our own: %v %v", ours, err)
	}
}

// What lies on the disk as 0 is the namespace's root's in the view, and what its root makes lies there as 0.
func TestView(t *testing.T) {
	needRoot(t)
	source, target := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	user, _, err := New(shifted, false)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	if err := View(source, target, user); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(target, unix.MNT_DETACH)
	if uid, gid := ids(t, filepath.Join(target, "f")); uid != 100000 || gid != 200000 {
		t.Errorf("in the view: %d:%d", uid, gid)
	}
	if err := os.Chown(filepath.Join(target, "f"), 100033, 200033); err != nil {
		t.Fatal(err)
	}
	if uid, gid := ids(t, filepath.Join(source, "f")); uid != 33 || gid != 33 {
		t.Errorf("on the disk: %d:%d", uid, gid)
	}
}

func ids(t *testing.T, path string) (uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return st.Uid, st.Gid
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		user, net, err := New(shifted, true)
		if err != nil {
			b.Fatal(err)
		}
		user.Close()
		net.Close()
	}
}
