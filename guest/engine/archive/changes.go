package archive

import (
	"context"
	"errors"
	"maps"
	"path"

	"golang.org/x/sys/unix"
)

// Kind is what happened to a path; the numbers are the API's.
type Kind uint8

// The kinds of change.
const (
	Modified Kind = iota
	Added
	Deleted
)

// Change is one difference between a container's files and its image's.
type Change struct {
	Path string // from the root: "/etc/motd"
	Kind Kind
}

// Overlay is the writable folder of an overlay mount, and what lies below it as one tree.
type Overlay struct {
	Upper, Lower *Root
	// Given are paths that every container has as an empty file or folder whether its image has them or not: where the
	// runtime mounts something. They are no change while they are as it makes them.
	Given map[string]bool // true for a folder
	// All also tells of files that were written again as they were: they may be hard links of others, or differ in what
	// Docker does not compare.
	All bool
}

// Changes lists what the upper folder makes different, folders before what is in them. What counts as a change is Docker's: of
// a folder its mode and owner, of everything else also its size and time; and a folder in which something has changed.
func (o *Overlay) Changes(ctx context.Context) ([]Change, error) {
	c := &comparison{ctx: ctx, o: o, buf: make([]byte, maxAttributes)}
	upper, err := o.Upper.Dup()
	if err != nil {
		return nil, err
	}
	defer unix.Close(upper)
	lower, err := o.Lower.Dup()
	if err != nil {
		return nil, err
	}
	defer unix.Close(lower)
	if err := c.folder(upper, lower, "/", false); err != nil {
		return nil, err
	}
	return c.found, nil
}

type comparison struct {
	ctx   context.Context
	o     *Overlay
	found []Change
	buf   []byte
}

func (c *comparison) add(name string, kind Kind) { c.found = append(c.found, Change{name, kind}) }

// folder compares an upper folder with the lower one of the same name; lower is -1 where there is none. whole says that the
// upper one hides the lower one instead of adding to it.
func (c *comparison) folder(upper, lower int, name string, whole bool) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	if len(name) >= maxName {
		return nil
	}
	var deleted []string
	seen := map[string]bool{}
	err := eachName(upper, func(child string) error {
		if whole {
			seen[child] = true
		}
		gone, err := c.entry(upper, lower, child, path.Join(name, child), whole)
		if gone {
			deleted = append(deleted, child)
		}
		if vanished(err) {
			return nil
		}
		return err
	})
	if err == nil && whole && lower >= 0 {
		err = eachName(lower, func(child string) error {
			if !seen[child] {
				deleted = append(deleted, child)
			}
			return nil
		})
	}
	for _, child := range deleted {
		c.add(path.Join(name, child), Deleted)
	}
	return err
}

// entry compares one name of the upper folder. gone tells that it stands for something that was removed.
func (c *comparison) entry(upper, lower int, child, name string, whole bool) (gone bool, err error) {
	st, err := fstatat(upper, child)
	if err != nil {
		return false, err
	}
	old, existed, err := c.before(lower, child, name, &st)
	if err != nil {
		return false, err
	}
	if isWhiteout(&st) {
		return existed, nil
	}
	at := len(c.found)
	kind, changed := Added, true
	if existed {
		kind = Modified
		if changed, err = c.different(upper, lower, child, old, &st); err != nil {
			return false, err
		}
		changed = changed || c.o.All && !isDir(&st)
	}
	if changed {
		c.add(name, kind)
	}
	if !isDir(&st) {
		return false, nil
	}
	if err := c.descend(upper, lower, child, name, existed && isDir(old), whole); err != nil {
		return false, err
	}
	if !changed && len(c.found) > at { // it comes before what has changed in it
		c.found = append(c.found, Change{})
		copy(c.found[at+1:], c.found[at:])
		c.found[at] = Change{name, Modified}
	}
	return false, nil
}

