package localfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Source looks at a local path, from Absolute, to be copied. With follow a symbolic link at its end gives way to its target.
func Source(p string, follow bool) (End, error) {
	resolved, rename, err := resolveSource(p, follow)
	if err != nil {
		return End{}, err
	}
	info, err := os.Lstat(resolved)
	if err != nil {
		return End{}, err
	}
	return End{Path: resolved, Local: true, Exists: true, IsDir: info.IsDir(), Rename: rename}, nil
}

func resolveSource(p string, follow bool) (resolved, rename string, err error) {
	if follow {
		target, err := filepath.EvalSymlinks(p)
		if err != nil {
			return "", "", err
		}
		resolved, rename = Followed(p, target, true)
		return resolved, rename, nil
	}
	dir, base := filepath.Split(p)
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		return "", "", err
	}
	sep := string(filepath.Separator)
	resolved = strings.TrimSuffix(dir, sep) + sep + base
	if strings.HasSuffix(p, sep) && filepath.Base(p) != filepath.Base(resolved) {
		rename = filepath.Base(p)
	}
	return resolved, rename, nil
}

// maxLinks is how many symbolic links a destination may be behind.
const maxLinks = 10

// Destination looks at a local path, from Absolute, to be copied to. Symbolic links are followed, also one that leads to what
// does not exist yet; the folder it lies in must exist.
func Destination(p string) (End, error) {
	if err := checkOutput(p); err != nil {
		return End{}, err
	}
	at := p
	for range maxLinks + 1 {
		info, err := os.Lstat(at)
		if err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return End{Path: at, Local: true, Exists: true, IsDir: info.IsDir()}, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			return newDestination(at)
		}
		if err != nil {
			return End{}, err
		}
		target, err := os.Readlink(at)
		if err != nil {
			return End{}, err
		}
		if !filepath.IsAbs(target) {
			dir, _ := End{Path: at, Local: true}.split()
			target = filepath.Join(dir, target)
		}
		at = target
	}
	return End{}, fmt.Errorf("too many symlinks in %s", p)
}

func newDestination(p string) (End, error) {
	dir, _ := End{Path: p, Local: true}.split()
	info, err := os.Stat(dir)
	if err != nil {
		return End{}, err
	}
	if !info.IsDir() {
		return End{}, ErrNotDirectory
	}
	return End{Path: p, Local: true}, nil
}

// checkOutput refuses a destination whose folder is missing, and a device.
func checkOutput(p string) error {
	dir := filepath.Dir(filepath.Clean(p))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("invalid output path: directory %q does not exist", dir)
	}
	info, err := os.Stat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := CheckMode(info.Mode()); err != nil {
		return fmt.Errorf("invalid output path: %q must be a directory or a regular file: %w", p, err)
	}
	return nil
}

// CheckMode refuses what cannot be written to like a file.
func CheckMode(mode fs.FileMode) error {
	switch {
	case mode&fs.ModeDevice != 0:
		return errors.New("got a device")
	case mode&fs.ModeIrregular != 0:
		return errors.New("got an irregular file")
	}
	return nil
}
