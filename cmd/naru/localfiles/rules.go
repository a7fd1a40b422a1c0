// Package localfiles is the local side of cp: the rules by which it names what it copies, and files of this machine as a tar
// stream in both directions. The rules are Docker's, https://docs.docker.com/reference/cli/docker/container/cp.
package localfiles

import (
	"errors"
	"path"
	"path/filepath"
	"strings"
)

// End is one end of a copy.
type End struct {
	Path   string // absolute, with a slash or `/.` at its end where the user wrote one
	Local  bool   // of this machine; else of a container, with slashes
	Exists bool
	IsDir  bool
	Rename string // what the source is called in the archive instead of the last element of Path; "" for that
}

// What a copy is refused with.
var (
	ErrCannotCopyDir = errors.New("cannot copy directory")
	ErrDirNotExists  = errors.New("no such directory")
	ErrNotDirectory  = errors.New("not a directory")
)

// Place says how the archive of src is unpacked for dst: in which folder, and with what names.
func Place(src, dst End) (dir string, rename func(string) string, err error) {
	dstDir, dstBase := dst.split()
	_, srcBase := src.split()
	if src.Rename != "" {
		srcBase = src.Rename
	}
	switch {
	case dst.Exists && dst.IsDir:
		return dst.Path, same, nil
	case dst.Exists && src.IsDir:
		return "", nil, ErrCannotCopyDir
	case !dst.Exists && !src.IsDir && assertsDir(dst.Path, dst.Local):
		return "", nil, ErrDirNotExists
	}
	return dstDir, Renamer(srcBase, dstBase), nil
}

func same(name string) string { return name }

// Renamer replaces the first element of the names of an archive.
func Renamer(from, to string) func(string) string {
	from, to = strings.TrimRight(filepath.ToSlash(from), "/"), strings.TrimRight(filepath.ToSlash(to), "/")
	return func(name string) string {
		if from == "" { // of the root folder
			return strings.TrimPrefix(to+"/"+strings.TrimLeft(name, "/"), "/")
		}
		rest, ok := strings.CutPrefix(name, from)
		if !ok || rest != "" && rest[0] != '/' {
			return name
		}
		return to + rest
	}
}

// split takes a path apart; a dot at its end stays the last element.
func (e End) split() (dir, base string) {
	if !e.Local {
		clean := path.Clean(e.Path)
		if path.Base(e.Path) == "." {
			clean += "/."
		}
		return path.Dir(clean), path.Base(clean)
	}
	clean := filepath.Clean(filepath.FromSlash(e.Path))
	if filepath.Base(e.Path) == "." {
		clean += string(filepath.Separator) + "."
	}
	return filepath.Dir(clean), filepath.Base(clean)
}

// assertsDir reports whether the path says that it is a folder.
func assertsDir(p string, local bool) bool {
	if local {
		p = filepath.ToSlash(p)
	}
	return strings.HasSuffix(p, "/") || path.Base(p) == "."
}

// Keep gives a cleaned path the slash or `/.` back that the original ended with.
func Keep(cleaned, original string) string {
	sep := string(filepath.Separator)
	original = filepath.FromSlash(original)
	if filepath.Base(cleaned) != "." && filepath.Base(original) == "." {
		if !strings.HasSuffix(cleaned, sep) {
			cleaned += sep
		}
		cleaned += "."
	}
	if !strings.HasSuffix(cleaned, sep) && strings.HasSuffix(original, sep) {
		cleaned += sep
	}
	return cleaned
}

// Absolute is a path of this machine from its root, with the end that it was written with.
func Absolute(p string) (string, error) {
	abs, err := filepath.Abs(p)
	if err != nil {
		return "", err
	}
	return Keep(abs, p), nil
}

// Followed is a source that was a symbolic link, in its target's place: what it was called stays its name.
func Followed(asked, target string, local bool) (p, rename string) {
	base, sep := path.Base, "/"
	if local {
		base, sep = filepath.Base, string(filepath.Separator)
	}
	if base(asked) == "." && base(target) != "." {
		target += sep + "."
	}
	if strings.HasSuffix(asked, sep) && !strings.HasSuffix(target, sep) {
		target += sep
	}
	if base(asked) != base(target) {
		rename = base(asked)
	}
	return target, rename
}
