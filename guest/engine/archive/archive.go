// Package archive moves trees of files between a container and a tar stream: out for cp, export and commit, in for cp.
//
// Everything is done by descriptors. A tree has a Root, a name is looked up as a process with that root would do it, and
// each step after that is taken from an open folder to a name in it that is not followed. So neither what lies in the
// tree, nor a process that changes it meanwhile, nor the names in an archive lead out of it. Nothing that is read is held
// in memory but one buffer, the names of a part of each open folder, and the names of files with several links.
package archive

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// IDs translate owners between a tree as this process sees it and as its container does.
type IDs interface {
	ToContainer(uid, gid uint32) (int, int)
	ToHost(uid, gid int) (uint32, uint32, error)
}

// sameIDs are those of a container without a user namespace of its own.
type sameIDs struct{}

func (sameIDs) ToContainer(uid, gid uint32) (int, int) { return int(uid), int(gid) }

// noID is what chown(2) takes for "leave it".
const noID = 1<<32 - 1

func (sameIDs) ToHost(uid, gid int) (uint32, uint32, error) {
	if uid < 0 || uid >= noID || gid < 0 || gid >= noID {
		return 0, 0, errOwner(uid, gid)
	}
	return uint32(uid), uint32(gid), nil
}

// bufferSize is how much of a file is moved at once. It stays in the processor's cache between the socket and the file: with a
// megabyte a copy of 300 MB took two and a half times the CPU.
const bufferSize = 128 << 10

// maxName is how long a path can be, in bytes. Deeper trees, which only chdir(2) can make, are not descended into: no
// client could name their files, and each level holds a descriptor.
const maxName = unix.PathMax

type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Stat_t) inode { return inode{uint64(st.Dev), st.Ino} }

func isDir(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

// retry calls f again while a signal interrupts it.
func retry[T any](f func() (T, error)) (T, error) {
	for {
		v, err := f()
		if err != unix.EINTR {
			return v, err
		}
	}
}

func fstatat(dir int, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH)
	return st, err
}

func openat(dir int, name string, flags int, mode uint32) (int, error) {
	return retry(func() (int, error) { return unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode) })
}

// openFolder opens a folder that is not a symbolic link.
func openFolder(dir int, name string) (int, error) {
	return openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// fdReader and fdWriter read and write a descriptor from its present offset.
type fdReader struct{ fd int }

func (r fdReader) Read(p []byte) (int, error) {
	n, err := retry(func() (int, error) { return unix.Read(r.fd, p) })
	if err != nil {
		return 0, err
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// vanished reports whether err says that a name is not any more what it was a moment ago: a container goes on while its
// files are copied.
func vanished(err error) bool {
	for _, e := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ESTALE, unix.ENXIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// contextReader ends the reading when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
