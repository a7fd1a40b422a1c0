package archive

import (
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is a folder, and what lies below it and on the file systems mounted there, as a process sees it whose root it is:
// absolute symbolic links begin at it, and `..` does not lead above it. Safe for concurrent use until Close.
type Root struct {
	fd int
	// byHand looks names up without openat2(2). Tests set it.
	byHand bool
}

// NewRoot takes over a descriptor of a folder, which may be one of O_PATH.
func NewRoot(fd int) *Root { return &Root{fd: fd} }

// Close closes the descriptor. Files opened below it stay open.
func (r *Root) Close() error { return unix.Close(r.fd) }

// Path is a path that leads to the folder for as long as it is open, for what wants one.
func (r *Root) Path() string { return pathOf(r.fd) }

// Dup returns another descriptor of the folder, to be read from.
func (r *Root) Dup() (int, error) { return openFolder(r.fd, ".") }

// Open opens a name with the flags of open(2) and returns the descriptor. With O_NOFOLLOW the last element is not
// followed, unless a slash or a dot comes after it. O_CREAT is not allowed.
func (r *Root) Open(name string, flags int) (int, error) {
	if len(name) >= maxName {
		return -1, unix.ENAMETOOLONG
	}
	if !r.byHand {
		fd, err := r.openat2(name, flags)
		if err != unix.EAGAIN && err != unix.ENOSYS && err != unix.EPERM {
			return fd, err
		}
	}
	w, err := r.walk(name, flags&unix.O_NOFOLLOW == 0)
	if err != nil {
		return -1, err
	}
	defer w.close()
	return w.reopen(flags)
}

// openat2 is tried again when the kernel could not tell whether a `..` stays inside: any rename or mount on the machine
// at that moment makes it answer EAGAIN. Not for ever: a container could rename in a loop.
func (r *Root) openat2(name string, flags int) (fd int, err error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if name == "" {
		name = "."
	}
	for range 100 {
		if fd, err = unix.Openat2(r.fd, name, &how); err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}

// Resolve returns the path, from the root, that name leads to with all symbolic links followed. What does not exist is
// taken as it is written.
func (r *Root) Resolve(name string) (string, error) {
	w, err := r.walk(name, true)
	if errors.Is(err, unix.ENOENT) {
		return w.path(), nil
	}
	if err != nil {
		return "", err
	}
	defer w.close()
	return w.path(), nil
}

// maxLinks is how many symbolic links a look-up follows, as in the kernel.
const maxLinks = 40

// walker looks a name up element by element. It keeps the folders that it came through open, so that `..` is the one
// before and never the kernel's.
type walker struct {
	root    int
	fds     []int // of names
	names   []string
	rest    []string // still to come
	links   int
	follow  bool // also the last element
	missing []string
}

// walk does a whole look-up. After an error nothing is open, and path tells what the name would lead to.
func (r *Root) walk(name string, follow bool) (*walker, error) {
	w := &walker{root: r.fd, rest: elements(name), follow: follow}
	for len(w.rest) > 0 {
		if err := w.step(); err != nil {
			w.missing = w.rest
			w.close()
			return w, err
		}
	}
	return w, nil
}

// elements cuts a name up. A slash or a dot at its end stays as a dot: what comes before must be a folder.
func elements(name string) []string {
	out := slices.DeleteFunc(strings.Split(name, "/"), func(s string) bool { return s == "" })
	if strings.HasSuffix(name, "/") {
		out = append(out, ".")
	}
	return out
}

func (w *walker) top() int {
	if len(w.fds) == 0 {
		return w.root
	}
	return w.fds[len(w.fds)-1]
}

func (w *walker) pop() {
	if n := len(w.fds); n > 0 {
		unix.Close(w.fds[n-1])
		w.fds, w.names = w.fds[:n-1], w.names[:n-1]
	}
}

// step takes one element. On an error it stays in rest.
func (w *walker) step() error {
	name := w.rest[0]
	fd, err := openat(w.top(), name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if name == ".." { // opened only to see whether we stand in a folder
		if err == nil {
			unix.Close(fd)
			w.pop()
			w.rest = w.rest[1:]
		}
		return err
	}
	if err != nil {
		return err
	}
	if name == "." {
		unix.Close(fd)
		w.rest = w.rest[1:]
		return nil
	}
	st, err := fstatat(fd, "")
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK && (w.follow || len(w.rest) > 1) {
		defer unix.Close(fd)
		return w.link(fd)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	w.fds, w.names, w.rest = append(w.fds, fd), append(w.names, name), w.rest[1:]
	return nil
}

// link puts the target of the symbolic link that comes next in its place.
func (w *walker) link(fd int) error {
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	target, err := readlink(fd, "")
	if err != nil {
		return err
	}
	if target == "" {
		return unix.ENOENT
	}
	if strings.HasPrefix(target, "/") {
		for len(w.fds) > 0 {
			w.pop()
		}
	}
	w.rest = append(elements(target), w.rest[1:]...)
	return nil
}

// reopen opens what was found with the flags asked for.
func (w *walker) reopen(flags int) (int, error) {
	if len(w.fds) == 0 {
		return openat(w.root, ".", flags, 0)
	}
	st, err := fstatat(w.top(), "")
	switch {
	case err != nil:
		return -1, err
	case isDir(&st):
		return openat(w.top(), ".", flags, 0)
	case flags&unix.O_DIRECTORY != 0:
		return -1, unix.ENOTDIR
	case flags&unix.O_PATH != 0:
		return unix.FcntlInt(uintptr(w.top()), unix.F_DUPFD_CLOEXEC, 0)
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return -1, unix.ELOOP
	}
	return openat(unix.AT_FDCWD, pathOf(w.top()), flags&^unix.O_NOFOLLOW, 0)
}

// path is where the walk led to.
func (w *walker) path() string {
	return path.Join("/", path.Join(w.names...), path.Join(w.missing...))
}

func (w *walker) close() {
	for _, fd := range w.fds {
		unix.Close(fd)
	}
	w.fds = nil
}

func readlink(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// pathOf is a path that leads to an open descriptor, also of O_PATH: for the calls that take no descriptor.
func pathOf(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// pathError words an error as the os package does.
func pathError(op, name string, err error) error { return &os.PathError{Op: op, Path: name, Err: err} }
