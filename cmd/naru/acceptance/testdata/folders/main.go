// Command folders does what TestFolders says to files: a line of words in, a line out. The test runs one on the host and one
// in a container, in the same folder.
package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var words []string
		for _, w := range strings.Fields(in.Text()) {
			text, err := url.PathUnescape(w)
			if err != nil {
				text = err.Error()
			}
			words = append(words, text)
		}
		out, err := do(words)
		var errno syscall.Errno
		switch {
		case errors.As(err, &errno):
			out = "error " + errno.Error()
		case err != nil:
			out = "error " + err.Error()
		}
		fmt.Println(url.PathEscape(out))
	}
}

// held are descriptors that stay open between lines, by path.
var held = map[string]*os.File{}

func do(w []string) (string, error) {
	op, path := w[0], w[1]
	arg := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	num := func(i int) int {
		n, err := strconv.ParseInt(arg(i), 0, 64)
		if err != nil {
			panic(err)
		}
		return int(n)
	}
	switch op {
	case "write":
		return "", os.WriteFile(path, []byte(arg(2)), 0o644)
	case "read":
		data, err := os.ReadFile(path)
		return string(data), err
	case "append":
		return "", with(path, os.O_WRONLY|os.O_APPEND, func(f *os.File) error { _, err := f.WriteString(arg(2)); return err })
	case "truncate":
		return "", os.Truncate(path, int64(num(2)))
	case "sum":
		data, err := os.ReadFile(path)
		return fmt.Sprintf("%d %x", len(data), sha256.Sum256(data)), err
	case "rename":
		return "", os.Rename(path, arg(2))
	case "remove":
		return "", os.RemoveAll(path)
	case "mkdir":
		return "", os.Mkdir(path, os.FileMode(num(2)))
	case "link":
		return "", os.Link(path, arg(2))
	case "symlink":
		return "", os.Symlink(arg(2), path)
	case "chown":
		return "", os.Lchown(path, num(2), num(3))
	case "chmod":
		return "", syscall.Chmod(path, uint32(num(2)))
	case "mkfifo":
		return "", syscall.Mkfifo(path, 0o600)
	case "stat":
		var st syscall.Stat_t
		err := syscall.Lstat(path, &st)
		return fmt.Sprintf("%o %d:%d links=%d size=%d", st.Mode, st.Uid, st.Gid, st.Nlink, st.Size), err
	case "hold":
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		held[path] = f
		return "", err
	case "heldread":
		data, err := io.ReadAll(io.NewSectionReader(held[path], 0, 1<<20))
		return string(data), err
	case "heldwrite":
		_, err := held[path].WriteAt([]byte(arg(3)), int64(num(2)))
		return "", err
	case "drop":
		err := held[path].Close()
		delete(held, path)
		return "", err
	case "flock":
		return "", syscall.Flock(int(held[path].Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	case "lock": // POSIX
		return "", syscall.FcntlFlock(held[path].Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Len: 1})
	case "mmap":
		return mapped(path, num(2), arg(3))
	case "fill":
		for i := range num(2) {
			if err := os.WriteFile(filepath.Join(path, fmt.Sprintf("file %05d", i)), []byte(strconv.Itoa(i)), 0o644); err != nil {
				return "", err
			}
		}
		return "", nil
	case "count":
		return count(path)
	case "names":
		list, err := os.ReadDir(path)
		var names []string
		for _, e := range list {
			names = append(names, e.Name())
		}
		return strings.Join(names, "|"), err
	}
	return extra(op, path, arg)
}

func extra(op, path string, arg func(int) string) (string, error) {
	switch op {
	case "setxattr":
		return "", syscall.Setxattr(path, arg(2), []byte(arg(3)), 0)
	case "getxattr":
		buf := make([]byte, 1024)
		n, err := syscall.Getxattr(path, arg(2), buf)
		return string(buf[:max(n, 0)]), err
	}
	return "", errors.New("unknown operation " + op)
}

func with(path string, flags int, use func(*os.File) error) error {
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return err
	}
	return errors.Join(use(f), f.Close())
}

// mapped writes text at an offset of a shared mapping, and returns what the mapping holds then.
func mapped(path string, at int, text string) (out string, err error) {
	err = with(path, os.O_RDWR, func(f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		m, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		if err != nil {
			return err
		}
		copy(m[at:], text)
		out = string(m)
		return syscall.Munmap(m)
	})
	return out, err
}

// count reads every file of a folder, which holds its own number.
func count(path string) (string, error) {
	list, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	sum := 0
	for _, e := range list {
		data, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			return "", err
		}
		n, err := strconv.Atoi(string(data))
		if err != nil {
			return "", err
		}
		sum += n
	}
	return fmt.Sprintf("%d %d", len(list), sum), nil
}
