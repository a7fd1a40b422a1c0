package container

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"naru/guest/logfile"
)

// errUnreadable is for the log driver none.
var errUnreadable = errdefs.ErrNotImplemented.WithMessage("configured logging driver does not support reading")

// LogOptions say which part of a log, in which form, and whether to wait for more.
type LogOptions struct {
	Stdout, Stderr bool
	Follow         bool
	Timestamps     bool
	Details        bool // the attributes that the log driver's options chose
	// JSON, if not nil, writes an entry as an object; else it is written as text, in frames.
	JSON         func(io.Writer) func(v any) error
	Tail         int // entries; negative for all
	Since, Until time.Time
}

// LogFile describes a container's log before any of it is written to the client.
type LogFile struct {
	Tty  bool // raw bytes; else Docker's frames
	m    *Manager
	c    *Container
	path string
	o    LogOptions
}

// Logs checks the wish and returns what Write will write.
func (m *Manager) Logs(ref string, o LogOptions) (*LogFile, error) {
	c, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	if !o.Stdout && !o.Stderr {
		return nil, invalid("must specify at least one of 'stdout' or 'stderr'")
	}
	switch c.snapshot().State.Status {
	case container.StateRemoving, container.StateDead:
		return nil, errdefs.ErrConflict.WithMessage("can not get logs from container which is dead or marked for removal")
	}
	path := c.logPath()
	if path == "" {
		return nil, errUnreadable
	}
	return &LogFile{c.Config.Tty, m, c, path, o}, nil
}

// Write writes the log, and calls flush whenever there is nothing more for now. Following, it returns when the
// container has ended, and its log with it, or ctx ends. What was not read yet is in the file: a slow client costs no
// memory and misses nothing.
func (l *LogFile) Write(ctx context.Context, w io.Writer, flush func() error) error {
	buffered := bufio.NewWriterSize(w, logBlock)
	o := logfile.Options{
		Stdout: l.o.Stdout, Stderr: l.o.Stderr, Tail: l.o.Tail, Since: l.o.Since, Until: l.o.Until, Attrs: l.o.Details,
		Idle: func() error { return errors.Join(buffered.Flush(), flush()) },
	}
	deliver := (&frameWriter{w: buffered, raw: l.Tty, timestamps: l.o.Timestamps, details: l.o.Details}).entry
	if l.o.JSON != nil {
		deliver = (&jsonWriter{encode: l.o.JSON(buffered), details: l.o.Details}).entry
	}
	err := l.read(ctx, o, deliver)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("logs of container %s: %w", l.c.ID[:12], err)
	}
	return o.Idle()
}

// logBlock is how much of a log is written to a client at once, in bytes.
const logBlock = 32 << 10

func (l *LogFile) read(ctx context.Context, o logfile.Options, deliver func(logfile.Entry) error) error {
	if !l.o.Follow {
		return ignoreMissing(logfile.Read(ctx, l.path, o, deliver))
	}
	done, stop := l.c.followUntil(l.m)
	defer stop()
	if isClosed(done) { // as in Docker: there is nothing to follow
		return ignoreMissing(logfile.Read(ctx, l.path, o, deliver))
	}
	r := logfile.NewReader(l.path, o, deliver)
	defer r.Close()
	return r.Follow(ctx, done)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// ignoreMissing makes a container that never ran one with an empty log.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// followUntil returns a channel that is closed when the container does not run and will not run again by itself.
func (c *Container) followUntil(m *Manager) (done <-chan struct{}, stop func()) {
	ended, quit := make(chan struct{}), make(chan struct{})
	c.mu.Lock()
	alive := c.State.alive()
	c.mu.Unlock()
	if !alive {
		close(ended)
		return ended, func() {}
	}
	go func() {
		defer close(ended)
		for {
			c.mu.Lock()
			if !c.State.alive() {
				c.mu.Unlock()
				return
			}
			told := c.wait(container.WaitConditionNextExit)
			c.mu.Unlock()
			select {
			case <-told:
			case <-quit:
				c.unwait(told)
				return
			case <-m.life.Done():
				return
			}
		}
	}()
	return ended, func() { close(quit) }
}

// frameWriter writes log entries as a client of attach expects them: one frame an entry.
type frameWriter struct {
	w                   io.Writer
	raw                 bool
	timestamps, details bool
	buf                 []byte
}

func (f *frameWriter) entry(e logfile.Entry) error {
	const head = 8
	f.buf = f.buf[:0]
	if !f.raw {
		f.buf = append(f.buf, byte(e.Stream)+1, 0, 0, 0, 0, 0, 0, 0)
	}
	if f.timestamps {
		f.buf = append(e.Time.AppendFormat(f.buf, logfile.TimeFormat), ' ')
	}
	if f.details {
		f.buf = append(append(f.buf, logfile.AttrsText(e.Attrs)...), ' ')
	}
	f.buf = append(f.buf, e.Line...)
	if !f.raw {
		binary.BigEndian.PutUint32(f.buf[head-4:], uint32(len(f.buf)-head))
	}
	_, err := f.w.Write(f.buf)
	return err
}

// jsonWriter writes log entries as objects, the form that API 1.54 has begun.
type jsonWriter struct {
	encode  func(v any) error
	details bool
}

// logMessage is an entry in that form.
type logMessage struct {
	Line      string    `json:",omitempty"`
	Source    string    `json:",omitempty"`
	Timestamp time.Time `json:",omitempty"`
	Attrs     []logAttr `json:",omitempty"`
}

type logAttr struct{ Key, Value string }

func (j *jsonWriter) entry(e logfile.Entry) error {
	m := logMessage{Line: string(e.Line), Source: e.Stream.String(), Timestamp: e.Time}
	if j.details {
		for k, v := range e.Attrs {
			m.Attrs = append(m.Attrs, logAttr{k, v})
		}
		slices.SortFunc(m.Attrs, func(a, b logAttr) int { return strings.Compare(a.Key, b.Key) })
	}
	return j.encode(m)
}
