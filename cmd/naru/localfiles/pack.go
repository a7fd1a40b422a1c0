package localfiles

import (
	"archive/tar"
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

const bufferSize = 128 << 10

// Archive is a source as a tar stream: a folder with all that is in it under its own name, or under "." when its path ends
// with a dot.
type Archive struct {
	src    End
	rename func(string) string
	links  map[fileID]string
	buf    []byte
	tw     *tar.Writer
	err    error
}

// fileID tells files with several names apart.
type fileID struct{ dev, ino uint64 }

// NewArchive is src as it will be called after rename, from Place.
func NewArchive(src End, rename func(string) string) *Archive {
	return &Archive{src: src, rename: rename, links: map[fileID]string{}}
}

// WriteTo writes the archive. Call it once.
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	counted := &counter{w: w}
	out := bufio.NewWriterSize(counted, 256<<10)
	a.tw, a.buf = tar.NewWriter(out), make([]byte, bufferSize)
	if a.err = a.walk(); a.err != nil {
		return counted.n, a.err
	}
	if err := a.tw.Close(); err != nil {
		return counted.n, err
	}
	return counted.n, out.Flush()
}

// Error is why a request ended with err that had the archive as its body: a file that could not be read comes first.
func (a *Archive) Error(err error) error {
	var path *fs.PathError
	if err != nil && errors.As(a.err, &path) {
		return path
	}
	return err
}

func (a *Archive) walk() error {
	dir, base := a.src.split()
	as := base
	if a.src.Rename != "" {
		as = a.src.Rename
	}
	start := dir + string(filepath.Separator) + base
	if strings.HasSuffix(dir, string(filepath.Separator)) {
		start = dir + base
	}
	return filepath.WalkDir(start, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(filepath.Clean(start), p)
		if err != nil {
			return err
		}
		name := as
		if rel != "." {
			name += "/" + filepath.ToSlash(rel)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return a.add(p, a.rename(name), info)
	})
}

func (a *Archive) add(p, name string, info fs.FileInfo) error {
	if info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if link, err = os.Readlink(p); err != nil {
			return err
		}
	}
	hdr, err := tar.FileInfoHeader(plainInfo{info}, link)
	if err != nil {
		return err
	}
	hdr.Name, hdr.Format = name, tar.FormatPAX
	if info.IsDir() {
		hdr.Name = strings.TrimSuffix(path.Clean(name), "/") + "/"
	}
	hdr.ModTime, hdr.AccessTime, hdr.ChangeTime = hdr.ModTime.Truncate(time.Second), time.Time{}, time.Time{}
	if id, several := fillHeader(hdr, p, info); several && !info.IsDir() {
		if first, ok := a.links[id]; ok {
			hdr.Typeflag, hdr.Linkname, hdr.Size = tar.TypeLink, first, 0
		} else {
			a.links[id] = hdr.Name
		}
	}
	if err := a.tw.WriteHeader(hdr); err != nil || hdr.Typeflag != tar.TypeReg {
		return err
	}
	return a.content(p, hdr.Size)
}

// content writes a file's bytes; one that becomes shorter meanwhile is filled up with zeros.
func (a *Archive) content(p string, size int64) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	for size > 0 {
		part := a.buf[:min(size, int64(len(a.buf)))]
		n, err := f.Read(part)
		if err == io.EOF {
			n = len(part)
			clear(part)
		} else if err != nil {
			return err
		}
		if _, err := a.tw.Write(part[:n]); err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// plainInfo keeps tar.FileInfoHeader from looking up the names of users.
type plainInfo struct{ fs.FileInfo }

func (plainInfo) Sys() any               { return nil }
func (plainInfo) Uname() (string, error) { return "", nil }
func (plainInfo) Gname() (string, error) { return "", nil }

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
