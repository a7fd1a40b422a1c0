package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"unsafe"

	"golang.org/x/sys/unix"
)

// make makes one entry in the open folder. Nothing but, for a folder, a folder has its name; a process in the container that
// puts something there meanwhile makes it fail.
func (u *unpacker) make(hdr *tar.Header, name, base string, exists bool) error {
	switch hdr.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return u.file(hdr, base)
	case tar.TypeDir:
		return u.folder(hdr, name, base, exists)
	case tar.TypeSymlink:
		if err := unix.Symlinkat(hdr.Linkname, u.parent, base); err != nil {
			return err
		}
		return u.finishNode(hdr, base)
	case tar.TypeLink:
		return u.link(hdr, base)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.node(hdr, base)
	}
	return badArchive(fmt.Errorf("unhandled tar header type %d of %q", hdr.Typeflag, hdr.Name))
}

func (u *unpacker) file(hdr *tar.Header, base string) (err error) {
	fd, err := openat(u.parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	if u.small != nil && hdr.Size <= smallSize {
		return u.small.file(u, hdr, fd)
	}
	defer func() {
		if cerr := unix.Close(fd); err == nil {
			err = cerr
		}
	}()
	if err := u.content(fd, hdr.Size); err != nil {
		return err
	}
	return u.finish(hdr, fd)
}

// holeSize is the least run of zeros, in bytes, that becomes a hole.
const holeSize = 64 << 10

// content writes the entry's bytes. Long runs of zeros become holes, so that a sparse file stays one.
func (u *unpacker) content(fd int, size int64) error {
	if size > holeSize {
		if err := unix.Ftruncate(fd, size); err != nil { // now, rather than after reading all of what fits nowhere
			return err
		}
	}
	for at := int64(0); ; {
		n, err := io.ReadFull(u.in, u.buf[:min(int64(len(u.buf)), max(size-at, 1))])
		if n > 0 {
			if werr := writeParts(fd, u.buf[:n], at, size > holeSize); werr != nil {
				return werr
			}
			at += int64(n)
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF && at == size:
			return nil
		case err != nil:
			return u.readError(err)
		case u.ctx.Err() != nil:
			return context.Cause(u.ctx)
		}
	}
}

// writeParts writes b at an offset, without the blocks that are zero where holes are wanted.
func writeParts(fd int, b []byte, at int64, holes bool) error {
	if !holes {
		return writeAt(fd, b, at)
	}
	start := 0
	for i := 0; i < len(b); i += holeSize {
		end := min(i+holeSize, len(b))
		if !isZero(b[i:end]) {
			continue
		}
		if err := writeAt(fd, b[start:i], at+int64(start)); err != nil {
			return err
		}
		start = end
	}
	return writeAt(fd, b[start:], at+int64(start))
}

func isZero(b []byte) bool { return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }

func writeAt(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := retry(func() (int, error) { return unix.Pwrite(fd, b, at) })
		if err != nil {
			return err
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

func (u *unpacker) folder(hdr *tar.Header, name, base string, exists bool) error {
	if !exists {
		if err := unix.Mkdirat(u.parent, base, 0o700); err != nil {
			return err
		}
	}
	fd, err := openFolder(u.parent, base)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	atime, mtime := times(hdr)
	u.folders = append(u.folders, folderTimes{name, atime, mtime})
	return u.finish(hdr, fd)
}

// finish gives an open file or folder its owner, mode, attributes and times. The owner comes first: a change of it clears
// set-uid bits and capabilities.
func (u *unpacker) finish(hdr *tar.Header, fd int) error {
	uid, gid, err := u.owner(hdr)
	if err != nil {
		return err
	}
	if err := unix.Fchown(fd, int(uid), int(gid)); err != nil {
		return fmt.Errorf("chown to %d:%d: %w", uid, gid, err)
	}
	if err := unix.Fchmod(fd, uint32(hdr.Mode)&0o7777); err != nil {
		return err
	}
	if len(hdr.PAXRecords) > 0 {
		if err := setAttributes(pathOf(fd), hdr.PAXRecords); err != nil {
			return err
		}
	}
	atime, mtime := times(hdr)
	return setTimes(fd, atime, mtime)
}

func (u *unpacker) owner(hdr *tar.Header) (uid, gid uint32, err error) {
	if u.o.Owner != nil {
		return u.o.IDs.ToHost(u.o.Owner.UID, u.o.Owner.GID)
	}
	return u.o.IDs.ToHost(hdr.Uid, hdr.Gid)
}

// node makes a device or pipe. It is never opened.
func (u *unpacker) node(hdr *tar.Header, base string) error {
	if hdr.Devmajor < 0 || hdr.Devmajor > math.MaxUint32 || hdr.Devminor < 0 || hdr.Devminor > math.MaxUint32 {
		return badArchive(fmt.Errorf("device number %d:%d of %q is out of range", hdr.Devmajor, hdr.Devminor, hdr.Name))
	}
	mode := uint32(hdr.Mode) & 0o7777
	dev := 0
	switch hdr.Typeflag {
	case tar.TypeFifo:
		mode |= unix.S_IFIFO
	case tar.TypeChar:
		mode |= unix.S_IFCHR
	case tar.TypeBlock:
		mode |= unix.S_IFBLK
	}
	if hdr.Typeflag != tar.TypeFifo {
		dev = int(unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor)))
	}
	if err := unix.Mknodat(u.parent, base, mode, dev); err != nil {
		return err
	}
	return u.finishNode(hdr, base)
}

// link gives a file that is there one more name. Both are looked up within the folder.
func (u *unpacker) link(hdr *tar.Header, base string) error {
	target, ok := localName(hdr.Linkname)
	if !ok || target == "." {
		return breakout("hardlink target", hdr.Linkname)
	}
	if err := u.small.wait(); err != nil {
		return err
	}
	fd, err := u.openTarget(target)
	if err != nil {
		return &linkError{hdr.Linkname, err}
	}
	defer unix.Close(fd)
	err = unix.Linkat(fd, "", u.parent, base, unix.AT_EMPTY_PATH)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) { // without CAP_DAC_READ_SEARCH
		err = unix.Linkat(unix.AT_FDCWD, pathOf(fd), u.parent, base, unix.AT_SYMLINK_FOLLOW)
	}
	if err != nil {
		return &linkError{hdr.Linkname, err}
	}
	// A change of the owner, even to the same one, would take the file's capabilities, which are with its first name.
	if st, err := fstatat(fd, ""); err == nil && len(hdr.PAXRecords) == 0 && st.Mode&0o7777 == uint32(hdr.Mode)&0o7777 {
		if uid, gid, err := u.owner(hdr); err == nil && uid == st.Uid && gid == st.Gid {
			return nil
		}
	}
	return u.finishNode(hdr, base)
}

