package layer

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"naru/guest/engine/archive"
)

// finish does what the child could not. The names are what it says; they are looked up with the folder as their root.
func finish(r Request, report archive.LayerReport) error {
	dir, err := openRoot(r.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	hidden := map[string]bool{}
	for _, name := range report.Opaque {
		hidden[name] = true
		if err := setOpaque(dir, name); err != nil {
			return fmt.Errorf("hide what is below %s: %w", name, err)
		}
	}
	if err := likeBelow(r, dir, report.Implied, hidden); err != nil {
		return err
	}
	if !r.Sync {
		return nil
	}
	fd, err := dir.Dup()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Syncfs(fd)
}

func openRoot(name string) (*archive.Root, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return archive.NewRoot(fd), nil
}

// gone reports that a name is no folder any more: the layer itself has put something else there.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func setOpaque(dir *archive.Root, name string) error {
	fd, err := dir.Open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsetxattr(fd, "trusted.overlay.opaque", []byte("y"), 0)
}

// likeBelow gives folders that the layer does not describe the owner, mode and times that they have below.
func likeBelow(r Request, dir *archive.Root, implied []string, hidden map[string]bool) error {
	if len(implied) == 0 || len(r.Below) == 0 {
		return nil
	}
	var below []*archive.Root
	for _, name := range r.Below {
		root, err := openRoot(name)
		if err != nil {
			return err
		}
		defer root.Close()
		below = append(below, root)
	}
	for _, name := range implied {
		if underHidden(name, hidden) {
			continue
		}
		if err := copyFolder(dir, below, name); err != nil {
			return fmt.Errorf("folder %s: %w", name, err)
		}
	}
	return nil
}

func underHidden(name string, hidden map[string]bool) bool {
	for {
		if hidden[name] {
			return true
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return hidden["."]
		}
		name = name[:i]
	}
}

// copyFolder takes over a folder's description from the topmost layer that has it.
func copyFolder(dir *archive.Root, below []*archive.Root, name string) error {
	to, err := dir.Open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(to)
	for _, root := range below {
		from, err := root.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if gone(err) { // it was no folder there
			return nil
		}
		if err != nil {
			return err
		}
		defer unix.Close(from)
		return archive.CopyFolder(from, to)
	}
	return nil
}
