package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"golang.org/x/sys/unix"

	"naru/guest/engine/archive"
	"naru/guest/runtime"
)

// StatPath looks at a path in a container.
func (m *Manager) StatPath(ctx context.Context, ref, name string) (*container.PathStat, error) {
	c, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	v, err := m.openView(ctx, c)
	if err != nil {
		return nil, err
	}
	defer v.close()
	st, err := v.root.Lstat(name)
	if err != nil {
		return nil, fileError(err, name, ref)
	}
	return pathStat(st), nil
}

func pathStat(st archive.Stat) *container.PathStat {
	return &container.PathStat{Name: st.Name, Size: st.Size, Mode: st.Mode, Mtime: st.Mtime, LinkTarget: st.LinkTarget}
}

// fileError is what a client is told of a path that could not be looked at.
func fileError(err error, name, ref string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("Could not find the file %s in container %s", name, ref))
	}
	return err
}

// Tree is something in a container that is about to be copied out.
type Tree struct {
	Stat  *container.PathStat
	m     *Manager
	c     *Container
	v     *view
	ids   archive.IDs
	clean string
}

// OpenTree opens a path to be copied out. The caller calls WriteArchive at most once, and Close.
func (m *Manager) OpenTree(ctx context.Context, ref, name string) (*Tree, error) {
	c, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	v, err := m.openView(ctx, c)
	if err != nil {
		return nil, err
	}
	t := &Tree{m: m, c: c, v: v, clean: archive.Clean(name), ids: m.fileIDs(c)}
	st, err := v.root.Lstat(t.clean)
	if err != nil {
		v.close()
		return nil, fileError(err, name, ref)
	}
	t.Stat = pathStat(st)
	m.emit(c, events.ActionArchivePath)
	return t, nil
}

// Close ends the look at the container's files.
func (t *Tree) Close() { t.v.close() }

// outBuffer gathers the headers and small files of an archive.
const outBuffer = 256 << 10

// WriteArchive writes the tar.
func (t *Tree) WriteArchive(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriterSize(w, outBuffer)
	p := archive.NewPacker(ctx, out, t.ids)
	if err := p.Resource(t.v.root, t.clean, t.Stat.Mode.IsDir()); err != nil {
		return err
	}
	return errors.Join(p.Close(), out.Flush())
}

// ExtractOptions say how an archive is unpacked in a container.
type ExtractOptions struct {
	Path                 string
	NoOverwriteDirNonDir bool // neither put a folder in the place of something else nor the other way round
	CopyUIDGID           bool // what is unpacked belongs to the container's user
}

// Extract unpacks an archive, compressed or not, in a folder of a container.
func (m *Manager) Extract(ctx context.Context, ref string, o ExtractOptions, r io.Reader) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	in, err := archive.Decompress(r)
	if err != nil {
		return err
	}
	defer in.Close()
	v, err := m.openView(ctx, c)
	if err != nil {
		return err
	}
	defer v.close()
	if err := m.extract(ctx, c, v, o, in); err != nil {
		return fileError(err, o.Path, ref)
	}
	m.emit(c, events.ActionExtractToDir)
	return nil
}

func (m *Manager) extract(ctx context.Context, c *Container, v *view, o ExtractOptions, in io.Reader) error {
	name := archive.Clean(o.Path)
	fd, err := v.root.Open(name, unix.O_PATH)
	if err != nil {
		return &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	dest := archive.NewRoot(fd)
	defer dest.Close()
	if st, err := dest.Lstat("."); err != nil || !st.Mode.IsDir() {
		return invalid("extraction point is not a directory")
	}
	where, err := v.root.Resolve(name)
	if err != nil {
		return err
	}
	if err := c.checkWritable(where); err != nil {
		return err
	}
	unpack := archive.UnpackOptions{IDs: m.fileIDs(c), NoOverwriteDirNonDir: o.NoOverwriteDirNonDir, Dest: where}
	if o.CopyUIDGID && c.Config.User != "" {
		if unpack.Owner, err = v.owner(c.Config.User); err != nil {
			return err
		}
	}
	return v.do(func() error { return archive.Unpack(ctx, in, dest, unpack) })
}

// checkWritable refuses to write where the container could not, in Docker's words.
func (c *Container) checkWritable(where string) error {
	r := c.snapshot()
	deepest := -1
	readOnly := r.HostConfig.ReadonlyRootfs
	text := "container rootfs is marked read-only"
	for _, mp := range r.Mounts {
		inside := where == mp.Destination || strings.HasPrefix(where, strings.TrimSuffix(mp.Destination, "/")+"/")
		if inside && len(mp.Destination) > deepest {
			deepest, readOnly, text = len(mp.Destination), !mp.RW, "mounted volume is marked read-only"
		}
	}
	for target := range r.HostConfig.Tmpfs {
		if target = path.Clean(target); len(target) > deepest && (where == target || strings.HasPrefix(where, target+"/")) {
			return nil
		}
	}
	if readOnly {
		return invalid("%s", text)
	}
	return nil
}

// owner looks a container's user up in its own files.
func (v *view) owner(user string) (*archive.Owner, error) {
	uid, gid, err := runtime.LookupUser(v.root.Path(), user)
	if err != nil {
		return nil, err
	}
	return &archive.Owner{UID: int(uid), GID: int(gid)}, nil
}
