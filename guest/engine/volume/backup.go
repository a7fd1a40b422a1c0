package volume

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"naru/guest/engine/archive"
)

// backupBuffer gathers the headers and small files of an archive, in bytes.
const backupBuffer = 256 << 10

// Export writes the files of a volume as tar, with owners, modes, times, links and extended attributes, its own folder
// first. compression is "", "gzip" or "zstd". started is called before the first byte: errors up to then are the request's.
// Containers may go on writing meanwhile; what is whole then is up to them.
func (m *Manager) Export(ctx context.Context, name, compression string, started func() io.Writer) (err error) {
	v, data, done, err := m.backupOf(name)
	if err != nil {
		return err
	}
	defer done()
	if compression != "" && compression != "gzip" && compression != "zstd" {
		return invalid("unknown compression %q: gzip or zstd", compression)
	}
	dir, err := openDir(unix.AT_FDCWD, data)
	if err != nil {
		return fmt.Errorf("export volume %s: %w", v.name, err)
	}
	defer dir.Close()
	out := bufio.NewWriterSize(started(), backupBuffer)
	packed, err := compressor(out, compression)
	if err != nil {
		return fmt.Errorf("export volume %s: %w", v.name, err)
	}
	p := archive.NewPacker(ctx, packed, nil)
	if err := p.Folder(int(dir.Fd()), "./"); err != nil {
		return fmt.Errorf("export volume %s: %w", v.name, err)
	}
	if err := errors.Join(p.Close(), packed.Close(), out.Flush()); err != nil {
		return fmt.Errorf("export volume %s: %w", v.name, err)
	}
	return nil
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

func compressor(w io.Writer, compression string) (io.WriteCloser, error) {
	switch compression {
	case "gzip":
		return gzip.NewWriter(w), nil
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	}
	return plainWriter{w}, nil
}

// Import unpacks an archive, compressed in any way that is known, into a volume, which is made when it is missing. A volume
// that holds files already is refused unless merge is set: then what the archive has takes the place of what was there. A
// volume that a running container uses is refused. After an error nothing of the archive stays, but with merge.
func (m *Manager) Import(ctx context.Context, name string, r io.Reader, merge bool) (err error) {
	if err := checkName(name); err != nil {
		return err
	}
	created, err := m.ensureNamed(name)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && created {
			err = errors.Join(err, m.Remove(context.WithoutCancel(ctx), name, true))
		}
	}()
	v, data, done, err := m.backupOf(name)
	if err != nil {
		return err
	}
	defer done()
	v.fill.Lock()
	defer v.fill.Unlock()
	if user := m.runningUser(name); user != "" {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("import volume %s: container %.12s runs with it: stop it first", name, user))
	}
	empty, err := isEmpty(data)
	if err != nil {
		return fmt.Errorf("import volume %s: %w", name, err)
	}
	if !empty && !merge {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("import volume %s: it is not empty: take another name, or merge", name))
	}
	if err := unpackInto(ctx, data, r); err != nil {
		if empty && !created && !v.needsMount() {
			err = errors.Join(err, m.empty(name))
		}
		return fmt.Errorf("import volume %s: %w", name, err)
	}
	return nil
}

func unpackInto(ctx context.Context, data string, r io.Reader) error {
	in, err := archive.Decompress(r)
	if err != nil {
		return err
	}
	defer in.Close()
	fd, err := unix.Open(data, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dest := archive.NewRoot(fd)
	defer dest.Close()
	if err := archive.Unpack(ctx, in, dest, archive.UnpackOptions{Itself: true, Dest: "/"}); err != nil {
		return err
	}
	dir, err := openDir(unix.AT_FDCWD, data)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Syncfs(int(dir.Fd())) // what is acknowledged is on the disk
}

// ensureNamed makes the volume when it is missing.
func (m *Manager) ensureNamed(name string) (created bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.vols[name] != nil {
		return false, nil
	}
	_, err = m.ensure(name, record{}, true)
	return err == nil, err
}

// backupOf finds a volume and mounts what it has of its own until done is called. It cannot be removed meanwhile.
func (m *Manager) backupOf(name string) (_ *vol, data string, done func(), err error) {
	m.mu.Lock()
	v := m.vols[name]
	if v == nil {
		m.mu.Unlock()
		return nil, "", nil, errNoVolume(name)
	}
	v.busy++
	m.mu.Unlock()
	leave := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		v.busy--
	}
	user := "backup-" + newName()[:12]
	if err := m.acquire(v, user); err != nil {
		leave()
		return nil, "", nil, err
	}
	return v, m.data(name), func() {
		if err := m.relinquish(v, user); err != nil {
			m.opts.Log.Warn("volume: unmount", "volume", name, "error", err)
		}
		leave()
	}, nil
}

// runningUser is a running container that has the volume, empty for none.
func (m *Manager) runningUser(name string) string {
	m.mu.Lock()
	users := m.users(name)
	m.mu.Unlock()
	for _, id := range users {
		if m.running(id) {
			return id
		}
	}
	return ""
}
