package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// fanotify watches by fanotify(7): one mark for each folder, events with the folder's file handle, the name and the process.
type fanotify struct {
	file   *os.File
	fd     int // of file, which Fd would make blocking
	guests func(pid int) bool

	mu      sync.Mutex // guards what follows
	folders map[uint64]*marked
	byKey   map[string][]uint64 // a folder can have several numbers: two shares may lie in one another
}

type marked struct {
	dir *os.File
	key string
}

const (
	fanotifyFlags = unix.FAN_CLASS_NOTIF | unix.FAN_REPORT_DFID_NAME | unix.FAN_CLOEXEC | unix.FAN_NONBLOCK | unix.FAN_UNLIMITED_QUEUE | unix.FAN_UNLIMITED_MARKS
	fanotifyMask  = unix.FAN_MODIFY | unix.FAN_ATTRIB | unix.FAN_CLOSE_WRITE | unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_RENAME |
		unix.FAN_DELETE_SELF | unix.FAN_ONDIR | unix.FAN_EVENT_ON_CHILD
)

// newFanotify fails with EPERM for others than root, with EINVAL on a kernel without FAN_RENAME (before 5.17).
func newFanotify(guests func(int) bool) (source, error) {
	fd, err := unix.FanotifyInit(fanotifyFlags, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fanotify: %w", err)
	}
	f := &fanotify{file: os.NewFile(uintptr(fd), "fanotify"), fd: fd, guests: guests, folders: map[uint64]*marked{}, byKey: map[string][]uint64{}}
	// What a kernel lacks it says at a mark only.
	dir, err := os.Open("/")
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	defer dir.Close()
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, fanotifyMask, int(dir.Fd()), ""); err == nil || errors.Is(err, unix.EINVAL) {
		_ = unix.FanotifyMark(fd, unix.FAN_MARK_REMOVE, fanotifyMask, int(dir.Fd()), "")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("fanotify: %w", err), f.close())
		}
	}
	return f, nil
}

func (f *fanotify) add(id uint64, dir *os.File) error {
	key, err := keyOf(int(dir.Fd()))
	if err == nil {
		err = unix.FanotifyMark(f.fd, unix.FAN_MARK_ADD, fanotifyMask, int(dir.Fd()), "")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("fanotify: %w", err), dir.Close())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.folders[id] = &marked{dir, key}
	f.byKey[key] = append(f.byKey[key], id)
	return nil
}

func (f *fanotify) remove(id uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.folders[id]
	if m == nil {
		return
	}
	delete(f.folders, id)
	rest := f.byKey[m.key][:0]
	for _, other := range f.byKey[m.key] {
		if other != id {
			rest = append(rest, other)
		}
	}
	f.byKey[m.key] = rest
	if len(rest) == 0 {
		delete(f.byKey, m.key)
		_ = unix.FanotifyMark(f.fd, unix.FAN_MARK_REMOVE, fanotifyMask, int(m.dir.Fd()), "")
	}
	_ = m.dir.Close()
}

func (f *fanotify) close() error {
	err := f.file.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.folders {
		_ = m.dir.Close()
	}
	clear(f.folders)
	clear(f.byKey)
	return err
}

func (f *fanotify) run(out func(api.FileEvent)) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.file.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		f.parse(buf[:n], out)
	}
}

// parse reads records of struct fanotify_event_metadata.
func (f *fanotify) parse(data []byte, out func(api.FileEvent)) {
	for len(data) >= unix.FAN_EVENT_METADATA_LEN {
		size := binary.NativeEndian.Uint32(data)
		if size < unix.FAN_EVENT_METADATA_LEN || int(size) > len(data) {
			return
		}
		record := data[:size]
		data = data[size:]
		header := int(binary.NativeEndian.Uint16(record[6:]))
		mask, pid := binary.NativeEndian.Uint64(record[8:]), int(int32(binary.NativeEndian.Uint32(record[20:])))
		if header > len(record) || mask&unix.FAN_Q_OVERFLOW != 0 || f.guests != nil && f.guests(pid) {
			continue
		}
		f.event(mask, record[header:], out)
	}
}

