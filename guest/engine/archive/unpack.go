package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Owner is whom all that is unpacked belongs to, as the container counts.
type Owner struct{ UID, GID int }

// UnpackOptions say how to unpack.
type UnpackOptions struct {
	IDs                  IDs    // nil: owners are the same inside and outside
	Owner                *Owner // instead of the archive's owners
	NoOverwriteDirNonDir bool   // neither put a folder in the place of something else nor the other way round
	Itself               bool   // the archive's entry of the folder itself sets its owner, mode and times
	Dest                 string // what the folder is called in errors
}

// Unpack unpacks an archive, which is not compressed, into a folder. Names that lead out of it are refused; symbolic links in
// it, also those that the archive itself or a process in the container has put there, are followed with the folder as their
// root. Whiteouts are files like others. What was unpacked before an error stays.
func Unpack(ctx context.Context, r io.Reader, dest *Root, o UnpackOptions) error {
	if o.IDs == nil {
		o.IDs = sameIDs{}
	}
	u := &unpacker{ctx: ctx, root: dest, o: o, in: tar.NewReader(contextReader{ctx, r}), parent: -1, buf: make([]byte, bufferSize)}
	defer u.leave()
	for {
		hdr, err := u.in.Next()
		if err == io.EOF {
			return u.finishFolders()
		}
		if err != nil {
			return u.readError(err)
		}
		if err := u.entry(hdr); err != nil {
			return err
		}
	}
}

// unpacker is one unpacking.
type unpacker struct {
	ctx     context.Context
	root    *Root
	o       UnpackOptions
	in      *tar.Reader
	buf     []byte
	folders []folderTimes
	small   *smallFiles // nil: each file is complete before the next entry

	dir    string // whose descriptor parent is
	parent int    // -1 for none
}

// folderTimes are set when nothing is put into the folder any more.
type folderTimes struct {
	name         string
	atime, mtime unix.Timespec
}

func (u *unpacker) readError(err error) error {
	if u.ctx.Err() != nil {
		return context.Cause(u.ctx)
	}
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrFieldTooLong) {
		return badArchive(err)
	}
	return fmt.Errorf("read archive: %w", err)
}

// localName is an entry's name within the folder; "." for the folder itself.
func localName(name string) (string, bool) {
	name = path.Clean(strings.TrimLeft(name, "/"))
	return name, name != ".." && !strings.HasPrefix(name, "../") && !strings.Contains(name, "\x00")
}

func (u *unpacker) entry(hdr *tar.Header) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, ok := localName(hdr.Name)
	if !ok {
		return breakout("entry name", hdr.Name)
	}
	if name == "." {
		return u.itself(hdr)
	}
	if err := u.enter(path.Dir(name)); err != nil {
		return err
	}
	base := path.Base(name)
	if hdr.Typeflag == tar.TypeReg { // most often nothing is there yet, which making it tells as well
		if err := u.make(hdr, name, base, false); !errors.Is(err, unix.EEXIST) {
			return u.entryError(name, err)
		}
	}
	exists, err := u.makeRoom(hdr, name, base)
	if err != nil {
		return err
	}
	return u.entryError(name, u.make(hdr, name, base, exists))
}

func (u *unpacker) entryError(name string, err error) error {
	if err == nil || errdefs.IsInvalidArgument(err) || errors.Is(err, u.ctx.Err()) {
		return err
	}
	return fmt.Errorf("unpack %s: %w", path.Join(u.o.Dest, name), err)
}

// itself takes over what the archive says of the folder that it is unpacked in.
func (u *unpacker) itself(hdr *tar.Header) error {
	if !u.o.Itself || hdr.Typeflag != tar.TypeDir {
		return nil
	}
	fd, err := u.root.Open(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return pathError("open", u.o.Dest, err)
	}
	defer unix.Close(fd)
	atime, mtime := times(hdr)
	u.folders = append(u.folders, folderTimes{".", atime, mtime})
	return u.finish(hdr, fd)
}

// enter opens the folder that entries go into, and makes it when an archive does not mention it.
func (u *unpacker) enter(dir string) error {
	if u.parent >= 0 && u.dir == dir {
		return nil
	}
	u.leave()
	fd, err := u.root.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		fd, err = u.implied(dir)
	}
	if err != nil {
		return pathError("open", path.Join(u.o.Dest, dir), err)
	}
	u.dir, u.parent = dir, fd
	return nil
}

