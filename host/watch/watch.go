// Package watch tells the guest what changes in the folders of the host that its programs watch.
//
// The guest says which folders (api.KindWatch); each must lie in a share, and is opened from the share's own descriptor
// without following a link. What the guest did itself, through the servers of its shares, is left out wherever the
// system tells who did something: there the kernel has raised the event already.
package watch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"naru/guest/api"
)

const (
	// batchTime is how long events are gathered after the first: one save of an editor is five of them.
	batchTime = 5 * time.Millisecond
	// maxQueue bounds the events that wait for a guest that does not read; what comes beyond them is lost, and said so.
	maxQueue = 1 << 16
	// maxFolders bounds what a guest can have us watch.
	maxFolders = 100_000
)

// Options are what a stream needs to know.
type Options struct {
	Shares []string // paths of the shared folders
	// Guests tells whether a process acts for the guest, as the server of a share. Nil knows none.
	Guests func(pid int) bool
	Log    *slog.Logger
}

// source is the operating system's watcher. Its methods are called by one goroutine.
type source interface {
	// add begins to watch a folder, which it takes over.
	add(id uint64, dir *os.File) error
	remove(id uint64)
	// run hands over events until close is called.
	run(out func(api.FileEvent)) error
	close() error
}

// Serve answers one stream to the guest until it ends or ctx does, and closes it.
func Serve(ctx context.Context, conn net.Conn, o Options) error {
	defer conn.Close()
	src, err := newSource(o)
	if err != nil {
		return fmt.Errorf("watch folders: %w", err)
	}
	s := &stream{o: o, src: src, wake: make(chan struct{}, 1), folders: map[uint64]bool{}}
	if err := s.openShares(); err != nil {
		return errors.Join(err, src.close())
	}
	defer s.closeShares()
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var work sync.WaitGroup
	work.Go(func() {
		if err := src.run(s.push); err != nil {
			o.Log.Error("watch folders", "error", err)
		}
		cancel()
	})
	work.Go(func() { s.send(ctx, conn); cancel() })
	err = s.requests(conn)
	stopped := ctx.Err() != nil
	cancel()
	err = errors.Join(err, src.close())
	work.Wait()
	if stopped {
		return nil
	}
	return err
}

// stream is one connection.
type stream struct {
	o       Options
	src     source
	shares  []root
	folders map[uint64]bool // of requests alone

	wake  chan struct{} // has a token while there are events
	mu    sync.Mutex    // guards queue and lost
	queue []api.FileEvent
	lost  int
}

// root is a shared folder.
type root struct {
	path string
	dir  *os.File
}

func (s *stream) openShares() error {
	for _, path := range s.o.Shares {
		dir, err := os.Open(path)
		if err != nil {
			s.closeShares()
			return fmt.Errorf("watch folders: %w", err)
		}
		s.shares = append(s.shares, root{filepath.Clean(path), dir})
	}
	return nil
}

func (s *stream) closeShares() {
	for _, r := range s.shares {
		_ = r.dir.Close()
	}
}

// requests does what the guest asks for until the stream ends. A guest that breaks the rules loses it.
func (s *stream) requests(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, api.MaxWatchLine)
	for lines.Scan() {
		var req api.WatchRequest
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			return fmt.Errorf("watch folders: %w", err)
		}
		if len(req.Add) > api.MaxWatchFolders {
			return fmt.Errorf("watch folders: %d at once", len(req.Add))
		}
		for _, f := range req.Add {
			if err := s.add(f); err != nil {
				return fmt.Errorf("watch folders: %w", err)
			}
		}
		for _, id := range req.Remove {
			if s.folders[id] {
				delete(s.folders, id)
				s.src.remove(id)
			}
		}
	}
	return lines.Err()
}

// add watches one folder. An error is a broken rule; a folder that is gone, or not ours to watch, is only said.
func (s *stream) add(f api.WatchFolder) error {
	if f.ID == 0 || s.folders[f.ID] {
		return fmt.Errorf("folder number %d is not new", f.ID)
	}
	if len(s.folders) >= maxFolders {
		s.o.Log.Warn("a folder is not watched: there are too many", "path", f.Path, "limit", maxFolders)
		return nil
	}
	dir, err := s.open(f.Path)
	if err == nil {
		err = s.src.add(f.ID, dir)
	}
	if err != nil {
		s.o.Log.Warn("a folder is not watched", "path", f.Path, "error", err)
		return nil
	}
	s.folders[f.ID] = true
	return nil
}

// errOutside is the error of a path in no share.
var errOutside = errors.New("not in a shared folder")

// open opens a folder in the innermost share that it lies in.
func (s *stream) open(path string) (*os.File, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return nil, errOutside
	}
	var best *root
	rel := ""
	for i, r := range s.shares {
		in, ok := below(r.path, path)
		if ok && (best == nil || len(r.path) > len(best.path)) {
			best, rel = &s.shares[i], in
		}
	}
	if best == nil {
		return nil, errOutside
	}
	return openBelow(best.dir, rel)
}

// below is path as seen from dir, "." for dir itself.
func below(dir, path string) (string, bool) {
	if path == dir {
		return ".", true
	}
	return strings.CutPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// push queues an event. Several of one name after one another become one, unless a removal is among them.
func (s *stream) push(ev api.FileEvent) {
	const merge = api.FileModified | api.FileAttributes | api.FileClosed | api.FileCreated | api.FileIsFolder
	s.mu.Lock()
	if n := len(s.queue); n > 0 {
		last := &s.queue[n-1]
		if last.Folder == ev.Folder && string(last.Name) == string(ev.Name) && (last.Kind|ev.Kind)&^merge == 0 &&
			(ev.Kind&api.FileCreated == 0) {
			last.Kind |= ev.Kind
			s.mu.Unlock()
			return
		}
	}
	if len(s.queue) < maxQueue {
		s.queue = append(s.queue, ev)
	} else {
		s.lost++
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// send writes events in batches until ctx ends or the guest is gone.
func (s *stream) send(ctx context.Context, conn io.Writer) {
	out := json.NewEncoder(conn)
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(batchTime):
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		events, lost := s.queue, s.lost
		s.queue, s.lost = nil, 0
		s.mu.Unlock()
		if lost > 0 {
			s.o.Log.Warn("changes of shared folders were lost: the guest does not take them", "events", lost)
		}
		for len(events) > 0 {
			n := min(len(events), api.MaxWatchEvents)
			if err := out.Encode(api.WatchEvents{Events: events[:n]}); err != nil {
				return
			}
			events = events[n:]
		}
	}
}
