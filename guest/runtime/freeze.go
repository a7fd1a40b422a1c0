package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// freezer is the cgroup of a container where its processes are frozen: its own on v2, that of the freezer's hierarchy on v1.
type freezer struct {
	dir string
	v2  bool
}

func (c Crun) freezer(cgroupPath string) (freezer, error) {
	for _, m := range cgroupMounts() {
		dir := filepath.Join(m.path, cgroupPath)
		if _, err := os.Stat(filepath.Join(dir, "freezer.state")); err == nil {
			return freezer{dir, false}, nil
		}
		if _, err := os.Stat(filepath.Join(dir, "cgroup.freeze")); err == nil {
			return freezer{dir, true}, nil
		}
	}
	return freezer{}, fmt.Errorf("cgroup %s has no freezer: %w", cgroupPath, fs.ErrNotExist)
}

// Freeze stops every process of a container where it is and returns when all have stopped. It thaws them again when that
// takes longer than ctx allows.
//
// It writes to the cgroup itself: `crun pause` does the same two writes and costs a process, and on v1 it does not wait.
func (c Crun) Freeze(ctx context.Context, cgroupPath string) error {
	f, err := c.freezer(cgroupPath)
	if err != nil {
		return err
	}
	if err := f.freeze(ctx); err != nil {
		return errors.Join(fmt.Errorf("freeze: %w", err), f.thaw())
	}
	return nil
}

// Thaw lets the processes of a container go on. One that is not frozen, or has no cgroup any more, is no error.
func (c Crun) Thaw(cgroupPath string) error {
	f, err := c.freezer(cgroupPath)
	if err == nil {
		err = f.thaw()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("thaw: %w", err)
	}
	return nil
}

// Frozen tells whether the processes of a container are frozen, or are about to be.
func (c Crun) Frozen(cgroupPath string) bool {
	f, err := c.freezer(cgroupPath)
	if err != nil {
		return false
	}
	if f.v2 {
		return f.read("cgroup.freeze") == "1"
	}
	return f.read("freezer.state") != "THAWED"
}

// freeze asks again and again: a v1 freezer can stay in FREEZING for as long as a process of it forks or waits in the
// kernel, and asking anew makes it look again. v2 sends an event when it is done.
func (f freezer) freeze(ctx context.Context) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		file, value := "freezer.state", "FROZEN"
		if f.v2 {
			file, value = "cgroup.freeze", "1"
		}
		if err := f.write(file, value); err != nil {
			return err
		}
		if f.frozen() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("processes of the container do not stop: %w", ctx.Err())
		case <-time.After(wait):
		}
	}
}

func (f freezer) frozen() bool {
	if !f.v2 {
		return f.read("freezer.state") == "FROZEN"
	}
	events, err := os.Open(filepath.Join(f.dir, "cgroup.events"))
	if err != nil {
		return false
	}
	defer events.Close()
	said := func() bool {
		var buf [256]byte
		n, _ := unix.Pread(int(events.Fd()), buf[:], 0)
		return strings.Contains(string(buf[:max(n, 0)]), "frozen 1")
	}
	if said() {
		return true
	}
	// kernfs tells of a change by POLLPRI to whoever has read the file before.
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}}, 100)
	return said()
}

func (f freezer) thaw() error {
	if f.v2 {
		return f.write("cgroup.freeze", "0")
	}
	return f.write("freezer.state", "THAWED")
}

func (f freezer) write(name, value string) error {
	err := os.WriteFile(filepath.Join(f.dir, name), []byte(value), 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("the container has ended: %w", fs.ErrNotExist)
	}
	return err
}

func (f freezer) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(f.dir, name)) // gone with its container: neither frozen nor anything else
	return strings.TrimSpace(string(text))
}