// before is what the name was in the image.
func (c *comparison) before(lower int, child, name string, now *unix.Stat_t) (*unix.Stat_t, bool, error) {
	if lower >= 0 {
		st, err := fstatat(lower, child)
		if err == nil {
			return &st, true, nil
		}
		if !errors.Is(err, unix.ENOENT) {
			return nil, false, err
		}
	}
	folder, given := c.o.Given[name]
	switch {
	case !given:
		return nil, false, nil
	case folder && isDir(now):
		return now, true, nil
	case !folder && now.Mode&unix.S_IFMT == unix.S_IFREG && now.Size == 0:
		return now, true, nil
	}
	return nil, false, nil
}

// descend goes into an upper folder.
func (c *comparison) descend(upper, lower int, child, name string, merged, whole bool) error {
	fd, err := openFolder(upper, child)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	below := -1
	if merged && lower >= 0 {
		if below, err = openFolder(lower, child); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		if err == nil {
			defer unix.Close(below)
		}
	}
	return c.folder(fd, below, name, whole || isOpaque(fd))
}

// isWhiteout and isOpaque know the kernel's marks, Documentation/filesystems/overlayfs.rst.
func isWhiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }

func isOpaque(fd int) bool {
	var value [1]byte
	n, err := unix.Fgetxattr(fd, "trusted.overlay.opaque", value[:])
	return err == nil && n == 1 && value[0] == 'y'
}

// different compares as Docker does. A layer's times are whole seconds: one without a fraction may be any of that second.
func (c *comparison) different(upper, lower int, child string, old, now *unix.Stat_t) (bool, error) {
	if old == now {
		return false, nil
	}
	if old.Mode != now.Mode || old.Uid != now.Uid || old.Gid != now.Gid || old.Rdev != now.Rdev {
		return true, nil
	}
	if isDir(now) && !c.o.All {
		return false, nil
	}
	if !isDir(now) && (old.Size != now.Size || !sameTime(old.Mtim, now.Mtim)) {
		return true, nil
	}
	if lower < 0 {
		return false, nil
	}
	before, err := c.attributes(lower, child)
	if err != nil {
		return false, err
	}
	after, err := c.attributes(upper, child)
	if err != nil {
		return false, err
	}
	if c.o.All {
		return !maps.Equal(before, after), nil
	}
	return before[capability] != after[capability], nil
}

func sameTime(a, b unix.Timespec) bool {
	return a.Sec == b.Sec && (a.Nsec == b.Nsec || a.Nsec == 0 || b.Nsec == 0)
}

func (c *comparison) attributes(dir int, name string) (map[string]string, error) {
	fd, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil, nil
		}
		return nil, err
	}
	defer unix.Close(fd)
	st, err := fstatat(fd, "")
	if err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK { // a path to it would lead on
		return nil, err
	}
	return attributesOf(fd, c.buf)
}

// Layer writes changes as the archive of a layer: whiteouts for what is gone, the rest as it is in the upper folder.
func (p *Packer) Layer(upper *Root, changes []Change) error {
	parent, open := -1, ""
	defer func() {
		if parent >= 0 {
			unix.Close(parent)
		}
	}()
	for _, change := range changes {
		if p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		name := change.Path[1:]
		if change.Kind == Deleted {
			if err := p.Whiteout(name); err != nil {
				return err
			}
			continue
		}
		if dir := path.Dir(name); parent < 0 || dir != open {
			fd, err := upper.beneath(dir)
			if vanished(err) {
				continue
			}
			if err != nil {
				return err
			}
			if parent >= 0 {
				unix.Close(parent)
			}
			parent, open = fd, dir
		}
		if err := p.Single(parent, path.Base(name), name); err != nil {
			return err
		}
	}
	return nil
}

// beneath opens a folder whose path goes through no link: in an upper folder, paths are not what the container sees.
func (r *Root) beneath(dir string) (int, error) {
	at, err := openat(r.fd, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil || dir == "." {
		return at, err
	}
	for _, element := range elements(dir) {
		next, err := openat(at, element, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		unix.Close(at)
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}
