package container

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"naru/guest/logfile"
)

// LogOptions say which part of a log, and whether to wait for more.
type LogOptions struct {
	Stdout, Stderr bool
	Follow         bool
	Timestamps     bool
	Tail           int // entries; negative for all
	Since, Until   time.Time
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
		return nil, invalid("Bad parameters: you must choose at least one stream")
	}
	path := c.logPath()
	if path == "" {
		return nil, errdefs.ErrNotImplemented.WithMessage("configured logging driver does not support reading")
	}
	return &LogFile{c.Config.Tty, m, c, path, o}, nil
}

// Write writes the log. Following, it returns when the container has ended, and its log with it, or ctx ends.
func (l *LogFile) Write(ctx context.Context, w io.Writer) error {
	o := logfile.Options{
		Stdout: l.o.Stdout, Stderr: l.o.Stderr, Tail: l.o.Tail, Since: l.o.Since, Until: l.o.Until,
		Timestamps: l.o.Timestamps, Follow: l.o.Follow,
	}
	if l.o.Follow {
		done, stop := l.c.followUntil(l.m)
		defer stop()
		o.Done = done
	} else if _, err := os.Stat(l.path); os.IsNotExist(err) {
		return nil // never started
	}
	out := frameWriter{w: w, raw: l.Tty}
	if err := logfile.Read(ctx, l.path, o, out.entry); err != nil && ctx.Err() == nil {
		return fmt.Errorf("logs of container %s: %w", l.c.ID[:12], err)
	}
	return nil
}

// followUntil returns a channel that is closed when the container does not run and will not run again by itself.
func (c *Container) followUntil(m *Manager) (done <-chan struct{}, stop func()) {
	ended, quit := make(chan struct{}), make(chan struct{})
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

// frameWriter writes log entries as a client of attach expects them.
type frameWriter struct {
	w   io.Writer
	raw bool
	buf []byte
}

func (f *frameWriter) entry(e logfile.Entry) error {
	f.buf = f.buf[:0]
	if !f.raw {
		f.buf = append(f.buf, byte(e.Stream)+1, 0, 0, 0)
		f.buf = binary.BigEndian.AppendUint32(f.buf, uint32(len(e.Line)))
	}
	f.buf = append(f.buf, e.Line...)
	_, err := f.w.Write(f.buf)
	return err
}

// logsSoFar writes the whole log up to now, for an attach that asks for it.
func (m *Manager) logsSoFar(ctx context.Context, c *Container, o AttachOptions, w io.Writer) error {
	l, err := m.Logs(c.ID, LogOptions{Stdout: o.Stdout, Stderr: o.Stderr, Tail: logfile.All})
	if errdefs.IsNotImplemented(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.Write(ctx, w)
}
