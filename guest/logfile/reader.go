package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Read delivers the entries of the log at path that o asks for, oldest first, and returns when there are no more, or,
// with o.Follow, when the log's writer has ended (o.Done), o.Until has passed or ctx ends. An error of deliver stops
// it and is returned. A missing log is fs.ErrNotExist unless followed. Lines that are not log entries, such as half of
// one that a full disk left, are passed over.
func Read(ctx context.Context, path string, o Options, deliver func(Entry) error) error {
	r := &reader{path: path, o: o, deliver: deliver}
	defer r.close()
	if o.Follow {
		return r.follow(ctx)
	}
	if err := r.open(); err != nil {
		return err
	}
	return ignoreStop(r.drain(ctx, true))
}

// errStop ends the reading early: Until has passed.
var errStop = errors.New("past the wanted entries")

func ignoreStop(err error) error {
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// blockSize is what is read at once, in bytes.
const blockSize = 64 << 10

// reader reads one log file forward and keeps the bytes of an unfinished last line.
type reader struct {
	path    string
	o       Options
	deliver func(Entry) error

	file    *os.File
	offset  int64  // of the next byte to read from file
	block   []byte // what is read at once lands here
	held    []byte // the beginning of a line whose end was not read yet
	scratch []byte // the decoded text
	stamped []byte // the text with its timestamp
}

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close()
	}
}

// open opens the log and stands at the first entry of the wanted tail.
func (r *reader) open() error {
	f, err := os.Open(r.path)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	r.file = f
	if r.block == nil {
		r.block = make([]byte, blockSize)
	}
	if r.o.Tail < 0 {
		return nil
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	r.offset, err = tailOffset(f, size, r.o.Tail, r.block)
	return err
}

// tailOffset is where the last n lines of the first size bytes begin. It reads backwards, block by block, and only as
// far as it must. An unfinished line at the end does not count: it comes in addition.
func tailOffset(f io.ReaderAt, size int64, n int, block []byte) (int64, error) {
	end := size
	for end > 0 {
		from := max(0, end-int64(len(block)))
		p := block[:end-from]
		if _, err := f.ReadAt(p, from); err != nil {
			return 0, fmt.Errorf("read log: %w", err)
		}
		for {
			i := bytes.LastIndexByte(p, '\n')
			if i < 0 {
				break
			}
			if n == 0 {
				return from + int64(i) + 1, nil
			}
			n--
			p = p[:i]
		}
		end = from
	}
	return 0, nil
}

// drain delivers all whole lines up to the present end of the file. At the end of a log that is complete an
// unfinished line is delivered too when it can be read.
func (r *reader) drain(ctx context.Context, complete bool) error {
	for ctx.Err() == nil {
		n, err := r.file.ReadAt(r.block, r.offset)
		r.offset += int64(n)
		if err := r.split(r.block[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			if complete && len(r.held) > 0 {
				last := r.held
				r.held = nil
				return r.line(last)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
	return ctx.Err()
}

func (r *reader) split(p []byte) error {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			r.held = append(r.held, p...)
			return nil
		}
		line := p[:i]
		p = p[i+1:]
		if len(r.held) > 0 {
			r.held = append(r.held, line...)
			line = r.held
		}
		if err := r.line(line); err != nil {
			return err
		}
		r.held = r.held[:0]
	}
}

// line delivers one line of the file if it is wanted.
func (r *reader) line(line []byte) error {
	var e Entry
	var err error
	if r.scratch, err = decode(&e, line, r.scratch); err != nil {
		return nil // not an entry: half of one, or somebody else's line
	}
	if e.Time.Before(r.o.Since) {
		return nil
	}
	if !r.o.Until.IsZero() && e.Time.After(r.o.Until) {
		return errStop
	}
	if e.Stream == Stdout && !r.o.Stdout || e.Stream == Stderr && !r.o.Stderr {
		return nil
	}
	if r.o.Timestamps {
		r.stamped = append(e.Time.AppendFormat(r.stamped[:0], TimeFormat), ' ')
		r.stamped = append(r.stamped, e.Line...)
		e.Line = r.stamped
	}
	return r.deliver(e)
}

// follow reads on as the log grows. The watch is set before the reading, so that no change falls in between.
func (r *reader) follow(ctx context.Context) error {
	w, err := newWatch(r.path)
	if err != nil {
		return err
	}
	defer w.close()
	defer w.wakeOn(ctx, r.o.Done)()
	for {
		complete := isDone(r.o.Done)
		if err := r.step(ctx, complete); err != nil || complete {
			return ignoreStop(err)
		}
		if !r.o.Until.IsZero() && !time.Now().Before(r.o.Until) {
			return nil
		}
		if isDone(r.o.Done) {
			continue
		}
		if err := w.wait(r.o.Until); err != nil {
			return err
		}
	}
}

// step delivers what there is now. A log that was moved away and made anew is read to its end, then the new one from
// its beginning; one that was cut short is read from its beginning.
func (r *reader) step(ctx context.Context, complete bool) error {
	if r.file == nil {
		err := r.open()
		if errors.Is(err, fs.ErrNotExist) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	own, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if own.Size() < r.offset {
		r.offset, r.held = 0, r.held[:0]
	}
	now, err := os.Stat(r.path)
	moved := err == nil && !os.SameFile(own, now)
	if err := r.drain(ctx, complete || moved); err != nil || !moved {
		return err
	}
	r.close()
	r.file, r.offset, r.o.Tail = nil, 0, All
	return r.step(ctx, complete)
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
