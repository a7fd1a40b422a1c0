package runtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// OOMWatcher hears when a container has run out of memory, at that moment and not only at its end: what the kernel kills
// may be any of its processes.
//
// On v2 one inotify descriptor watches the file memory.events of all containers. On v1 each has an eventfd that is
// registered in cgroup.event_control: a descriptor and a goroutine that waits.
type OOMWatcher struct {
	heard   func(id string)
	inotify *os.File // nil on v1

	mu     sync.Mutex // guards all below
	ids    map[int32]string
	events map[string]*os.File
	all    sync.WaitGroup // goroutines
}

// NewOOMWatcher makes a watcher. heard is told the ID of a container that may have lost a process for memory; OOMKills tells.
// It is called by the watcher's goroutines, and must not block. The caller closes.
func NewOOMWatcher(heard func(id string)) (*OOMWatcher, error) {
	w := &OOMWatcher{heard: heard, ids: map[int32]string{}, events: map[string]*os.File{}}
	if !cgroup2() {
		return w, nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch for memory: %w", err)
	}
	w.inotify = os.NewFile(uintptr(fd), "inotify")
	w.all.Go(w.readInotify)
	return w, nil
}

// Close ends the watching and returns when nothing more is told.
func (w *OOMWatcher) Close() {
	w.mu.Lock()
	if w.inotify != nil {
		w.inotify.Close()
	}
	for id, f := range w.events {
		f.Close()
		delete(w.events, id)
	}
	w.mu.Unlock()
	w.all.Wait()
}

// Add watches a container that runs.
func (w *OOMWatcher) Add(id, cgroupPath string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	if w.inotify != nil {
		err = w.addV2(id, cgroupPath)
	} else {
		err = w.addV1(id, cgroupPath)
	}
	if err != nil {
		return fmt.Errorf("watch memory of container %s: %w", id, err)
	}
	return nil
}

// Remove ends the watching of a container. Idempotent.
func (w *OOMWatcher) Remove(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.events[id]; f != nil { // v1: the removal of the cgroup would be told as well
		f.Close()
		delete(w.events, id)
	} // v2: the watch goes with the file
}

func (w *OOMWatcher) addV2(id, cgroupPath string) error {
	file := filepath.Join("/sys/fs/cgroup", cgroupPath, "memory.events")
	conn, err := w.inotify.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := conn.Control(func(fd uintptr) {
		var wd int
		if wd, err = unix.InotifyAddWatch(int(fd), file, unix.IN_MODIFY); err == nil {
			w.ids[int32(wd)] = id
		}
	})
	return errors.Join(ctlErr, err)
}

func (w *OOMWatcher) readInotify() {
	buf := make([]byte, 4096)
	for {
		n, err := w.inotify.Read(buf)
		if err != nil {
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			wd, mask, name := int32(binary.NativeEndian.Uint32(b[0:])), binary.NativeEndian.Uint32(b[4:]), int(binary.NativeEndian.Uint32(b[12:]))
			b = b[unix.SizeofInotifyEvent+name:]
			w.mu.Lock()
			id := w.ids[wd]
			if mask&unix.IN_IGNORED != 0 {
				delete(w.ids, wd)
			}
			w.mu.Unlock()
			if id != "" && mask&unix.IN_MODIFY != 0 {
				w.heard(id)
			}
		}
	}
}

func (w *OOMWatcher) addV1(id, cgroupPath string) error {
	dir := filepath.Join(controllerMounts()["memory"], cgroupPath)
	control, err := os.Open(filepath.Join(dir, "memory.oom_control"))
	if err != nil {
		return err
	}
	defer control.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	event := os.NewFile(uintptr(fd), "oom of "+id)
	line := strconv.Itoa(fd) + " " + strconv.Itoa(int(control.Fd()))
	if err := os.WriteFile(filepath.Join(dir, "cgroup.event_control"), []byte(line), 0); err != nil {
		return errors.Join(err, event.Close())
	}
	w.events[id] = event
	w.all.Go(func() { w.readEvent(id, cgroupPath, event) })
	return nil
}

// killPatience is how long after v1's event the kernel may take to kill; with oom_kill_disable it does not.
const killPatience = time.Second

// readEvent waits for v1's events of one container. The event comes before the kill.
func (w *OOMWatcher) readEvent(id, cgroupPath string, event *os.File) {
	known := OOMKills(cgroupPath)
	var count [8]byte
	for {
		if _, err := event.Read(count[:]); err != nil {
			return
		}
		deadline := time.Now().Add(killPatience)
		for wait := time.Millisecond; OOMKills(cgroupPath) == known && time.Now().Before(deadline); wait *= 2 {
			time.Sleep(wait)
		}
		if n := OOMKills(cgroupPath); n > known {
			known = n
			w.heard(id)
		}
	}
}

// OOMKills is how many processes of a container the kernel has killed for memory since its cgroup was made.
func OOMKills(cgroupPath string) int {
	file := filepath.Join(controllerMounts()["memory"], cgroupPath, "memory.oom_control")
	if cgroup2() {
		file = filepath.Join("/sys/fs/cgroup", cgroupPath, "memory.events")
	}
	text, _ := os.ReadFile(file) // no cgroup, or no counter (before Linux 4.13): nothing is known
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(count))
			return n
		}
	}
	return 0
}
