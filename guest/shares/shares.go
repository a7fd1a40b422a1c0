// Package shares brings what changes in the host's folders to those who watch them in the VM.
//
// virtiofs knows no events: a program that watches a shared folder by inotify hears what is done in the VM, and nothing
// of what an editor on the host does. So the kernel says who begins to watch what on a FUSE file system
// (vmimage/kmod), the host watches the same folders, and what it hears is raised here as the events that the kernel itself
// would have raised. No file is touched for that. What is watched no more is found out from /proc/PID/fdinfo.
//
//	inotify_add_watch ─ kernel module ─▶ which folder ─▶ host: watch these folders
//	inotify event     ◀─ kernel module ◀─ stat anew  ◀─ host: this happened
package shares

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
	"path"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

const (
	// settle is waited before a program's watches are read: it adds those of a whole tree one after another.
	settle = 10 * time.Millisecond
	// review is how often ended watches are looked for. A watch too many costs the host events that nobody here hears.
	review = 15 * time.Second
)

// Watch serves one stream of api.KindWatch until it or ctx ends, and closes it.
func Watch(ctx context.Context, log *slog.Logger, conn net.Conn) error {
	defer conn.Close()
	dev, err := openDevice()
	if err != nil {
		return fmt.Errorf("watch shares: %w", err)
	}
	defer dev.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close(); _ = dev.Close() })()
	s := &session{log: log, dev: dev, out: json.NewEncoder(conn), pids: map[uint32]bool{}, files: map[key]*watchedFile{}, folders: map[key]*folder{}, byID: map[uint64]*folder{}}
	defer s.forgetAll()
	news := make(chan begun, 256)
	var work sync.WaitGroup
	work.Go(func() { dev.who(news); close(news); _ = conn.Close() })
	work.Go(func() {
		if err := s.follow(news); err != nil {
			_ = conn.Close()
		}
		for range news { // until the device is closed
		}
	})
	err = s.events(conn)
	_ = dev.Close()
	work.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// session is one stream.
type session struct {
	log *slog.Logger
	dev *device

	// Of follow alone: the stream outwards, processes that watch something, the files that are watched by themselves.
	out   *json.Encoder
	pids  map[uint32]bool
	files map[key]*watchedFile

	mu      sync.Mutex // guards what follows
	folders map[key]*folder
	byID    map[uint64]*folder
	last    uint64 // the newest ID
}

// key is an inode of a share.
type key struct{ dev, ino uint64 }

// folder is one that somebody watches, or in which somebody watches a file.
type folder struct {
	id   uint64
	file *os.File // O_PATH: it stays the same folder whatever it is called later
}

// watchedFile is held open, for so long the kernel remembers its name.
type watchedFile struct {
	file   *os.File
	folder key
}

// follow keeps the host's list of folders in step with who watches here, until the device is closed.
func (s *session) follow(news <-chan begun) error {
	if err := s.lookAtAll(); err != nil {
		return err
	}
	timer := time.NewTicker(review)
	defer timer.Stop()
	for {
		select {
		case b, ok := <-news:
			if !ok {
				return nil
			}
			if err := s.take(b, news); err != nil {
				return err
			}
		case <-timer.C:
			if err := s.prune(); err != nil {
				return err
			}
		}
	}
}

// take tells the host of new watches: of the one, and of those that have come meanwhile, for a program that watches a tree
// adds one after another.
func (s *session) take(b begun, more <-chan begun) error {
	<-time.After(settle)
	mounts := shareMounts()
	defer closeAll(mounts)
	var fresh []api.WatchFolder
	for lost := false; ; {
		if b.pid == 0 {
			lost = true
		} else if m := mounts[b.dev]; m != nil {
			s.pids[b.pid] = true
			if err := s.open(m.path+b.path, &fresh); err != nil {
				s.log.Debug("a watch in a share", "error", err)
			}
		}
		select {
		case next, ok := <-more:
			if ok {
				b = next
				continue
			}
		default:
		}
		if err := s.tell(fresh); err != nil || !lost {
			return err
		}
		return s.lookAtAll()
	}
}

