package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// inotify watches by inotify(7), which any user may.
type inotify struct {
	file *os.File
	fd   int // of file, which Fd would make blocking

	mu     sync.Mutex // guards what follows
	wds    map[uint64]int32
	byWD   map[int32][]uint64
	cookie uint32 // of a first half of a move that waits for its other one
	half   *api.FileEvent
}

const inotifyMask = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVE |
	unix.IN_DELETE_SELF | unix.IN_ONLYDIR

func newInotify() (source, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	return &inotify{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, wds: map[uint64]int32{}, byWD: map[int32][]uint64{}}, nil
}

func (n *inotify) add(id uint64, dir *os.File) error {
	defer dir.Close()
	wd, err := unix.InotifyAddWatch(n.fd, "/proc/self/fd/"+strconv.Itoa(int(dir.Fd())), inotifyMask)
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wds[id] = int32(wd)
	n.byWD[int32(wd)] = append(n.byWD[int32(wd)], id)
	return nil
}

func (n *inotify) remove(id uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	wd, ok := n.wds[id]
	if !ok {
		return
	}
	delete(n.wds, id)
	rest := n.byWD[wd][:0]
	for _, other := range n.byWD[wd] {
		if other != id {
			rest = append(rest, other)
		}
	}
	n.byWD[wd] = rest
	if len(rest) == 0 {
		delete(n.byWD, wd)
		_, _ = unix.InotifyRmWatch(n.fd, uint32(wd))
	}
}

func (n *inotify) close() error { return n.file.Close() }

func (n *inotify) run(out func(api.FileEvent)) error {
	buf := make([]byte, 64<<10)
	for {
		size, err := n.file.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		n.parse(buf[:size], out)
	}
}

// parse reads records of struct inotify_event. The kernel queues both halves of a move at once, so that a first half
// that is the last of a read has no other.
func (n *inotify) parse(data []byte, out func(api.FileEvent)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(data) >= unix.SizeofInotifyEvent {
		wd, mask := int32(binary.NativeEndian.Uint32(data)), binary.NativeEndian.Uint32(data[4:])
		cookie, size := binary.NativeEndian.Uint32(data[8:]), int(binary.NativeEndian.Uint32(data[12:]))
		if unix.SizeofInotifyEvent+size > len(data) {
			return
		}
		name, _, _ := bytes.Cut(data[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], []byte{0})
		data = data[unix.SizeofInotifyEvent+size:]
		n.event(wd, mask, cookie, bytes.Clone(name), out)
	}
	n.flush(out)
}

func (n *inotify) event(wd int32, mask, cookie uint32, name []byte, out func(api.FileEvent)) {
	if mask&unix.IN_MOVED_TO == 0 || n.half == nil || n.cookie != cookie {
		n.flush(out)
	}
	kind := api.FileKind(mask) & api.FileKinds
	for i, id := range n.byWD[wd] {
		ev := api.FileEvent{Kind: kind, Folder: id, Name: name}
		switch {
		case mask&(unix.IN_IGNORED|unix.IN_Q_OVERFLOW) != 0, kind == 0:
			continue
		case len(name) == 0 && mask&unix.IN_DELETE_SELF == 0: // the folder's own attributes
			continue
		case mask&unix.IN_MOVED_TO != 0:
			ev.Folder, ev.Name, ev.To, ev.ToName = 0, nil, id, name
			if n.half != nil && i == 0 {
				ev.Kind, ev.Folder, ev.Name = ev.Kind|api.FileMovedFrom, n.half.Folder, n.half.Name
				n.half = nil
			}
		case mask&unix.IN_MOVED_FROM != 0 && i == 0:
			n.half, n.cookie = &ev, cookie
			continue
		}
		out(ev)
	}
}

// flush tells of a move to where nobody looks.
func (n *inotify) flush(out func(api.FileEvent)) {
	if n.half != nil {
		out(*n.half)
		n.half = nil
	}
}
