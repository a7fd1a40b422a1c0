package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
)

// Stream is a client's connection once it is no HTTP any more. CloseWrite tells the client that the output is over.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// AttachOptions say what to attach.
type AttachOptions struct {
	Stdin, Stdout, Stderr bool
	Stream                bool // the live streams
	Logs                  bool // first what was written so far
	DetachKeys            string
}

// attachment is a client that waits for the start of a container's process, or has got its streams.
type attachment struct {
	want   keeperapi.Attach
	ready  chan *net.UnixConn // gets the keeper's stream once, or is closed
	client Stream             // set before the process can start, when it is known
}

func (a *attachment) begin(stream *net.UnixConn) { a.ready <- stream }
func (a *attachment) abandon()                   { close(a.ready) }

// join gives a the streams of a process that runs already.
func (a *attachment) join(ctx context.Context, k Keeper, id string) {
	stream, err := k.Attach(ctx, id, a.want)
	if err != nil { // it has ended: there is nothing to see
		a.abandon()
		return
	}
	a.begin(stream)
}

// Attach connects a client with the streams of a container: at once when it runs, else from the first byte on when
// it is started. open turns the request into a stream; errors before that are the request's. Attach returns when the
// streams are over, and closes the client's.
func (m *Manager) Attach(ctx context.Context, ref string, o AttachOptions, open func() (Stream, error)) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	keys, err := detachKeys(o.DetachKeys)
	if err != nil {
		return err
	}
	c.mu.Lock()
	err = c.State.canAttach(ref)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if o.Stream {
		a, err := m.enlist(ctx, c, o)
		if err != nil {
			return err
		}
		return m.attach(ctx, c, a, o, keys, open)
	}
	client, err := open()
	if err != nil {
		return err
	}
	defer client.Close()
	if o.Logs {
		return m.logsSoFar(ctx, c, o, client)
	}
	return nil
}

// enlist makes the attachment: of the running process, or pending.
func (m *Manager) enlist(ctx context.Context, c *Container, o AttachOptions) (*attachment, error) {
	a := &attachment{
		want:  keeperapi.Attach{Stdin: o.Stdin && c.Config.OpenStdin, Stdout: o.Stdout, Stderr: o.Stderr},
		ready: make(chan *net.UnixConn, 1),
	}
	c.mu.Lock()
	switch {
	case c.gone:
		c.mu.Unlock()
		return nil, errdefs.ErrNotFound.WithMessage("No such container: " + c.ID)
	case !c.State.running():
		c.pending = append(c.pending, a)
		c.mu.Unlock()
		return a, nil
	}
	c.mu.Unlock()
	stream, err := m.Keeper.Attach(ctx, c.ID, a.want)
	if err != nil {
		return nil, fmt.Errorf("attach to container %s: %w", c.ID[:12], err)
	}
	a.begin(stream)
	return a, nil
}

func (m *Manager) attach(ctx context.Context, c *Container, a *attachment, o AttachOptions, keys []byte, open func() (Stream, error)) error {
	client, err := open()
	if err != nil {
		m.withdraw(c, a)
		return err
	}
	defer client.Close()
	c.mu.Lock()
	a.client = client
	c.mu.Unlock()
	m.emit(c, events.ActionAttach)
	if o.Logs {
		if err := m.logsSoFar(ctx, c, o, client); err != nil {
			m.withdraw(c, a)
			return err
		}
	}
	stream := m.awaitStart(c, a)
	if stream == nil {
		return nil
	}
	var in io.Reader = client
	if c.Config.Tty {
		in = &detacher{r: client, keys: keys}
	}
	if errors.Is(relay(client, in, stream, a.want.Stdin), errDetached) {
		m.emit(c, events.ActionDetach)
	}
	return nil
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

// withdraw takes an attachment back whose client has gone.
func (m *Manager) withdraw(c *Container, a *attachment) {
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

// hungUp tells a client that is gone from one that has only ended its input.
func hungUp(s Stream) bool {
	sc, ok := s.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	_ = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(p, 0)
		gone = err == nil && n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone
}

// relay copies both ways between a client and the keeper's stream until the output ends, and closes the keeper's.
// The end of one direction is passed on and leaves the other open. It returns errDetached when in said so.
func relay(client Stream, in io.Reader, stream *net.UnixConn, stdin bool) error {
	defer stream.Close()
	input := make(chan error, 1)
	if stdin {
		go func() {
			_, err := io.Copy(stream, in)
			input <- err
			if errors.Is(err, errDetached) {
				stream.Close() // ends the output too
			} else {
				_ = stream.CloseWrite()
			}
		}()
	}
	_, err := io.Copy(client, stream)
	select {
	case inErr := <-input:
		if errors.Is(inErr, errDetached) {
			return errDetached
		}
	default:
	}
	_ = client.CloseWrite()
	client.Close() // ends the input, which may wait for a client that has nothing to say
	return err
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
