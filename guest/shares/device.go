package shares

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// devicePath is the kernel module's device.
const devicePath = "/dev/naru-events"

// device is the kernel module of vmimage/kmod.
type device struct {
	file  *os.File
	close sync.Once
	err   error
}

func openDevice() (*device, error) {
	f, err := os.OpenFile(devicePath, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &device{file: f}, nil
}

func (d *device) Close() error {
	d.close.Do(func() { d.err = d.file.Close() })
	return d.err
}

// begun is a watch that has begun. Process 0: some that are not told.
type begun struct {
	pid  uint32
	dev  uint64
	path string // from the root of the file system
}

// who sends the watches that begin, until the device is closed.
func (d *device) who(out chan<- begun) {
	const header = 8
	buf := make([]byte, header+unix.PathMax)
	for {
		n, err := d.file.Read(buf)
		if err != nil || n < header {
			return
		}
		dev := binary.NativeEndian.Uint32(buf[4:])
		out <- begun{binary.NativeEndian.Uint32(buf), fromKernel(uint64(dev)), string(buf[header:n])}
	}
}

// fromKernel is a device number as the kernel has it inside, 12 bits of major and 20 of minor, as stat tells it.
func fromKernel(dev uint64) uint64 { return unix.Mkdev(uint32(dev>>20), uint32(dev&0xfffff)) }

// change is the record of one write, see vmimage/kmod.
type change struct {
	mask         api.FileKind
	dir, to      int
	name, toName []byte
}

func (d *device) raise(c change) error {
	const header = 16
	buf := make([]byte, 0, header+len(c.name)+len(c.toName))
	buf = binary.NativeEndian.AppendUint32(buf, uint32(c.mask))
	buf = binary.NativeEndian.AppendUint32(buf, uint32(int32(c.dir)))
	buf = binary.NativeEndian.AppendUint32(buf, uint32(int32(c.to)))
	buf = binary.NativeEndian.AppendUint16(buf, uint16(len(c.name)))
	buf = binary.NativeEndian.AppendUint16(buf, uint16(len(c.toName)))
	buf = append(append(buf, c.name...), c.toName...)
	_, err := d.file.Write(buf)
	return err
}

// raise tells the watchers of one event. What the kernel remembers of the file is asked for anew first: who hears of a change
// looks at once, and must see it.
func (s *session) raise(ev *api.FileEvent) error {
	if ev.Kind&^api.FileKinds != 0 || len(ev.Name) > unix.NAME_MAX || len(ev.ToName) > unix.NAME_MAX {
		return errors.New("not an event")
	}
	s.mu.Lock()
	defer s.mu.Unlock() // the descriptors stay open meanwhile
	from, to := s.byID[ev.Folder], s.byID[ev.To]
	c := change{mask: ev.Kind, name: ev.Name, toName: ev.ToName, dir: -1, to: -1}
	if from != nil {
		c.dir = int(from.file.Fd())
		defer freshen(c.dir, "")
	}
	if to != nil {
		c.to = int(to.file.Fd())
		defer freshen(c.to, "")
	}
	switch {
	case from == nil && ev.Kind&^(api.FileMovedTo|api.FileIsFolder) != 0, to == nil && ev.Kind&api.FileMovedTo != 0:
		return nil // nobody looks there any more
	case ev.Kind&(api.FileMovedFrom|api.FileMovedTo|api.FileDeletedSelf) != 0:
		return s.dev.raise(c)
	}
	// What is not held the kernel forgets at once, and events go to those it remembers.
	if ev.Kind&api.FileDeleted == 0 {
		if fd, err := unix.Openat(c.dir, string(c.name), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
			defer unix.Close(fd)
		}
	}
	return s.raiseNamed(c)
}

// raiseNamed brings several kinds of one name into the order in which they can have happened: a name that was made and
// removed was made last when it is there now. A removed one is not looked up first: the kernel would forget whose it was.
func (s *session) raiseNamed(c change) error {
	one := func(kinds api.FileKind) error {
		if kinds == 0 {
			return nil
		}
		part := c
		part.mask = kinds | c.mask&api.FileIsFolder
		return s.dev.raise(part)
	}
	removed, rest := c.mask&api.FileDeleted, c.mask&^(api.FileDeleted|api.FileIsFolder)
	if removed != 0 && rest&api.FileCreated != 0 && freshen(c.dir, string(c.name)) == nil {
		err := one(removed)
		_ = freshen(c.dir, string(c.name)) // the kernel forgot it
		return errors.Join(err, one(rest))
	}
	if removed == 0 && freshen(c.dir, string(c.name)) != nil {
		rest &= api.FileCreated // gone meanwhile: of the file there is nothing to say
	}
	err := one(rest)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, one(removed))
}

// freshen asks the host what a file is like now, so that the kernel's copy of its attributes, and with it that of its
// pages, is that of after the change.
func freshen(dir int, name string) error {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_STATX_FORCE_SYNC
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var st unix.Statx_t
	return unix.Statx(dir, name, flags, unix.STATX_BASIC_STATS, &st)
}

// sizes guards the layout that the module reads.
var _ = [1]struct{}{}[16-unsafe.Sizeof(struct {
	mask    uint32
	dir, to int32
	lens    [2]uint16
}{})]
