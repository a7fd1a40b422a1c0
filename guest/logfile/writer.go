package logfile

import (
	"bytes"
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
	enc   *encoder // used with mu held
	files *appender
	ring  *ring // nil when a Write waits for the disk

	mu      sync.Mutex // guards all below
	closed  bool
	partial [2][]byte    // of each stream, the line that has no newline yet
	began   [2]time.Time // of each stream, when the first piece of a long line was written; zero in between
	last    time.Time    // of the last record
}

// buffers hold encoded records while a Write runs.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// maxPooled bounds the buffers that are kept, in bytes.
const maxPooled = 256 << 10

// NewWriter opens the log at path for appending and makes it (mode 0640) when there is none.
func NewWriter(path string, c Config) (*Writer, error) {
	files, err := openAppender(path, c)
	if err != nil {
		return nil, err
	}
	w := &Writer{enc: newEncoder(c), files: files}
	if c.Buffer > 0 {
		w.ring = newRing(c.Buffer, files)
	}
	return w, nil
}

// Write logs what a process wrote to stream s. Lines are recorded when their newline arrives; a line without one is
// held until it does, grows over MaxLine, or the Writer is closed.
func (w *Writer) Write(s Stream, p []byte) {
	if len(p) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	bp := buffers.Get().(*[]byte)
	now := time.Now()
	out := (*bp)[:0]
	for len(p) > 0 {
		line, whole := p, false
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			line, whole = p[:i+1], true
		}
		p = p[len(line):]
		out = w.line(out, s, line, whole, now)
	}
	w.put(out)
	if cap(out) <= maxPooled {
		*bp = out
	}
	buffers.Put(bp)
}

// line appends the records that line completes to out, and keeps the rest.
func (w *Writer) line(out []byte, s Stream, line []byte, whole bool, now time.Time) []byte {
	held := w.partial[s]
	if len(held) > 0 {
		held = append(held, line...)
		line = held
	}
	for len(line) > MaxLine+1 || len(line) == MaxLine+1 && !whole {
		n := cut(line)
		out = w.record(out, s, line[:n], now, false)
		line = line[n:]
	}
	if whole {
		w.partial[s] = nil
		return w.record(out, s, line, now, true)
	}
	w.partial[s] = append(held[:0], line...)
	return out
}

// record appends one record. All pieces of a line have the time of the first, as in Docker, but for the nanosecond
// by which stamp tells them apart.
func (w *Writer) record(out []byte, s Stream, line []byte, now time.Time, last bool) []byte {
	when := now
	if began := &w.began[s]; !began.IsZero() {
		when = *began
	} else if !last {
		*began = now
	}
	if last {
		w.began[s] = time.Time{}
		when = w.stamp(when)
	} else {
		w.began[s] = w.stamp(when)
		when = w.began[s]
	}
	return w.enc.append(out, s, when, line)
}

// clockStep is how far the clock may go back and still be taken for the jitter that stamp hides.
const clockStep = time.Second

// stamp makes times of records unique: lines that arrive together differ by a nanosecond. Readers tell files, and
// clients that connect again the lines that they know, by that.
func (w *Writer) stamp(t time.Time) time.Time {
	t = t.Round(0)
	if back := w.last.Sub(t); back >= 0 && back < clockStep {
		t = w.last.Add(1)
	}
	w.last = t
	return t
}

// put takes whole records.
func (w *Writer) put(records []byte) {
	switch {
	case len(records) == 0:
	case w.ring != nil:
		w.ring.add(records)
	default:
		w.files.write(records)
	}
}

// Dropped is the number of entries that could not be written.
func (w *Writer) Dropped() uint64 {
	n := w.files.lost()
	if w.ring != nil {
		n += w.ring.lost()
	}
	return n
}

// Mark tells where the next record will be, and hands over the lines of both streams that have no newline yet: they
// are in no record. With a Buffer the place is that of what was written so far.
func (w *Writer) Mark() (p Position, partial [2][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s, held := range w.partial {
		partial[s] = bytes.Clone(held)
	}
	return w.files.position(), partial
}

// Close records the lines that never got their newline and closes the file. Writes after it are dropped; closing
// twice is harmless.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	var out []byte
	for s, held := range w.partial {
		if len(held) > 0 {
			out = w.record(out, Stream(s), held, time.Now(), true)
		}
	}
	w.partial = [2][]byte{}
	w.put(out)
	if w.ring != nil {
		w.ring.close()
	}
	return w.files.close()
}
