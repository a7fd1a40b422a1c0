// Package journal is the engine's memory of what it acknowledged: containers, networks, volumes and image use.
//
// It is a map (kind, id) → JSON held in memory and in one append-only file. A record is written whole before a call
// returns, so that a `kill -9` of the engine loses nothing; a durable one is also on the disk, and many writers share
// one fdatasync. A power cut can tear the tail, never what was synced before it: Open cuts the tail off.
//
//	record: length of payload (4 bytes, little-endian), CRC-32C of payload (4 bytes), payload (JSON)
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"golang.org/x/sys/unix"
)

// Store is what the owners of persistent objects ask of a journal.
type Store interface {
	// Put records v as (kind, id), replacing what was there. With durable it returns only when a power cut cannot
	// undo it; without, when the death of this process cannot.
	Put(kind, id string, v any, durable bool) error
	// Delete removes (kind, id); removing what is not there is no error.
	Delete(kind, id string, durable bool) error
	// Each calls f for every object of the kind, in the order of their ids, and stops at the first error. f may
	// call Put and Delete, and must not keep raw.
	Each(kind string, f func(id string, raw json.RawMessage) error) error
}

// compactAbove is the file size in bytes below which garbage is not worth rewriting the file.
const compactAbove = 1 << 20

// ErrClosed is returned by every call after Close.
var ErrClosed = errors.New("journal is closed")

type key struct{ kind, id string }

type entry struct {
	raw  json.RawMessage
	size int64 // of its record in the file
}

// Journal is a Store in a file. Safe for concurrent use.
type Journal struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex // guards all below
	changed *sync.Cond // a sync ended
	file    *os.File
	size    int64 // of the file
	room    int64 // where the disk space that is set aside for the file ends
	live    int64 // bytes of it that are not garbage
	entries map[key]entry
	written uint64 // records written, by number
	synced  uint64 // records known to be on the disk
	syncing bool   // one caller is in fdatasync, without mu
	broken  error  // set for good: after a failed fdatasync nobody knows what the disk holds
}

// Open reads the journal at path, making it if there is none. Only one process can hold it open. The caller closes it.
func Open(path string, log *slog.Logger) (*Journal, error) {
	file, err := openLocked(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{path: path, log: log, file: file, entries: map[key]entry{}}
	j.changed = sync.NewCond(&j.mu)
	err = j.load()
	if err == nil {
		err = syncDir(filepath.Dir(path)) // it may be new
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("load journal %s: %w", path, err)
	}
	return j, nil
}

func openLocked(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another engine", path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}

// Put implements Store.
func (j *Journal) Put(kind, id string, v any, durable bool) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("journal %s %s: %w", kind, id, err)
	}
	return j.write(record{Kind: kind, ID: id, Value: raw}, durable)
}

// Delete implements Store.
func (j *Journal) Delete(kind, id string, durable bool) error {
	return j.write(record{Kind: kind, ID: id, Deleted: true}, durable)
}

// Each implements Store.
func (j *Journal) Each(kind string, f func(id string, raw json.RawMessage) error) error {
	type item struct {
		id  string
		raw json.RawMessage
	}
	var items []item
	j.mu.Lock()
	for k, e := range j.entries {
		if k.kind == kind {
			items = append(items, item{k.id, e.raw})
		}
	}
	j.mu.Unlock()
	sort.Slice(items, func(a, b int) bool { return items[a].id < items[b].id })
	for _, it := range items {
		if err := f(it.id, it.raw); err != nil {
			return err
		}
	}
	return nil
}

// Close syncs and closes the file. Idempotent.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.syncTo(j.written)
	return errors.Join(err, j.closeFile())
}

func (j *Journal) closeFile() error {
	file := j.file
	j.file = nil
	j.changed.Broadcast()
	if err := file.Close(); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

func (j *Journal) write(r record, durable bool) error {
	data, err := r.encode()
	if err != nil {
		return fmt.Errorf("journal %s %s: %w", r.Kind, r.ID, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	_, known := j.entries[key{r.Kind, r.ID}]
	if r.Deleted && !known {
		return nil
	}
	if err := j.makeRoom(); err != nil && !known {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := j.append(data); err != nil {
		return err
	}
	j.apply(r, int64(len(data)))
	if j.size > compactAbove && j.size > 2*j.live && !j.syncing {
		if err := j.compact(); err != nil { // the old file is still whole, and holds this record
			j.log.Warn("compact journal", "error", err)
		}
	}
	if !durable {
		return nil
	}
	return j.syncTo(j.written)
}

func (j *Journal) usable() error {
	if j.broken != nil {
		return j.broken
	}
	if j.file == nil {
		return ErrClosed
	}
	return nil
}

// roomAhead is how many bytes are set aside beyond the end. New objects may use one half of it, changes and deletions all:
// on a full disk it is they that make room.
const roomAhead = 128 << 10

// makeRoom sets disk space aside. It fails only when there is none; a file system that cannot is no error.
func (j *Journal) makeRoom() error {
	if j.room-j.size > roomAhead/2 {
		return nil
	}
	err := unix.Fallocate(int(j.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, j.size, roomAhead)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return err
	}
	j.room = j.size + roomAhead
	return nil
}

// append writes one record at the end. A part of it (full disk) is cut off again, or would hide all that follow.
func (j *Journal) append(data []byte) error {
	if _, err := j.file.WriteAt(data, j.size); err != nil {
		j.room = j.size // also gives back what was set aside
		if cut := j.file.Truncate(j.size); cut != nil {
			j.broken = fmt.Errorf("journal has a torn record: %w", cut)
		}
		return fmt.Errorf("write journal: %w", err)
	}
	j.size += int64(len(data))
	j.written++
	return nil
}

// apply takes a record of size bytes into the map.
func (j *Journal) apply(r record, size int64) {
	k := key{r.Kind, r.ID}
	j.live -= j.entries[k].size
	if r.Deleted {
		delete(j.entries, k)
		return
	}
	j.entries[k] = entry{r.Value, size}
	j.live += size
}

// syncTo returns when record n is on the disk. The first caller syncs for all that wrote before it began; the others
// wait, and one of those that came too late for that round does the next. mu is held, and released meanwhile.
func (j *Journal) syncTo(n uint64) error {
	for j.synced < n {
		if err := j.usable(); err != nil {
			return err
		}
		if j.syncing {
			j.changed.Wait()
			continue
		}
		j.syncing = true
		file, upTo := j.file, j.written
		j.mu.Unlock()
		err := unix.Fdatasync(int(file.Fd()))
		j.mu.Lock()
		j.syncing = false
		if err != nil {
			j.broken = fmt.Errorf("sync journal: %w", err)
		} else {
			j.synced = max(j.synced, upTo)
		}
		j.changed.Broadcast()
	}
	return nil
}
