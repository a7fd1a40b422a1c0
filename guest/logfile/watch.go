package logfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watch tells of changes of one log by inotify on its folder, which also hears of a log that is made, or moved away
// and made anew. The folder of a container's log has hardly any other traffic; events of other names are passed over.
type watch struct {
	file *os.File
	name string
	buf  []byte

	wake chan struct{} // closed when the context or done ended: never sleep again

	mu    sync.Mutex // guards woken, which says the same
	woken bool
}

func newWatch(path string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("follow log: inotify: %w", err)
	}
	const events = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), events); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("follow log: %w", &os.PathError{Op: "watch", Path: filepath.Dir(path), Err: err})
	}
	return &watch{file: os.NewFile(uintptr(fd), "inotify"), name: filepath.Base(path), buf: make([]byte, 4096), wake: make(chan struct{})}, nil
}

func (w *watch) close() { _ = w.file.Close() }

// wakeOn makes wait return when ctx or done ends. The function it returns ends the goroutine that looks out for that.
func (w *watch) wakeOn(ctx context.Context, done <-chan struct{}) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-ctx.Done():
		case <-done:
		case <-quit:
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.woken = true
		close(w.wake)
		_ = w.file.SetReadDeadline(time.Unix(1, 0))
	}()
	return func() { close(quit); <-ended }
}

// sleep waits for a moment, or until woken.
func (w *watch) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.wake:
	}
}

// wait returns when the log may have changed, at the time until (unless zero), or when woken.
func (w *watch) wait(until time.Time) error {
	w.mu.Lock()
	if w.woken {
		w.mu.Unlock()
		return nil
	}
	err := w.file.SetReadDeadline(until)
	w.mu.Unlock()
	if err != nil {
		return fmt.Errorf("follow log: %w", err)
	}
	for {
		n, err := w.file.Read(w.buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
		if w.concerns(w.buf[:n]) {
			return nil
		}
	}
}

// concerns tells whether one of the events is about our file; see inotify(7) for the layout.
func (w *watch) concerns(p []byte) bool {
	for len(p) >= unix.SizeofInotifyEvent {
		size := int(p[12]) | int(p[13])<<8 | int(p[14])<<16 | int(p[15])<<24
		mask := uint32(p[4]) | uint32(p[5])<<8 | uint32(p[6])<<16 | uint32(p[7])<<24
		end := min(len(p), unix.SizeofInotifyEvent+size)
		name := unix.ByteSliceToString(p[unix.SizeofInotifyEvent:end])
		if name == w.name || mask&(unix.IN_Q_OVERFLOW|unix.IN_IGNORED) != 0 {
			return true
		}
		p = p[end:]
	}
	return false
}
