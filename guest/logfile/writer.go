package logfile

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"time"
)

// Writer appends to a log. It holds no buffer while nothing is being written: each Write ends with one write(2) of
// all the lines it completed, so that a follower sees them at once and a busy process still costs one system call
// for hundreds of lines. Safe for concurrent use.
//
// A log must never stop the process it belongs to: what cannot be written (a full disk) is dropped and counted, and
// the next write is tried again.
type Writer struct {
	path string

	mu      sync.Mutex // guards all below
	file    *os.File
	partial [2][]byte // of each stream, the line that has no newline yet
	torn    bool      // the file may end in half a record
	dropped uint64
}

// buffers hold encoded records while a Write runs.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// maxPooled bounds the buffers that are kept, in bytes.
const maxPooled = 256 << 10

// NewWriter opens the log at path for appending and makes it (mode 0640) when there is none.
func NewWriter(path string) (*Writer, error) {
	w := &Writer{path: path}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

// open opens path; a record that a power cut or kill left unfinished is closed off by a newline on the next write.
func (w *Writer) open() error {
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	w.file, w.torn = f, false
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		var last [1]byte
		_, err := f.ReadAt(last[:], info.Size()-1)
		w.torn = err != nil || last[0] != '\n'
	}
	return nil
}

// Write logs what a process wrote to stream s. Lines are recorded when their newline arrives; a line without one is
// held until it does, grows over MaxLine, or the Writer is closed.
func (w *Writer) Write(s Stream, p []byte) {
	if len(p) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return
	}
	bp := buffers.Get().(*[]byte)
	var stamp [80]byte
	tail := entryTail(stamp[:0], s, time.Now())
	out := (*bp)[:0]
	for len(p) > 0 {
		line, whole := p, false
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			line, whole = p[:i+1], true
		}
		p = p[len(line):]
		out = w.line(out, s, line, whole, tail)
	}
	w.put(out)
	if cap(out) <= maxPooled {
		*bp = out
	}
	buffers.Put(bp)
}

// line appends the records that line completes to out, and keeps the rest.
func (w *Writer) line(out []byte, s Stream, line []byte, whole bool, tail []byte) []byte {
	held := w.partial[s]
	if len(held) > 0 {
		held = append(held, line...)
		line = held
	}
	for len(line) > MaxLine+1 || len(line) == MaxLine+1 && !whole {
		n := cut(line)
		out = appendEntry(out, line[:n], tail)
		line = line[n:]
	}
	if whole {
		w.partial[s] = nil
		return appendEntry(out, line, tail)
	}
	w.partial[s] = append(held[:0], line...)
	return out
}

// put writes whole records. After an error it takes back what was written of them, so that the file never holds half
// a record, and drops them.
func (w *Writer) put(records []byte) {
	if len(records) == 0 {
		return
	}
	if w.torn {
		if _, err := w.file.Write([]byte{'\n'}); err != nil {
			w.dropped++
			return
		}
		w.torn = false
	}
	n, err := w.file.Write(records)
	if err == nil {
		return
	}
	w.dropped += uint64(bytes.Count(records[n:], []byte{'\n'}))
	if n == 0 || records[n-1] == '\n' {
		return
	}
	w.torn = true
	half := int64(n - 1 - bytes.LastIndexByte(records[:n], '\n'))
	if info, err := w.file.Stat(); err == nil && info.Size() >= half {
		w.torn = w.file.Truncate(info.Size()-half) != nil
	}
}

// Dropped is the number of entries that could not be written.
func (w *Writer) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Reopen opens the path again, after whoever rotates the log has moved the file away.
func (w *Writer) Reopen() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return os.ErrClosed
	}
	old, torn := w.file, w.torn
	if err := w.open(); err != nil {
		w.file, w.torn = old, torn
		return err
	}
	return old.Close()
}

// Close records the lines that never got their newline and closes the file. Writes after it are dropped; closing
// twice is harmless.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	var out []byte
	for s, held := range w.partial {
		if len(held) > 0 {
			out = appendEntry(out, held, entryTail(nil, Stream(s), time.Now()))
		}
	}
	w.put(out)
	err := w.file.Close()
	w.file, w.partial = nil, [2][]byte{}
	return err
}