// leave forgets the open folder: what is removed may be the folder itself, or a link on the way to it.
func (u *unpacker) leave() {
	if u.parent >= 0 {
		unix.Close(u.parent)
		u.parent = -1
	}
}

// implied makes the folders on the way to dir that are missing.
func (u *unpacker) implied(dir string) (int, error) {
	uid, gid, err := u.o.IDs.ToHost(0, 0)
	if err != nil {
		return -1, err
	}
	return u.root.MakeFolder(dir, 0o755, uid, gid)
}

// MakeFolder opens a folder, and makes it and those on the way to it when they are missing.
func (r *Root) MakeFolder(name string, mode, uid, gid uint32) (int, error) {
	at, err := r.Dup()
	if err != nil {
		return -1, err
	}
	done := "."
	for _, element := range elements(name) {
		done = path.Join(done, element)
		next, err := r.Open(done, unix.O_RDONLY|unix.O_DIRECTORY)
		if errors.Is(err, unix.ENOENT) {
			next, err = makeIn(at, element, mode, uid, gid)
		}
		unix.Close(at)
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

func makeIn(dir int, name string, mode, uid, gid uint32) (int, error) {
	if err := unix.Mkdirat(dir, name, mode); err != nil && err != unix.EEXIST {
		return -1, err
	}
	fd, err := openFolder(dir, name)
	if err != nil {
		return -1, err
	}
	if err := errors.Join(unix.Fchown(fd, int(uid), int(gid)), unix.Fchmod(fd, mode)); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// makeRoom removes what has the entry's name, but a folder for a folder. It reports whether that is there.
func (u *unpacker) makeRoom(hdr *tar.Header, name, base string) (bool, error) {
	st, err := fstatat(u.parent, base)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, pathError("lstat", path.Join(u.o.Dest, name), err)
	}
	was, is := isDir(&st), hdr.Typeflag == tar.TypeDir
	switch {
	case was && is:
		return true, nil
	case u.o.NoOverwriteDirNonDir && was:
		return false, fmt.Errorf("cannot overwrite directory %q with non-directory %q", name, u.o.Dest)
	case u.o.NoOverwriteDirNonDir && is:
		return false, fmt.Errorf("cannot overwrite non-directory %q with directory %q", name, u.o.Dest)
	}
	if err := removeAll(u.ctx, u.parent, base); err != nil && !errors.Is(err, unix.ENOENT) {
		return false, pathError("unlinkat", path.Join(u.o.Dest, name), err)
	}
	if was || st.Mode&unix.S_IFMT == unix.S_IFLNK { // a folder or link may have been on the way to the open one
		dir := u.dir
		u.leave()
		return false, u.enter(dir)
	}
	return false, nil
}

func (u *unpacker) finishFolders() error {
	for _, f := range u.folders {
		fd, err := u.root.Open(f.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if vanished(err) {
			continue // a later entry or the container has removed it
		}
		if err != nil {
			return pathError("open", path.Join(u.o.Dest, f.name), err)
		}
		err = setTimes(fd, f.atime, f.mtime)
		unix.Close(fd)
		if err != nil {
			return pathError("chtimes", path.Join(u.o.Dest, f.name), err)
		}
	}
	return nil
}

// times are those an entry gets: no access before the change, and nothing that a file system cannot hold.
func times(hdr *tar.Header) (atime, mtime unix.Timespec) {
	m := bound(hdr.ModTime)
	a := m
	if hdr.AccessTime.After(hdr.ModTime) {
		a = bound(hdr.AccessTime)
	}
	return timespec(a), timespec(m)
}

// bound takes a time that a 64-bit count of nanoseconds cannot hold, and one before 1970, for 1970, as Docker does.
func bound(t time.Time) time.Time {
	if t.Before(time.Unix(0, 0)) || t.After(time.Unix(0, 1<<63-1)) {
		return time.Unix(0, 0)
	}
	return t
}

func timespec(t time.Time) unix.Timespec { return unix.NsecToTimespec(t.UnixNano()) }
