package direct

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"naru/platform/ipc"
	"naru/platform/paths"
)

// startTime is how long the keeper may take until it listens: it loads nothing before that, so this is generous even
// for an emulated machine.
const startTime = 60 * time.Second

// keeperProgram lies beside the CLI.
const keeperProgram = "naru-keeper"

func ensure(ctx context.Context, home paths.Home) error {
	if answers(ctx, home) {
		return nil
	}
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTime,
		fmt.Errorf("%s did not listen on %s within %v; its log is %s", keeperProgram, home.DirectSocket(), startTime, home.KeeperLog()))
	defer cancel()
	if err := os.MkdirAll(home.Engine(), 0o711); err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	watch, err := watchFolder(string(home))
	if err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	defer watch.Close()
	k, err := spawn(home)
	if err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	if err := await(ctx, home, watch, k); err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	return nil
}

// answers tells whether somebody listens on the socket.
func answers(ctx context.Context, home paths.Home) bool {
	c, err := ipc.Dial(ctx, home.DirectSocket())
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// keeper is one that was just started. done is closed after it has ended, err is valid then.
type keeper struct {
	done chan struct{}
	err  error
	from int64 // size of the log before it was started
}

// spawn starts the keeper in a session of its own, with its output in the log: it outlives us.
func spawn(home paths.Home) (*keeper, error) {
	program, err := beside(keeperProgram)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(home.KeeperLog(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	k := &keeper{done: make(chan struct{})}
	if info, err := log.Stat(); err == nil {
		k.from = info.Size()
	}
	cmd := exec.Command(program, "--root", home.Engine(), "--name", home.Name(), "--socket", home.DirectSocket())
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the keeper, or with us
		k.err = cmd.Wait()
		close(k.done)
	}()
	return k, nil
}

// beside finds a program of ours: they are installed in one folder.
func beside(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not installed beside %s", name, self)
	}
	return path, nil
}

// retry is how long after a change of the folder the socket is tried again: between bind and listen it exists and
// refuses, and no event tells of the latter.
const retry = 5 * time.Millisecond

// await waits until the socket takes connections. A keeper of ours that ended because another one has the lock is
// waited for as well.
func await(ctx context.Context, home paths.Home, watch *folderWatch, k *keeper) error {
	done := k.done
	tick := time.NewTimer(time.Hour)
	defer tick.Stop()
	for !answers(ctx, home) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-watch.changes:
			tick.Reset(retry)
		case <-tick.C:
			if _, err := os.Stat(home.DirectSocket()); err == nil {
				tick.Reset(retry)
			}
		case <-done:
			if !locked(home) {
				return fmt.Errorf("%s ended (%w)%s", keeperProgram, orNil(k.err), logTail(home, k.from))
			}
			done = nil
			tick.Reset(retry)
		}
	}
	return nil
}

func orNil(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func locked(home paths.Home) bool {
	lock, err := ipc.TryLock(home.KeeperLock())
	if err == nil {
		_ = lock.Unlock()
	}
	return errors.Is(err, ipc.ErrLocked)
}

// logTail is the last line that the keeper wrote after from, with a colon before it; else where to read more.
func logTail(home paths.Home, from int64) string {
	data, err := os.ReadFile(home.KeeperLog())
	if err == nil && int64(len(data)) > from {
		lines := bytes.Split(bytes.TrimSpace(data[from:]), []byte("\n"))
		if last := strings.TrimSpace(string(lines[len(lines)-1])); last != "" {
			return ": " + last
		}
	}
	return "; its log is " + home.KeeperLog()
}

// folderWatch tells of files that appear in a folder.
type folderWatch struct {
	file    *os.File
	changes chan struct{} // closed when the watch ends
	done    chan struct{}
}

func watchFolder(dir string) (*folderWatch, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ATTRIB); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	w := &folderWatch{file: os.NewFile(uintptr(fd), "inotify"), changes: make(chan struct{}, 1), done: make(chan struct{})}
	go w.read()
	return w, nil
}

func (w *folderWatch) read() {
	defer close(w.done)
	buf := make([]byte, 4096)
	for {
		if _, err := w.file.Read(buf); err != nil {
			return
		}
		select {
		case w.changes <- struct{}{}:
		default:
		}
	}
}

// Close ends the watch and waits for its reader.
func (w *folderWatch) Close() {
	_ = w.file.Close()
	<-w.done
}
