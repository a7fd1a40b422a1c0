package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Packer writes trees into one tar archive, with the headers that Docker writes: PAX where needed, whole seconds, no names of
// users. Files with several names become hard links to the first. Sockets are left out, as they are in every tar.
type Packer struct {
	ctx   context.Context
	tw    *tar.Writer
	ids   IDs
	links map[inode]string
	buf   []byte
}

// NewPacker writes to w, which should be buffered. ids is nil where owners are the same inside and outside.
func NewPacker(ctx context.Context, w io.Writer, ids IDs) *Packer {
	if ids == nil {
		ids = sameIDs{}
	}
	return &Packer{ctx: ctx, tw: tar.NewWriter(w), ids: ids, links: map[inode]string{}, buf: make([]byte, bufferSize)}
}

// Close writes the end of the archive.
func (p *Packer) Close() error { return p.tw.Close() }

// Entry writes what has the given name in an open folder as `as`; a folder with all that is in it. What vanishes meanwhile
// is left out.
func (p *Packer) Entry(dir int, name, as string) error {
	err := p.entry(dir, name, as, true)
	if vanished(err) {
		return nil
	}
	return err
}

// Single is Entry without what is in a folder.
func (p *Packer) Single(dir int, name, as string) error {
	err := p.entry(dir, name, as, false)
	if vanished(err) {
		return nil
	}
	return err
}

// Contents writes what is in an open folder below `as`, which may be empty. It reads from the folder's offset on.
func (p *Packer) Contents(dir int, as string) error {
	return eachName(dir, func(name string) error {
		if p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		child := as + name
		if as != "" && as[len(as)-1] != '/' {
			child = as + "/" + name
		}
		if len(child) >= maxName {
			return nil
		}
		return p.Entry(dir, name, child)
	})
}

// Folder writes an open folder as `as`, and all that is in it.
func (p *Packer) Folder(dir int, as string) error {
	st, err := fstatat(dir, "")
	if err != nil {
		return err
	}
	if err := p.folder(dir, &st, as); err != nil {
		return err
	}
	return p.Contents(dir, as)
}

func (p *Packer) entry(dir int, name, as string, deep bool) error {
	st, err := fstatat(dir, name)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return p.file(dir, name, as, &st)
	case unix.S_IFDIR:
		fd, err := openFolder(dir, name)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := p.folder(fd, &st, as); err != nil || !deep {
			return err
		}
		return p.Contents(fd, as)
	case unix.S_IFSOCK:
		return nil
	}
	return p.special(dir, name, as, &st)
}

func (p *Packer) folder(fd int, st *unix.Stat_t, as string) error {
	hdr := p.header(st, as)
	if as == "" || as[len(as)-1] != '/' {
		hdr.Name += "/"
	}
	return p.withAttributes(hdr, fd)
}

func (p *Packer) withAttributes(hdr *tar.Header, fd int) error {
	found, err := attributes(fd, p.buf)
	if err != nil {
		return fmt.Errorf("attributes of %s: %w", hdr.Name, err)
	}
	return p.write(hdr, found)
}

func (p *Packer) write(hdr *tar.Header, attributes map[string]string) error {
	for name, value := range attributes {
		if hdr.PAXRecords == nil {
			hdr.PAXRecords = map[string]string{}
		}
		hdr.PAXRecords[paxAttribute+name] = value
	}
	return p.tw.WriteHeader(hdr)
}

// file opens without waiting: between the look and the opening a container could have put a pipe there.
func (p *Packer) file(dir int, name, as string, st *unix.Stat_t) error {
	if p.linked(st, as) {
		return p.link(st, as)
	}
	fd, err := openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		p.forget(st, as)
		return err
	}
	defer unix.Close(fd)
	opened, err := fstatat(fd, "")
	if err != nil {
		return err
	}
	if opened.Mode&unix.S_IFMT != unix.S_IFREG {
		p.forget(st, as)
		return unix.ENOENT // another one by now
	}
	hdr := p.header(&opened, as)
	hdr.Size = opened.Size
	if err := p.withAttributes(hdr, fd); err != nil {
		return err
	}
	return p.content(fd, opened.Size, as)
}

// content writes size bytes. A file that becomes shorter meanwhile is filled up with zeros: the header has gone out.
func (p *Packer) content(fd int, size int64, as string) error {
	for size > 0 {
		if p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		part := p.buf[:min(size, int64(len(p.buf)))]
		n, err := fdReader{fd}.Read(part)
		if err != nil && err != io.EOF {
			return fmt.Errorf("read %s: %w", as, err)
		}
		if err == io.EOF {
			n = len(part)
			clear(part)
		}
		if _, err := p.tw.Write(part[:n]); err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// linked reports whether the file was written before under another name, and notes this one when not.
func (p *Packer) linked(st *unix.Stat_t, as string) bool {
	if st.Nlink < 2 {
		return false
	}
	if _, ok := p.links[inodeOf(st)]; ok {
		return true
	}
	p.links[inodeOf(st)] = as
	return false
}

// forget takes back what linked noted: the file did not become an entry.
func (p *Packer) forget(st *unix.Stat_t, as string) {
	if p.links[inodeOf(st)] == as {
		delete(p.links, inodeOf(st))
	}
}

func (p *Packer) link(st *unix.Stat_t, as string) error {
	hdr := p.header(st, as)
	hdr.Typeflag, hdr.Linkname = tar.TypeLink, p.links[inodeOf(st)]
	return p.tw.WriteHeader(hdr)
}

// special writes a symbolic link, pipe or device.
func (p *Packer) special(dir int, name, as string, st *unix.Stat_t) error {
	if p.linked(st, as) {
		return p.link(st, as)
	}
	fd, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		p.forget(st, as)
		return err
	}
	defer unix.Close(fd)
	hdr := p.header(st, as)
	if hdr.Typeflag == tar.TypeSymlink {
		if hdr.Linkname, err = readlink(fd, ""); err != nil {
			p.forget(st, as)
			return err
		}
		return p.tw.WriteHeader(hdr)
	}
	found, err := attributesOf(fd, p.buf)
	if err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("attributes of %s: %w", as, err)
	}
	return p.write(hdr, found)
}

// Whiteout writes the mark of a layer that a name of the layers below is gone.
func (p *Packer) Whiteout(name string) error {
	now := time.Now()
	dir, base := path.Split(name)
	return p.tw.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: dir + whiteoutPrefix + base, ModTime: now.Truncate(time.Second), Format: tar.FormatPAX,
	})
}

// whiteoutPrefix begins the names of whiteouts in a layer, image-spec/layer.md.
const whiteoutPrefix = ".wh."

func (p *Packer) header(st *unix.Stat_t, as string) *tar.Header {
	hdr := &tar.Header{
		Format: tar.FormatPAX, Name: as, Mode: int64(st.Mode & 0o7777), ModTime: time.Unix(st.Mtim.Sec, 0), Typeflag: typeOf(st.Mode),
	}
	hdr.Uid, hdr.Gid = p.ids.ToContainer(st.Uid, st.Gid)
	if hdr.Typeflag == tar.TypeChar || hdr.Typeflag == tar.TypeBlock {
		hdr.Devmajor, hdr.Devminor = int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev)))
	}
	return hdr
}

func typeOf(mode uint32) byte {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return tar.TypeDir
	case unix.S_IFLNK:
		return tar.TypeSymlink
	case unix.S_IFIFO:
		return tar.TypeFifo
	case unix.S_IFCHR:
		return tar.TypeChar
	case unix.S_IFBLK:
		return tar.TypeBlock
	}
	return tar.TypeReg
}
