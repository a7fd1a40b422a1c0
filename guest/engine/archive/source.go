package archive

import (
	"io/fs"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Stat is what the API tells of a path.
type Stat struct {
	Name       string
	Size       int64
	Mode       fs.FileMode
	Mtime      time.Time
	LinkTarget string // of a symbolic link: where it leads to in the end, from the root
}

// Lstat looks at a path; a symbolic link at its end is followed when a slash or a dot comes after it.
func (r *Root) Lstat(name string) (Stat, error) {
	fd, err := r.Open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return Stat{}, pathError("lstat", name, err)
	}
	defer unix.Close(fd)
	st, err := fstatat(fd, "")
	if err != nil {
		return Stat{}, pathError("lstat", name, err)
	}
	out := Stat{Name: path.Base(name), Size: st.Size, Mode: fileMode(st.Mode), Mtime: time.Unix(st.Mtim.Unix()).UTC()}
	if out.Mode&fs.ModeSymlink != 0 {
		if out.LinkTarget, err = r.Resolve(name); err != nil {
			return Stat{}, pathError("lstat", name, err)
		}
	}
	return out, nil
}

// fileMode is the kernel's mode in Go's bits.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for _, bit := range []struct {
		kernel uint32
		is     fs.FileMode
	}{{unix.S_ISUID, fs.ModeSetuid}, {unix.S_ISGID, fs.ModeSetgid}, {unix.S_ISVTX, fs.ModeSticky}} {
		if mode&bit.kernel != 0 {
			m |= bit.is
		}
	}
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		m |= fs.ModeSocket
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	}
	return m
}

// Clean is a path from the root with the slash or `/.` that it ends with: both say that a folder is meant, and the dot that its
// content is.
func Clean(name string) string {
	clean := path.Clean("/" + name)
	switch {
	case path.Base(name) == "." && clean != "/":
		return clean + "/."
	case path.Base(name) == ".":
		return "/."
	case len(name) > 0 && name[len(name)-1] == '/' && clean != "/":
		return clean + "/"
	}
	return clean
}

// Resource writes what is at a path, cleaned by Clean, as Docker's archive of it: a folder under its own name, and under "."
// when the path ends with a dot; everything else alone.
func (p *Packer) Resource(r *Root, name string, isFolder bool) error {
	if !isFolder {
		dir, err := r.Open(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return pathError("open", name, err)
		}
		defer unix.Close(dir)
		return p.Entry(dir, path.Base(name), path.Base(name))
	}
	fd, err := r.Open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return pathError("open", name, err)
	}
	defer unix.Close(fd)
	return p.Folder(fd, path.Base(name))
}
