package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Reader reads a log forward, over all of its files. Not safe for concurrent use.
type Reader struct {
	path    string
	o       Options
	deliver func(Entry) error
	dec     decoder
	since   bool // the first entry at or after Options.Since is still to come

	now    *part  // the file that is being read, nil before the first
	offset int64  // of the next byte to read from it
	block  []byte // what is read at once lands here
	held   []byte // the beginning of a line whose end was not read yet
}

// blockSize is what is read at once, in bytes.
const blockSize = 64 << 10

// NewReader returns a Reader of the log at path, which need not exist yet. It gives what o asks for to deliver, oldest
// first; an error of that ends the reading and is returned. Lines that are not log entries, such as half of one that a
// full disk left, are passed over. The caller closes it.
func NewReader(path string, o Options, deliver func(Entry) error) *Reader {
	return &Reader{
		path: path, o: o, deliver: deliver, dec: decoder{attrs: o.Attrs}, since: !o.Since.IsZero(),
		block: make([]byte, blockSize),
	}
}

// Close closes the files.
func (r *Reader) Close() {
	if r.now != nil {
		r.now.close()
		r.now = nil
	}
}

// Read delivers what is in the log at the time of the call. A missing log is fs.ErrNotExist.
func Read(ctx context.Context, path string, o Options, deliver func(Entry) error) error {
	r := NewReader(path, o, deliver)
	defer r.Close()
	err := r.begin(ctx)
	if err == nil {
		err = r.drain(ctx, r.now.info.Size(), true)
	}
	return ignoreStop(err)
}

// errStop ends the reading early: Until has passed.
var errStop = errors.New("past the wanted entries")

func ignoreStop(err error) error {
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// CatchUp delivers everything between where the Reader stands and end, which lies in the log's present or next files.
// Nil is all that there is now.
func (r *Reader) CatchUp(ctx context.Context, end *Position) error {
	if r.now == nil {
		if err := r.begin(ctx); err != nil {
			return ignoreStop(err)
		}
	}
	return ignoreStop(r.catchUp(ctx, end, false))
}

// noEnd is drain's limit when there is none.
const noEnd = 1<<63 - 1

func (r *Reader) catchUp(ctx context.Context, end *Position, complete bool) error {
	for {
		if end != nil && inode(r.now.info) == end.Inode {
			return r.drain(ctx, end.Offset, false)
		}
		moved, err := r.moved() // asked first: what has moved away does not grow
		if err != nil {
			return err
		}
		if r.now.packed {
			err = r.unpack(ctx)
		} else {
			err = r.drain(ctx, noEnd, complete || moved)
		}
		if err != nil || !moved {
			return err
		}
		next, err := r.successor()
		if err != nil {
			return err
		}
		r.enter(next)
	}
}

// begin reads the older files as far as they are wanted, and stands in the current one.
func (r *Reader) begin(ctx context.Context) error {
	current, err := openPart(r.path, 0)
	if err != nil {
		return err
	}
	before, err := r.plan(current)
	if err == nil {
		err = r.readAll(ctx, before)
	}
	if err != nil {
		current.close()
		return err
	}
	r.enter(current)
	return nil
}

// enter makes p the file that is read.
func (r *Reader) enter(p *part) {
	r.Close()
	r.now, r.offset, r.held = p, p.offset, r.held[:0]
}

// readAll reads files that do not grow, and closes them.
func (r *Reader) readAll(ctx context.Context, parts []*part) (err error) {
	for i, p := range parts {
		r.enter(p)
		if p.packed {
			err = r.unpack(ctx)
		} else {
			err = r.drain(ctx, noEnd, true)
		}
		if err != nil {
			closeAll(parts[i+1:])
			return err
		}
	}
	return nil
}

// moved tells whether the path is another file by now. A log that was cut short is read from its beginning.
func (r *Reader) moved() (bool, error) {
	own, err := r.now.file.Stat()
	if err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	if own.Size() < r.offset && !r.now.packed {
		r.offset, r.held = 0, r.held[:0]
	}
	now, err := os.Stat(r.path)
	return err == nil && !os.SameFile(own, now), nil
}

// successor is the file that came after the one that is read: of all newer ones, the oldest.
func (r *Reader) successor() (*part, error) {
	current, err := openPart(r.path, 0)
	if err != nil {
		return nil, err
	}
	found, err := older(r.path, current, r.now.same)
	if err != nil {
		current.close()
		return nil, err
	}
	between := append([]*part{current}, found...)
	next := len(between) - 1
	closeAll(between[:next])
	return between[next], nil
}

// drain delivers all whole lines up to the present end of the file, or up to limit. At the end of a log that is
// complete an unfinished line is delivered too when it can be read.
func (r *Reader) drain(ctx context.Context, limit int64, complete bool) error {
	for ctx.Err() == nil {
		block := r.block[:min(int64(len(r.block)), max(0, limit-r.offset))]
		n, err := 0, io.EOF
		if len(block) > 0 {
			n, err = r.now.file.ReadAt(block, r.offset)
		}
		r.offset += int64(n)
		if err := r.split(block[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			return r.rest(complete)
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
	return ctx.Err()
}

// rest is the end of a file.
func (r *Reader) rest(complete bool) error {
	if !complete || len(r.held) == 0 {
		return nil
	}
	last := r.held
	r.held = nil
	return r.line(last)
}

// unpack delivers a packed file.
func (r *Reader) unpack(ctx context.Context) error {
	text, err := r.now.text()
	if err != nil {
		return err
	}
	skip := r.now.skip
	for ctx.Err() == nil {
		n, err := text.Read(r.block)
		p := r.block[:n]
		for ; skip > 0 && len(p) > 0; skip-- {
			i := bytes.IndexByte(p, '\n')
			if i < 0 {
				p = nil
				break
			}
			p = p[i+1:]
		}
		if err := r.split(p); err != nil {
			return err
		}
		if err == io.EOF {
			return r.rest(true)
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
	return ctx.Err()
}

func (r *Reader) split(p []byte) error {
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
func (r *Reader) line(line []byte) error {
	var e Entry
	if r.dec.decode(&e, line) != nil {
		return nil // not an entry: half of one, or somebody else's line
	}
	if r.since && e.Time.Before(r.o.Since) {
		return nil
	}
	r.since = false // as in Docker: times need not be in order
	if !r.o.Until.IsZero() && e.Time.After(r.o.Until) {
		return errStop
	}
	if e.Stream == Stdout && !r.o.Stdout || e.Stream == Stderr && !r.o.Stderr {
		return nil
	}
	return r.deliver(e)
}
