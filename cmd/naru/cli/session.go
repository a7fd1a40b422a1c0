package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"

	"naru/cmd/naru/terminal"
	"naru/host/client"
)

// session is a container in the foreground: `run`, `start -a` and `attach`.
type session struct {
	app    *app
	client *client.Client
	id     string
	tty    bool
	keys   []byte // detach keys; used with a terminal only
	proxy  bool   // pass signals on, unless a terminal's keys are
	attach client.AttachOptions
	wait   container.WaitCondition
	start  func(context.Context) error // nil when it runs already
	fresh  bool                        // it never ran before: its log holds just what this session shows

	out, err counted // what was shown of stdout (all of a terminal's output) and stderr
}

// run attaches, begins to wait, starts the container, copies its streams and returns its exit code as an error.
// Attach and wait come before the start: no output and no end is missed.
func (s *session) run(ctx context.Context) error {
	s.out.w, s.err.w = writerIf(s.attach.Stdout, s.app.out), writerIf(s.attach.Stderr, s.app.err)
	stream, err := s.client.ContainerAttach(ctx, s.id, s.attach)
	if err != nil {
		return err
	}
	defer stream.Close()
	waiting, err := s.client.ContainerWait(ctx, s.id, s.wait)
	if err != nil {
		return err
	}
	defer waiting.Close()
	var signals signalProxy
	defer signals.stop()
	if s.proxy && !(s.tty && s.attach.Stdin) { // a raw terminal sends keys instead
		signals.catch(s.app)
	}
	if s.start != nil {
		if err := s.start(ctx); err != nil {
			s.awaitRemoval(waiting)
			return startFailure(err)
		}
	}
	signals.forward(ctx, s)
	if s.start == nil {
		s.redraw(ctx)
	}
	err = s.copy(ctx, stream)
	if errors.Is(err, terminal.ErrDetached) {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	code, werr := waiting.Result()
	if werr != nil && ctx.Err() == nil {
		if code, werr = s.resume(ctx); werr == nil {
			err = nil // the stream broke as the wait did; the rest was copied from the log
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case werr != nil:
		return werr
	case err != nil:
		return err
	}
	return exitCode(code)
}

// awaitRemoval lets the engine remove a --rm container that could not be started, for a bounded time.
func (s *session) awaitRemoval(waiting *client.Waiting) {
	if s.wait != container.WaitConditionRemoved {
		return
	}
	timer := time.AfterFunc(removalTime, waiting.Close)
	defer timer.Stop()
	_, _ = waiting.Result() // the start's error counts
}

// redraw makes a program on the terminal paint its screen anew, by a change of size that keepSize undoes.
func (s *session) redraw(ctx context.Context) {
	if rows, cols, ok := terminal.Size(s.app.out); ok && s.tty {
		_ = s.client.ContainerResize(ctx, s.id, rows+1, cols+1) // it is shown as it was, then
	}
}

// copy copies the streams until the output ends or the user detaches.
func (s *session) copy(ctx context.Context, stream *client.Stream) error {
	return s.app.copyStreams(ctx, stream, streams{
		tty: s.tty, stdin: s.attach.Stdin, out: &s.out, err: &s.err, keys: s.keys,
		resize: func(ctx context.Context, rows, cols uint) error {
			return s.client.ContainerResize(ctx, s.id, rows, cols)
		},
	})
}

// signalProxy passes signals on to a container. The zero value does nothing.
type signalProxy struct {
	ch chan os.Signal
	wg sync.WaitGroup
}

// catch collects signals from now on. They reach the container once it runs: see forward.
func (p *signalProxy) catch(a *app) {
	p.ch = make(chan os.Signal, 128)
	terminal.CatchAll(p.ch)
	a.leaveSignals()
}

// forward passes on what was caught and what comes, until stop.
func (p *signalProxy) forward(ctx context.Context, s *session) {
	if p.ch == nil {
		return
	}
	p.wg.Go(func() {
		for sig := range p.ch {
			if name := terminal.SignalName(sig); name != "" {
				_ = s.client.ContainerKill(ctx, s.id, name) // it may have ended by itself: nobody is left to tell
			}
		}
	})
}

func (p *signalProxy) stop() {
	if p.ch == nil {
		return
	}
	signal.Stop(p.ch)
	close(p.ch)
	p.wg.Wait()
}

// streams says what of a process's streams is copied.
type streams struct {
	tty, stdin bool
	out, err   io.Writer
	keys       []byte // detach keys
	resize     func(ctx context.Context, rows, cols uint) error
}

// copyStreams joins our stdin, stdout and stderr with a process until its output ends. With a terminal ours is in raw
// mode meanwhile, and ErrDetached tells that the user pressed the detach keys.
func (a *app) copyStreams(ctx context.Context, stream *client.Stream, s streams) error {
	defer context.AfterFunc(ctx, func() { _ = stream.Close() })()
	if s.tty {
		restore, err := a.rawTerminal(s)
		if err != nil {
			return err
		}
		defer restore()
		defer a.keepSize(ctx, s)()
	}
	detached := make(chan error, 1)
	if s.stdin {
		go a.copyStdin(stream, s, detached) // a read of our stdin cannot be ended: it lives on when the process ends
	}
	output := make(chan error, 1)
	go func() { output <- copyOutput(s.out, s.err, stream, s.tty) }()
	select {
	case err := <-detached:
		_ = stream.Close()
		<-output
		return err
	case err := <-output:
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
}

func (a *app) rawTerminal(s streams) (func(), error) {
	if !s.stdin {
		return func() {}, nil
	}
	return terminal.Raw(a.in, a.out)
}

func (a *app) copyStdin(stream *client.Stream, s streams, detached chan<- error) {
	var in io.Reader = a.in
	if s.tty {
		in = terminal.NewDetachReader(a.in, s.keys)
	}
	_, err := io.Copy(stream, in)
	if errors.Is(err, terminal.ErrDetached) {
		detached <- err
		return
	}
	_ = stream.CloseWrite() // the process may have ended before its stdin
}

// copyOutput takes the output apart where it is framed.
func copyOutput(out, errOut io.Writer, in io.Reader, tty bool) (err error) {
	if tty {
		_, err = io.Copy(out, in)
	} else {
		_, err = stdcopy.StdCopy(out, errOut, in)
	}
	return err
}

func writerIf(wanted bool, f *os.File) io.Writer {
	if wanted {
		return f
	}
	return io.Discard
}

// keepSize gives the process's terminal the size of ours, now and whenever it changes.
func (a *app) keepSize(ctx context.Context, s streams) (stop func()) {
	resize := func() {
		if rows, cols, ok := terminal.Size(a.out); ok {
			_ = s.resize(ctx, rows, cols) // a process that has ended has no size
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		resize()
		terminal.OnResize(ctx, a.out, resize)
	})
	return func() {
		cancel()
		wg.Wait()
	}
}
