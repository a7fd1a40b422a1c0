package keeper

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// Notifier pushes notices to the host through the virtio-serial port api.NotifyPort. It can be used before the port's
// driver is loaded or /dev is mounted: notices wait until then. Safe for concurrent use.
type Notifier struct {
	mu      sync.Mutex // guards all below
	port    *os.File   // nil until found
	waiting []byte
}

// Notify sends n. It waits for the host no longer than a second: a host that does not read misses notices, and the
// guest goes on.
func (n *Notifier) Notify(notice api.Notice) {
	line, err := json.Marshal(notice)
	if err != nil {
		return // it has only strings
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting = append(append(n.waiting, line...), '\n')
	if n.port == nil {
		n.port = openPort(api.NotifyPort)
	}
	if n.port == nil {
		return
	}
	_ = n.port.SetWriteDeadline(time.Now().Add(time.Second)) // without a poller there is no deadline
	wrote, _ := n.port.Write(n.waiting)
	n.waiting = append(n.waiting[:0], n.waiting[wrote:]...)
}

// openPort finds a virtio-serial port by its name. There is no udev in the VM to make /dev/virtio-ports.
func openPort(name string) *os.File {
	paths := []string{"/dev/virtio-ports/" + name}
	found, _ := filepath.Glob("/sys/class/virtio-ports/*/name") // the pattern is right
	for _, f := range found {
		text, err := os.ReadFile(f)
		if err == nil && strings.TrimSpace(string(text)) == name {
			paths = append(paths, "/dev/"+filepath.Base(filepath.Dir(f)))
		}
	}
	for _, path := range paths {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err == nil {
			return os.NewFile(uintptr(fd), path)
		}
	}
	return nil
}
