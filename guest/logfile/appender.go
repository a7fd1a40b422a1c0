package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// appender writes records to the files of a log and rotates them.
//
// A rotation makes the next file under another name first, so that a full disk leaves everything as it is; then the
// older files move up by one, the oldest of them first; then the current one gets its number beside its name; then
// the next one takes its name. At no moment is there no file at path.
type appender struct {
	path string
	c    Config

	mu      sync.Mutex // guards all below, and the names of the files
	file    *os.File   // nil when closed
	size    int64
	torn    bool // the file may end in half a record
	dropped uint64
	oldest  int  // the highest number of a file
	packing bool // a goroutine of pack is at work
	closing bool // it must end
	packers sync.WaitGroup
}

const (
	packedSuffix = ".gz"
	nextSuffix   = ".new"    // of the file that a rotation makes
	packSuffix   = ".gz.new" // of the file that pack makes
)

func rotated(path string, i int) string {
	if i == 0 {
		return path
	}
	return path + "." + strconv.Itoa(i)
}

func openAppender(path string, c Config) (*appender, error) {
	a := &appender{path: path, c: c, oldest: oldest(path)}
	for _, left := range []string{nextSuffix, packSuffix} { // of a keeper that was killed
		_ = os.Remove(path + left)
	}
	if err := a.open(); err != nil {
		return nil, err
	}
	if one, err := os.Stat(rotated(path, 1)); err == nil { // killed before the next file took the name
		if own, err := a.file.Stat(); err == nil && os.SameFile(one, own) {
			_ = os.Remove(rotated(path, 1))
		}
	}
	return a, nil
}

// open opens path; a record that a power cut or kill left unfinished is closed off by a newline on the next write.
func (a *appender) open() error {
	f, err := os.OpenFile(a.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	a.file, a.torn, a.size = f, false, 0
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		a.size = info.Size()
		var last [1]byte
		_, err := f.ReadAt(last[:], info.Size()-1)
		a.torn = err != nil || last[0] != '\n'
	}
	return nil
}

// write appends whole records, and rotates in between where it must.
func (a *appender) write(records []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return
	}
	for len(records) > 0 {
		n := len(records)
		if a.full() && a.rotate() == nil || !a.full() {
			n = a.room(records)
		} // else it cannot be rotated now: it grows
		a.append(records[:n])
		records = records[n:]
	}
}

func (a *appender) full() bool { return a.c.MaxSize > 0 && a.size >= a.c.MaxSize }

// room is how much of records goes into the file: as in Docker up to the record that fills it.
func (a *appender) room(records []byte) int {
	free := a.c.MaxSize - a.size
	if a.c.MaxSize <= 0 || int64(len(records)) <= free {
		return len(records)
	}
	return int(free) + bytes.IndexByte(records[free-1:], '\n')
}

// append writes whole records. After an error it takes back what was written of them, so that the file never holds
// half a record, and drops them.
func (a *appender) append(records []byte) {
	if a.torn {
		if _, err := a.file.Write([]byte{'\n'}); err != nil {
			a.dropped++
			return
		}
		a.torn = false
		a.size++
	}
	n, err := a.file.Write(records)
	a.size += int64(n)
	if err == nil {
		return
	}
	a.dropped += uint64(bytes.Count(records[n:], []byte{'\n'}))
	if n == 0 || records[n-1] == '\n' {
		return
	}
	a.torn = true
	half := int64(n - 1 - bytes.LastIndexByte(records[:n], '\n'))
	if info, err := a.file.Stat(); err == nil && info.Size() >= half {
		if a.torn = a.file.Truncate(info.Size()-half) != nil; !a.torn {
			a.size -= half
		}
	}
}

// rotate begins the next file. After an error the present one stays.
func (a *appender) rotate() error {
	next, err := os.OpenFile(a.path+nextSuffix, os.O_RDWR|os.O_CREATE|os.O_APPEND|os.O_TRUNC, 0o640)
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	if err = a.shift(); err == nil {
		err = os.Rename(a.path+nextSuffix, a.path)
	}
	if err != nil {
		_ = next.Close()
		_ = os.Remove(a.path + nextSuffix)
		return fmt.Errorf("rotate log: %w", err)
	}
	_ = a.file.Close() // every write was checked
	a.file, a.size, a.torn = next, 0, false
	if a.c.Compress && a.c.MaxFiles > 1 && !a.packing {
		a.packing = true
		a.packers.Go(a.pack)
	}
	return nil
}

// shift moves the older files up by one and gives the current one the number 1 too. The oldest goes.
func (a *appender) shift() error {
	if a.c.MaxFiles < 2 {
		return nil
	}
	last := min(a.oldest, a.c.MaxFiles-1)
	for i := last; i > 0; i-- {
		for _, suffix := range []string{"", packedSuffix} {
			from := rotated(a.path, i) + suffix
			var err error
			if i == a.c.MaxFiles-1 {
				err = os.Remove(from)
			} else {
				err = os.Rename(from, rotated(a.path, i+1)+suffix)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	a.oldest = min(last+1, a.c.MaxFiles-1)
	return os.Link(a.path, rotated(a.path, 1))
}

func (a *appender) lost() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dropped
}

func (a *appender) position() (p Position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return p
	}
	info, err := a.file.Stat()
	if err != nil {
		return p
	}
	return Position{Inode: inode(info), Offset: info.Size()}
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// close waits for pack to give up what it is at; the next Writer of this log does it again.
func (a *appender) close() error {
	a.mu.Lock()
	a.closing = true
	f := a.file
	a.file = nil
	a.mu.Unlock()
	a.packers.Wait()
	if f == nil {
		return nil
	}
	return f.Close()
}
