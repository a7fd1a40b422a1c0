package keeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
)

// journal is the durable record of exits: a file of JSON lines, an exit or the forgetting of one each. Appends that
// come together share one fdatasync. The file is written anew, with only what is not forgotten, when it is opened and
// when it has grown.
type journal struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex // guards all below; never held while writing
	idle   *sync.Cond // no commit runs
	file   *os.File
	size   int64             // of the file, in bytes
	live   map[string][]byte // the line of each exit that is not forgotten
	next   *batch            // what the next commit writes
	commit bool              // a commit runs
}

// batch is what one commit writes.
type batch struct {
	lines []byte
	sync  bool          // somebody waits for it to be durable
	done  chan struct{} // closed after the commit
	err   error         // valid after done
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// journalLine is a line of the file.
type journalLine struct {
	Exit   *keeperapi.Exit `json:"exit,omitempty"`
	Forget string          `json:"forget,omitempty"`
}

// compactAt is the size in bytes from which on the file is written anew when most of it is forgotten.
const compactAt = 256 << 10

// openJournal reads what a former keeper recorded and nobody has forgotten.
func openJournal(path string, log *slog.Logger) (*journal, []keeperapi.Exit, error) {
	j := &journal{path: path, log: log, live: map[string][]byte{}, next: newBatch()}
	j.idle = sync.NewCond(&j.mu)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read exits: %w", err)
	}
	exits := j.replay(old)
	if err := j.rewrite(); err != nil {
		return nil, nil, err
	}
	return j, exits, nil
}

// replay passes over lines that are none: a power cut may leave half a line at the end.
func (j *journal) replay(file []byte) []keeperapi.Exit {
	found := map[string]keeperapi.Exit{}
	for line := range bytes.Lines(file) {
		var l journalLine
		if json.Unmarshal(line, &l) != nil {
			continue
		}
		if l.Exit != nil {
			found[l.Exit.ID], j.live[l.Exit.ID] = *l.Exit, append([]byte(nil), line...)
			continue
		}
		delete(found, l.Forget)
		delete(j.live, l.Forget)
	}
	exits := make([]keeperapi.Exit, 0, len(found))
	for _, e := range found {
		exits = append(exits, e)
	}
	return exits
}

// record returns when the exit is on disk.
func (j *journal) record(e keeperapi.Exit) error {
	line, err := json.Marshal(journalLine{Exit: &e})
	if err != nil {
		return fmt.Errorf("record exit: %w", err)
	}
	line = append(line, '\n')
	j.mu.Lock()
	j.live[e.ID] = line
	b := j.add(line, true)
	j.mu.Unlock()
	<-b.done
	return b.err
}

// forget drops an exit. It is not synced: an exit that comes back after a power cut is forgotten once more.
func (j *journal) forget(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, known := j.live[id]; !known {
		return
	}
	delete(j.live, id)
	line, err := json.Marshal(journalLine{Forget: id})
	if err == nil {
		j.add(append(line, '\n'), false)
	}
}

// add puts a line into the next batch and has it committed. mu is held.
func (j *journal) add(line []byte, sync bool) *batch {
	b := j.next
	b.lines = append(b.lines, line...)
	b.sync = b.sync || sync
	if !j.commit {
		j.commit = true
		go j.commitAll()
	}
	return b
}

// commitAll writes batches until there is none: while one is synced, the next one fills.
func (j *journal) commitAll() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.next.lines) > 0 {
		b := j.next
		j.next = newBatch()
		j.mu.Unlock()
		b.err = j.write(b)
		close(b.done)
		j.mu.Lock()
		if j.size > compactAt && j.size > 4*j.liveBytes() {
			if err := j.rewrite(); err != nil {
				j.log.Warn("compact exits", "error", err)
			}
		}
	}
	j.commit = false
	j.idle.Broadcast()
}

// write appends one batch. Only the committing goroutine calls it.
func (j *journal) write(b *batch) error {
	n, err := j.file.Write(b.lines)
	j.size += int64(n)
	if err == nil && b.sync {
		err = unix.Fdatasync(int(j.file.Fd()))
	}
	if err != nil {
		// Half a line must not swallow the next one.
		_, _ = j.file.Write([]byte{'\n'})
		return fmt.Errorf("record exit: %w", err)
	}
	return nil
}

func (j *journal) liveBytes() (n int64) {
	for _, line := range j.live {
		n += int64(len(line))
	}
	return n
}

// rewrite replaces the file by one with the live lines only. mu is held, or nobody else knows j yet.
func (j *journal) rewrite() error {
	var lines []byte
	for _, line := range j.live {
		lines = append(lines, line...)
	}
	f, err := replaceFile(j.path, lines)
	if err != nil {
		return fmt.Errorf("write exits: %w", err)
	}
	// Room for exits while the disk is full; not every file system can.
	_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, compactAt/4)
	if j.file != nil {
		_ = j.file.Close()
	}
	j.file, j.size = f, int64(len(lines))
	return nil
}

// replaceFile writes a file whole and durably, and returns it open for appending.
func replaceFile(path string, data []byte) (*os.File, error) {
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// close waits for the commit that runs.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.commit {
		j.idle.Wait()
	}
	_ = j.file.Close()
}
