package localfiles

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Unpack unpacks an archive, which an engine sent, in a folder. Nothing in it leads out of the folder: os.Root sees to that. A
// folder does not replace a file nor a file a folder. What is unpacked belongs to the user.
func Unpack(r io.Reader, dir string, rename func(string) string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	u := &unpacker{root: root, dir: dir, in: tar.NewReader(r), rename: rename, buf: make([]byte, bufferSize)}
	defer u.leave()
	for {
		hdr, err := u.in.Next()
		if err == io.EOF {
			return u.finishFolders()
		}
		if err != nil {
			return err
		}
		if err := u.entry(hdr); err != nil {
			return err
		}
	}
}

type unpacker struct {
	root    *os.Root
	dir     string
	in      *tar.Reader
	rename  func(string) string
	buf     []byte
	folders []*tar.Header

	at     *os.Root // where entries go now, nil for nowhere
	atName string
}

// enter opens the folder that an entry goes into, and makes it when an archive does not mention it.
func (u *unpacker) enter(dir string) error {
	if u.at != nil && u.atName == dir {
		return nil
	}
	u.leave()
	at, err := u.root.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = u.root.MkdirAll(dir, 0o755); err == nil {
			at, err = u.root.OpenRoot(dir)
		}
	}
	if err != nil {
		return err
	}
	u.at, u.atName = at, dir
	return nil
}

func (u *unpacker) leave() {
	if u.at != nil {
		_ = u.at.Close()
		u.at = nil
	}
}

// local is a name of the archive as one below the folder, in this system's form.
func local(what, name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if !filepath.IsLocal(filepath.FromSlash(clean)) {
		return "", fmt.Errorf("invalid %s %q", what, name)
	}
	return filepath.FromSlash(clean), nil
}

func (u *unpacker) entry(hdr *tar.Header) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := local("entry name", u.rename(hdr.Name))
	if err != nil {
		return err
	}
	if name == "." {
		return nil
	}
	if err := u.enter(filepath.Dir(name)); err != nil {
		return err
	}
	base := filepath.Base(name)
	if hdr.Typeflag == tar.TypeReg { // most often nothing is there
		if err := u.file(hdr, base); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	exists, err := u.makeRoom(hdr, name, base)
	if err != nil {
		return err
	}
	return u.make(hdr, name, base, exists)
}

// makeRoom removes a file in the entry's place, and reports whether a folder is there for a folder.
func (u *unpacker) makeRoom(hdr *tar.Header, name, base string) (bool, error) {
	info, err := u.at.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	isDir := hdr.Typeflag == tar.TypeDir
	switch {
	case info.IsDir() && isDir:
		return true, nil
	case info.IsDir():
		return false, fmt.Errorf("cannot overwrite directory %q with non-directory %q", name, u.dir)
	case isDir:
		return false, fmt.Errorf("cannot overwrite non-directory %q with directory %q", name, u.dir)
	}
	return false, u.at.Remove(base)
}

func (u *unpacker) make(hdr *tar.Header, name, base string, exists bool) error {
	switch hdr.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return u.file(hdr, base)
	case tar.TypeDir:
		if !exists {
			if err := u.at.Mkdir(base, 0o700); err != nil {
				return err
			}
		}
		kept := *hdr
		kept.Name = name
		u.folders = append(u.folders, &kept)
		return nil
	case tar.TypeSymlink:
		return u.at.Symlink(hdr.Linkname, base)
	case tar.TypeLink:
		target, err := local("hardlink target", u.rename(hdr.Linkname))
		if err != nil {
			return err
		}
		return u.root.Link(target, name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.node(hdr, base)
	}
	return fmt.Errorf("unhandled tar header type %d", hdr.Typeflag)
}

func (u *unpacker) file(hdr *tar.Header, base string) (err error) {
	f, err := u.at.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err == nil { // by name: on Windows an open file's times change when it is closed
			err = u.at.Chtimes(base, accessed(hdr), hdr.ModTime)
		}
	}()
	if err := u.content(f, hdr.Size); err != nil {
		return err
	}
	setAttributes(f, hdr)
	if runtime.GOOS == "windows" {
		return nil
	}
	return f.Chmod(hdr.FileInfo().Mode())
}

// content hides the file's ReadFrom from io.Copy: it would copy with a buffer of its own, which is smaller.
func (u *unpacker) content(f *os.File, size int64) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{u.in}, u.buf[:max(min(int64(len(u.buf)), size), 512)])
	return err
}

func accessed(hdr *tar.Header) time.Time {
	if hdr.AccessTime.After(hdr.ModTime) {
		return hdr.AccessTime
	}
	return hdr.ModTime
}

// finishFolders sets modes and times, the deepest first: a folder may be one that nobody can write to, and what is put into
// it changes its time.
func (u *unpacker) finishFolders() error {
	for i := len(u.folders) - 1; i >= 0; i-- {
		hdr := u.folders[i]
		if runtime.GOOS != "windows" {
			if err := u.root.Chmod(hdr.Name, hdr.FileInfo().Mode()); err != nil {
				return err
			}
		}
		if err := u.root.Chtimes(hdr.Name, accessed(hdr), hdr.ModTime); err != nil {
			return err
		}
	}
	return nil
}