// tell has the host watch more folders.
func (s *session) tell(fresh []api.WatchFolder) error {
	for len(fresh) > 0 {
		n := min(len(fresh), api.MaxWatchFolders)
		if err := s.out.Encode(api.WatchRequest{Add: fresh[:n]}); err != nil {
			return err
		}
		fresh = fresh[n:]
	}
	return nil
}

// open takes in what is watched at a path.
func (s *session) open(name string, fresh *[]api.WatchFolder) error {
	f, err := os.OpenFile(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	k, isFolder, err := keyOf(f)
	if err != nil || s.files[k] != nil {
		return errors.Join(err, f.Close())
	}
	if isFolder {
		return s.add(f, k, fresh)
	}
	dir, err := os.OpenFile(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	in, _, err := keyOf(dir)
	if err != nil {
		return errors.Join(err, f.Close(), dir.Close())
	}
	s.files[k] = &watchedFile{f, in}
	return s.add(dir, in, fresh)
}

// add takes over a folder. One that is known already is closed.
func (s *session) add(f *os.File, k key, fresh *[]api.WatchFolder) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.folders[k] != nil {
		return f.Close()
	}
	name, err := pathOf(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.last++
	s.folders[k] = &folder{id: s.last, file: f}
	s.byID[s.last] = s.folders[k]
	*fresh = append(*fresh, api.WatchFolder{ID: s.last, Path: name})
	return nil
}

// lookAtAll finds the watches that began before anybody listened, in folders: of a file's the name is not known any more.
func (s *session) lookAtAll() error {
	mounts := shareMounts()
	defer closeAll(mounts)
	var fresh []api.WatchFolder
	for _, pid := range allProcesses() {
		for _, w := range watchesOf(pid, mounts) {
			s.pids[pid] = true
			f, err := w.open(mounts[w.dev])
			if err != nil {
				continue
			}
			k, _, err := keyOf(f)
			if err != nil {
				_ = f.Close()
				continue
			}
			if err := s.add(f, k, &fresh); err != nil {
				s.log.Debug("a watch in a share", "error", err)
			}
		}
	}
	return s.tell(fresh)
}

// prune drops what nobody watches any more.
func (s *session) prune() error {
	if len(s.pids) == 0 {
		return nil
	}
	mounts := shareMounts()
	defer closeAll(mounts)
	used := map[key]bool{}
	for pid := range s.pids {
		list := watchesOf(pid, mounts)
		if len(list) == 0 {
			delete(s.pids, pid)
		}
		for _, w := range list {
			used[w.key] = true
		}
	}
	for k, f := range s.files {
		if used[k] {
			used[f.folder] = true
			continue
		}
		delete(s.files, k)
		_ = f.file.Close()
	}
	return s.untell(used)
}

// untell drops the folders that are not used.
func (s *session) untell(used map[key]bool) error {
	var gone []uint64
	s.mu.Lock()
	for k, f := range s.folders {
		if !used[k] {
			delete(s.folders, k)
			delete(s.byID, f.id)
			_ = f.file.Close()
			gone = append(gone, f.id)
		}
	}
	s.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	return s.out.Encode(api.WatchRequest{Remove: gone})
}

func (s *session) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.folders {
		_ = f.file.Close()
	}
	for _, f := range s.files {
		_ = f.file.Close()
	}
}

// events raises what the host tells, until the stream ends.
func (s *session) events(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, api.MaxWatchLine)
	for lines.Scan() {
		var batch api.WatchEvents
		if err := json.Unmarshal(lines.Bytes(), &batch); err != nil {
			return fmt.Errorf("watch shares: %w", err)
		}
		for i := range batch.Events {
			if err := s.raise(&batch.Events[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
				s.log.Debug("an event of a share", "name", string(batch.Events[i].Name), "error", err)
			}
		}
	}
	return lines.Err()
}
