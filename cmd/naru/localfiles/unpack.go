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
	exists, err := u.makeRoom(hdr, name)
	if err != nil {
		return err
	}
	if dir := filepath.Dir(name); !exists && dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return u.make(hdr, name, exists)
}

// makeRoom removes a file in the entry's place, and reports whether a folder is there for a folder.
func (u *unpacker) makeRoom(hdr *tar.Header, name string) (bool, error) {
	info, err := u.root.Lstat(name)
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
	return false, u.root.Remove(name)
}

func (u *unpacker) make(hdr *tar.Header, name string, exists bool) error {
	mode := hdr.FileInfo().Mode()
	switch hdr.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return u.file(hdr, name, mode)
	case tar.TypeDir:
		if !exists {
			if err := u.root.Mkdir(name, 0o700); err != nil {
				return err
			}
		}
		kept := *hdr
		kept.Name = name
		u.folders = append(u.folders, &kept)
		return nil
	case tar.TypeSymlink:
		return u.root.Symlink(hdr.Linkname, name)
	case tar.TypeLink:
		target, err := local("hardlink target", u.rename(hdr.Linkname))
		if err != nil {
			return err
		}
		return u.root.Link(target, name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.node(hdr, name)
	}
	return fmt.Errorf("unhandled tar header type %d", hdr.Typeflag)
}

func (u *unpacker) file(hdr *tar.Header, name string, mode fs.FileMode) (err error) {
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err == nil { // by name: on Windows an open file's times change when it is closed
			err = u.root.Chtimes(name, accessed(hdr), hdr.ModTime)
		}
	}()
	if err := u.content(f, hdr.Size); err != nil {
		return err
	}
	setAttributes(f, hdr)
	if runtime.GOOS == "windows" {
		return nil
	}
	return f.Chmod(mode)
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
