package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSocketPath is the most bytes that sun_path holds beside its closing zero; see unix(7).
const maxSocketPath = 107

func checkSocketPath(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("socket %s: its path has %d bytes, and Linux takes at most %d: choose a shorter folder",
			path, len(path), maxSocketPath)
	}
	return nil
}

// listenUnix listens at path with exactly that mode. The caller holds the lock, so that a socket already there is one
// that a killed keeper left.
func listenUnix(path string, mode fs.FileMode) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("listen on %s: there is a file that is no socket", path)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// bind(2) takes the mode from the socket, less the umask: nobody else may connect before the chmod. Changing the
	// umask instead would change it for the children that other goroutines fork.
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		return errors.Join(raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }), err)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	ln := l.(*net.UnixListener)
	ln.SetUnlinkOnClose(false) // the engine holds a copy
	if err := os.Chmod(path, mode); err != nil {
		ln.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return ln, nil
}

// takeLock makes this keeper the only one of its root for as long as the file is open.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("another naru-keeper already runs with root %s", filepath.Dir(path))
	} else if err != nil {
		err = fmt.Errorf("lock %s: %w", path, err)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// wantFiles is the file limit we try for: four descriptors for each of very many containers, and the engine's sockets.
const wantFiles = 1 << 20

// raiseFileLimit does what it can. Without CAP_SYS_RESOURCE the hard limit stays, and many containers are still
// possible below it.
func raiseFileLimit(log *slog.Logger) {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		log.Warn("read the file limit", "error", err)
		return
	}
	if now.Cur >= wantFiles {
		return
	}
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: wantFiles, Max: max(wantFiles, now.Max)})
	if err == nil {
		return
	}
	log.Info("the file limit stays", "limit", now.Max, "error", err)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: now.Max, Max: now.Max}); err != nil {
		log.Warn("raise the file limit", "error", err)
	}
}