func (u *unpacker) openTarget(target string) (int, error) {
	dir, err := u.root.Open(path.Dir(target), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	return openat(dir, path.Base(target), unix.O_PATH|unix.O_NOFOLLOW, 0)
}

type linkError struct {
	target string
	err    error
}

func (e *linkError) Error() string { return "link to " + e.target + ": " + e.err.Error() }
func (e *linkError) Unwrap() error { return e.err }

// finishNode is finish for what cannot be opened: links, pipes, devices. It holds on to the thing itself, so that one that a
// container puts in its place meanwhile is not touched.
func (u *unpacker) finishNode(hdr *tar.Header, base string) error {
	uid, gid, err := u.owner(hdr)
	if err != nil {
		return err
	}
	fd, err := openat(u.parent, base, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fchownat(fd, "", int(uid), int(gid), unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("chown to %d:%d: %w", uid, gid, err)
	}
	st, err := fstatat(fd, "")
	if err != nil {
		return err
	}
	isLink := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if !isLink {
		// A path into /proc leads to the thing that is open, whatever it is, and chmod(2) follows it there.
		if err := unix.Fchmodat(unix.AT_FDCWD, pathOf(fd), uint32(hdr.Mode)&0o7777, 0); err != nil {
			return err
		}
		if err := setAttributes(pathOf(fd), hdr.PAXRecords); err != nil {
			return err
		}
	}
	atime, mtime := times(hdr)
	return unix.UtimesNanoAt(fd, "", []unix.Timespec{atime, mtime}, unix.AT_EMPTY_PATH)
}

// setTimes is futimens(3).
func setTimes(fd int, atime, mtime unix.Timespec) error {
	ts := [2]unix.Timespec{atime, mtime}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// maxDepth bounds how deep a tree is that is removed: each level holds a descriptor.
const maxDepth = maxName / 2

// removeAll removes a name and all that is below it, following nothing.
func removeAll(ctx context.Context, dir int, name string) error {
	return removeBelow(ctx, dir, name, maxDepth)
}

func removeBelow(ctx context.Context, dir int, name string, depth int) error {
	if isMountPoint(dir, name) {
		return unix.EBUSY
	}
	err := unix.Unlinkat(dir, name, 0)
	if err != unix.EISDIR && err != unix.EPERM {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if depth == 0 {
		return unix.ENAMETOOLONG
	}
	fd, err := openFolder(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = eachName(fd, func(child string) error {
		if err := removeBelow(ctx, fd, child, depth-1); err != nil && err != unix.ENOENT {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
}

// isMountPoint reports whether something is mounted at a name. The kernel would refuse to remove it only in the mount namespace
// of the caller; in all others it takes the mount away, in the container's too.
func isMountPoint(dir int, name string) bool {
	var st unix.Statx_t
	err := unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
