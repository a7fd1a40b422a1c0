package shares

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shareMount is a mounted share: by its descriptor handles of its files can be opened.
type shareMount struct {
	path string
	file *os.File
}

// shareMounts opens every virtiofs that is mounted here.
func shareMounts() map[uint64]*shareMount {
	out := map[uint64]*shareMount{}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(table)) {
		fields, rest, ok := strings.Cut(line, " - ")
		f := strings.Fields(fields)
		if !ok || !strings.HasPrefix(rest, "virtiofs ") || len(f) < 5 {
			continue
		}
		file, err := os.OpenFile(unescape(f[4]), os.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(file.Fd()), &st); err != nil || out[st.Dev] != nil {
			_ = file.Close()
			continue
		}
		out[st.Dev] = &shareMount{unescape(f[4]), file}
	}
	return out
}

func closeAll(mounts map[uint64]*shareMount) {
	for _, m := range mounts {
		_ = m.file.Close()
	}
}

// unescape undoes what proc_pid_mountinfo(5) does to a path.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// allProcesses are the IDs of all.
func allProcesses() (pids []uint32) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, n := range names {
		if pid, err := strconv.ParseUint(n, 10, 32); err == nil {
			pids = append(pids, uint32(pid))
		}
	}
	return pids
}

// inode is one of a share that somebody watches.
type inode struct {
	key
	handle unix.FileHandle
}

// watchesOf are those of one process on these mounts. A process that has ended has none.
func watchesOf(pid uint32, mounts map[uint64]*shareMount) (out []inode) {
	if len(mounts) == 0 {
		return nil
	}
	base := "/proc/" + strconv.FormatUint(uint64(pid), 10)
	dir, err := os.Open(base + "/fd")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, n := range names {
		target, err := os.Readlink(base + "/fd/" + n)
		if err != nil || target != "anon_inode:inotify" && target != "inotify" && target != "anon_inode:[fanotify]" {
			continue
		}
		info, err := os.ReadFile(base + "/fdinfo/" + n)
		if err != nil {
			continue
		}
		for _, w := range parseInfo(info) {
			if mounts[w.dev] != nil {
				out = append(out, w)
			}
		}
	}
	return out
}

// parseInfo reads the lines "inotify wd:… ino:… sdev:… … fhandle-type:… f_handle:…" of proc_pid_fdinfo(5).
func parseInfo(info []byte) (out []inode) {
	lines := bufio.NewScanner(bytes.NewReader(info))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0] != "inotify" && fields[0] != "fanotify" {
			continue
		}
		var w inode
		var kind uint64
		var handle []byte
		for _, f := range fields[1:] {
			name, value, _ := strings.Cut(f, ":")
			switch name {
			case "ino":
				w.ino, _ = strconv.ParseUint(value, 16, 64)
			case "sdev":
				dev, _ := strconv.ParseUint(value, 16, 32)
				w.dev = fromKernel(dev)
			case "fhandle-type":
				kind, _ = strconv.ParseUint(value, 16, 31)
			case "f_handle":
				handle, _ = hex.DecodeString(value)
			}
		}
		if w.ino != 0 {
			w.handle = unix.NewFileHandle(int32(kind), handle)
			out = append(out, w)
		}
	}
	return out
}

// open opens a watched folder by its handle. A file cannot be had so: the kernel does not remember its name.
func (w inode) open(m *shareMount) (*os.File, error) {
	fd, err := unix.OpenByHandleAt(int(m.file.Fd()), w.handle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "watched"), nil
}

// keyOf is which inode an open file is, and whether it is a folder.
func keyOf(f *os.File) (k key, folder bool, err error) {
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	return key{st.Dev, st.Ino}, st.Mode&unix.S_IFMT == unix.S_IFDIR, err
}

// pathOf is where an open file is in the mounts of this process.
func pathOf(f *os.File) (string, error) {
	p, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err == nil && (!path.IsAbs(p) || p == "/" || strings.HasSuffix(p, " (deleted)")) {
		err = errors.New("it has no path any more")
	}
	return p, err
}
