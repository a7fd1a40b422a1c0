package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"naru/guest/keeper/keeperapi"
	"naru/guest/logfile"
)

// AttachOptions say what to attach.
type AttachOptions struct {
	Stdin, Stdout, Stderr bool
	Stream                bool // the live streams
	Logs                  bool // first what was written so far
	Raw                   bool // stdout and stderr mixed, without Docker's frames, as over a WebSocket
	DetachKeys            string
}

// attachment is a client that waits for the start of a container's process, or has got its streams.
type attachment struct {
	want   keeperapi.Attach
	ready  chan *net.UnixConn // gets the keeper's stream once, or is closed
	client Stream             // set before the process can start, when it is known
	over   sync.Once
}

func (a *attachment) begin(stream *net.UnixConn) { a.ready <- stream }
func (a *attachment) abandon()                   { a.over.Do(func() { close(a.ready) }) }

// await lets a hear a process that is started next from its first byte on, beside the one that Start attaches.
func (a *attachment) await(ctx context.Context, k Keeper, id string) {
	want := a.want
	want.Await = true
	stream, _, err := k.Attach(ctx, id, want)
	if err != nil {
		a.abandon()
		return
	}
	a.begin(stream)
}

// attaching is one call of Attach.
type attaching struct {
	m    *Manager
	c    *Container
	o    AttachOptions
	keys []byte
	want keeperapi.Attach
}

// Attach connects a client with the streams of a container: at once when it runs, else from the first byte on when
// it is started. open turns the request into a stream; errors before that are the request's. Attach returns when the
// streams are over, and closes the client's.
func (m *Manager) Attach(ctx context.Context, ref string, o AttachOptions, open func() (Stream, error)) error {
	keys, err := detachKeys(o.DetachKeys)
	if err != nil {
		return invalid("Invalid detach keys (%s) provided", o.DetachKeys)
	}
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	s := &attaching{m: m, c: c, o: o, keys: keys}
	s.want = keeperapi.Attach{
		Stdin: o.Stdin && c.Config.OpenStdin, Stdout: o.Stdout, Stderr: o.Stderr, Framing: keeperapi.FramingFrames,
	}
	if s.raw() {
		s.want.Framing = keeperapi.FramingRaw
	}
	a, err := s.enlist(ctx, ref)
	if err != nil {
		return err
	}
	client, err := open()
	if err != nil {
		m.withdraw(c, a)
		return err
	}
	defer client.Close()
	if a != nil {
		c.mu.Lock()
		a.client = client
		c.mu.Unlock()
	}
	return s.serve(ctx, a, client)
}

func (s *attaching) raw() bool { return s.o.Raw || s.c.Config.Tty }

// attachable refuses a container that is gone, or in no state for it. c.mu is held.
func (s *attaching) attachable(ref string) error {
	if s.c.gone {
		return errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	return s.c.State.canAttach(ref)
}

// enlist makes the attachment: of the running process, or pending. It is nil for a client that wants no stream, or
// first the log of a container that runs.
func (s *attaching) enlist(ctx context.Context, ref string) (*attachment, error) {
	c := s.c
	a := &attachment{want: s.want, ready: make(chan *net.UnixConn, 1)}
	c.mu.Lock()
	err := s.attachable(ref)
	running := c.State.running()
	if err == nil && s.o.Stream && !running {
		c.pending = append(c.pending, a)
	}
	c.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case !s.o.Stream, running && s.o.Logs:
		return nil, nil
	case !running:
		return a, nil
	}
	stream, _, err := s.m.Keeper.Attach(ctx, c.ID, s.want)
	if err != nil {
		return nil, fmt.Errorf("attach to container %s: %w", c.ID[:12], err)
	}
	a.begin(stream)
	return a, nil
}