// place is a folder and a name in it.
type place struct {
	key  string
	name []byte
}

// event translates one record's parts.
func (f *fanotify) event(mask uint64, info []byte, out func(api.FileEvent)) {
	var at, from, to *place
	for len(info) >= 4 {
		size := int(binary.NativeEndian.Uint16(info[2:]))
		if size < 4 || size > len(info) {
			return
		}
		switch p := placeOf(info[4:size]); info[0] {
		case unix.FAN_EVENT_INFO_TYPE_DFID_NAME, unix.FAN_EVENT_INFO_TYPE_DFID:
			at = p
		case unix.FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
			from = p
		case unix.FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
			to = p
		}
		info = info[size:]
	}
	var folder api.FileKind
	if mask&unix.FAN_ONDIR != 0 {
		folder = api.FileIsFolder
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if mask&unix.FAN_RENAME != 0 {
		f.renamed(from, to, folder, out)
	}
	if at == nil {
		return
	}
	const named = api.FileModified | api.FileAttributes | api.FileClosed | api.FileCreated | api.FileDeleted
	for _, id := range f.byKey[at.key] {
		switch {
		case len(at.name) == 0 || string(at.name) == ".":
			if mask&unix.FAN_DELETE_SELF != 0 {
				out(api.FileEvent{Kind: api.FileDeletedSelf | folder, Folder: id})
			}
		case api.FileKind(mask)&named != 0:
			out(api.FileEvent{Kind: api.FileKind(mask)&named | folder, Folder: id, Name: at.name})
		}
	}
}

// renamed tells a move to all who watch one end of it.
func (f *fanotify) renamed(from, to *place, folder api.FileKind, out func(api.FileEvent)) {
	var olds, news []uint64
	ev := api.FileEvent{Kind: folder}
	if from != nil {
		olds, ev.Name = f.byKey[from.key], from.name
	}
	if to != nil {
		news, ev.ToName = f.byKey[to.key], to.name
	}
	for i := range max(len(olds), len(news)) {
		one := ev
		if i < len(olds) {
			one.Kind, one.Folder = one.Kind|api.FileMovedFrom, olds[i]
		} else {
			one.Name = nil
		}
		if i < len(news) {
			one.Kind, one.To = one.Kind|api.FileMovedTo, news[i]
		} else {
			one.ToName = nil
		}
		out(one)
	}
}

// placeOf reads what follows the header of an information record: file system, handle, and perhaps a name.
func placeOf(info []byte) *place {
	const fsid, handle = 8, 8
	if len(info) < fsid+handle {
		return nil
	}
	end := fsid + handle + int(binary.NativeEndian.Uint32(info[fsid:]))
	if end < 0 || end > len(info) {
		return nil
	}
	name, _, _ := bytes.Cut(info[end:], []byte{0})
	return &place{key: string(info[:end]), name: bytes.Clone(name)}
}

// keyOf is the beginning of the records about a folder: as fanotify reports it.
func keyOf(fd int) (string, error) {
	const atHandleFID = 0x200 // Linux 6.5: one to compare only, which more file systems can give
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return "", err
	}
	h, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH|atHandleFID)
	if errors.Is(err, unix.EINVAL) {
		h, _, err = unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH)
	}
	if err != nil {
		return "", err
	}
	key := binary.NativeEndian.AppendUint32(nil, uint32(st.Fsid.Val[0]))
	key = binary.NativeEndian.AppendUint32(key, uint32(st.Fsid.Val[1]))
	key = binary.NativeEndian.AppendUint32(key, uint32(h.Size()))
	key = binary.NativeEndian.AppendUint32(key, uint32(h.Type()))
	return string(append(key, h.Bytes()...)), nil
}
