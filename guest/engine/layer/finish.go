package layer

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"naru/guest/engine/archive"
)

// Finish does what the child could not, in the layer's folder; those of the layers below come topmost first. The names are
// what the child says; they are looked up with the folder as their root.
func (r Rest) Finish(folder string, below []string) error {
	dir, err := openRoot(folder)
	if err != nil {
		return fmt.Errorf("finish layer: %w", err)
	}
	defer dir.Close()
	hidden := map[string]bool{}
	for _, name := range r.report.Opaque {
		hidden[name] = true
		if err := setOpaque(dir, name); err != nil {
			return fmt.Errorf("finish layer: hide what is below %s: %w", name, err)
		}
	}
	implied := r.report.Implied
	if !r.report.Itself {
		implied = append([]string{"."}, implied...)
	}
	if err := likeBelow(below, dir, implied, hidden); err != nil {
		return fmt.Errorf("finish layer: %w", err)
	}
	return nil
}

// Sync has the files of a folder on the disk, and those of all others on its file system.
func Sync(folder string) error {
	fd, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("sync layer: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Syncfs(fd); err != nil {
		return fmt.Errorf("sync layer: %w", err)
	}
	return nil
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
func likeBelow(folders []string, dir *archive.Root, implied []string, hidden map[string]bool) error {
	if len(implied) == 0 || len(folders) == 0 {
		return nil
	}
	var below []*archive.Root
	for _, name := range folders {
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