// serve gives the client the log, if it wants it, and the streams.
func (s *attaching) serve(ctx context.Context, a *attachment, client Stream) error {
	var stream *net.UnixConn
	if s.o.Logs {
		var err error
		if stream, err = s.logs(ctx, a, client); err != nil {
			s.m.withdraw(s.c, a)
			fmt.Fprintln(s.stdout(client), "Error attaching:", err)
			return nil
		}
	}
	s.m.emit(s.c, events.ActionAttach)
	if a != nil {
		stream = s.m.awaitStart(s.c, a)
	}
	if stream == nil {
		_ = client.CloseWrite()
		return nil
	}
	var in io.Reader = client
	if s.c.Config.Tty {
		in = &detacher{r: client, keys: s.keys}
	}
	if errors.Is(relay(client, in, stream, s.want.Stdin), errDetached) {
		s.m.emit(s.c, events.ActionDetach)
	}
	return nil
}

// logs writes the whole log up to now. Of a container that runs it returns the stream from exactly there on: while the
// log is written to a client that may be slow, more comes, so that it takes a second look, and a third with the mark
// that the keeper sets.
func (s *attaching) logs(ctx context.Context, a *attachment, client Stream) (*net.UnixConn, error) {
	path := s.c.logPath()
	if path == "" {
		return nil, errUnreadable
	}
	out := frameWriter{w: client, raw: s.raw()}
	r := logfile.NewReader(path, logfile.Options{Stdout: s.o.Stdout, Stderr: s.o.Stderr, Tail: logfile.All}, out.entry)
	defer r.Close()
	if err := ignoreMissing(r.CatchUp(ctx, nil)); err != nil || a != nil || !s.o.Stream {
		return nil, err
	}
	if err := ignoreMissing(r.CatchUp(ctx, nil)); err != nil {
		return nil, err
	}
	want := s.want
	want.Mark = true
	stream, mark, err := s.m.Keeper.Attach(ctx, s.c.ID, want)
	if keeperapi.IsNotFound(err) { // it has ended meanwhile
		return nil, ignoreMissing(r.CatchUp(ctx, nil))
	}
	if err != nil {
		return nil, err
	}
	if err := ignoreMissing(r.CatchUp(ctx, mark)); err != nil {
		stream.Close()
		return nil, err
	}
	return stream, nil
}

// stdout frames what we say ourselves.
func (s *attaching) stdout(client Stream) io.Writer {
	if s.raw() {
		return client
	}
	return framed{client}
}

// goneCheck is how often a client that waits for a start is looked at: nothing else tells that it has gone.
const goneCheck = 30 * time.Second

// awaitStart returns the keeper's stream once there is one, and nil when there will be none.
func (m *Manager) awaitStart(c *Container, a *attachment) *net.UnixConn {
	ticker := time.NewTicker(goneCheck)
	defer ticker.Stop()
	for {
		select {
		case stream := <-a.ready:
			return stream
		case <-ticker.C:
			if hungUp(a.client) {
				m.withdraw(c, a)
				return nil
			}
		}
	}
}

// withdraw takes an attachment back whose client has gone; nil is none.
func (m *Manager) withdraw(c *Container, a *attachment) {
	if a == nil {
		return
	}
	c.mu.Lock()
	n := len(c.pending)
	c.pending = slices.DeleteFunc(c.pending, func(p *attachment) bool { return p == a })
	pending := len(c.pending) < n
	c.mu.Unlock()
	if pending {
		return
	}
	if stream, ok := <-a.ready; ok {
		stream.Close()
	}
}

// takePending returns the streams that wait for a start, without those whose client has gone. c.mu is held.
func (c *Container) takePending() []*attachment {
	streams := c.pending
	c.pending = nil
	return slices.DeleteFunc(streams, func(a *attachment) bool {
		if a.client == nil || !hungUp(a.client) {
			return false
		}
		a.abandon()
		return true
	})
}

// Resize sets the size of a container's terminal.
func (m *Manager) Resize(ctx context.Context, ref string, rows, cols uint16) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	if r := c.snapshot(); !r.State.running() {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", c.ID))
	}
	if err := m.Keeper.Resize(ctx, c.ID, rows, cols); err != nil {
		return fmt.Errorf("resize container %s: %w", c.ID[:12], err)
	}
	m.emit(c, events.ActionResize, "height", fmt.Sprint(rows), "width", fmt.Sprint(cols))
	return nil
}

// Tty says whether a container has a terminal: its stream is raw then.
func (m *Manager) Tty(ref string) (bool, error) {
	c, err := m.find(ref)
	if err != nil {
		return false, err
	}
	return c.Config.Tty, nil
}
