package keeper

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
	"naru/guest/logfile"
)

// outputGrace is how long the outputs of an ended process are waited for. They are at their end at once unless another
// process still holds them: a daemon that an exec left behind, or a container in the host's pid namespace.
const outputGrace = 2 * time.Second

// process is one kept process: its stdio, its log, its attachers.
type process struct {
	id        string
	pid       int
	started   time.Time
	durable   bool
	stdinOnce bool
	reaper    *reaper

	log     *logfile.Writer // nil for none
	outputs []output
	stdin   *os.File // nil for none; a terminal's master otherwise
	master  *os.File // of the terminal, nil for none

	pumps   sync.WaitGroup
	drained chan struct{} // closed when all outputs are at their end
	dead    chan struct{} // closed when the process was reaped

	// mu guards all below, and is held while output goes to the log and into the attachers' queues: one order for all.
	mu        sync.Mutex
	attachers []*attacher
	ended     bool // the process is dead; its outputs may not be at their end
	closed    bool // no more output goes anywhere
}

// output is one readable end of a process's stdio.
type output struct {
	stream logfile.Stream
	file   *os.File // non-blocking, so that a waiting reader is no thread
}

func (p *process) info() keeperapi.Process {
	return keeperapi.Process{ID: p.id, Pid: p.pid, Started: p.started}
}

// chunks are what one read takes. A reader that waits holds none: that is what keeps an idle container cheap.
var chunks = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// pump begins to read the outputs.
func (p *process) pump() {
	p.drained, p.dead = make(chan struct{}), make(chan struct{})
	p.pumps.Add(len(p.outputs))
	for _, o := range p.outputs {
		go p.read(o)
	}
}

// read is the goroutine of one output. The last one to end closes drained.
func (p *process) read(o output) {
	raw, err := o.file.SyscallConn()
	pace := newPace(p.dead)
	for err == nil {
		var n int
		n, err = p.readOnce(o, raw)
		pace.after(n)
	}
	_ = o.file.Close()
	p.pumps.Done()
	if o == p.outputs[0] {
		p.pumps.Wait()
		close(p.drained)
	}
}

// readOnce waits for output and passes on one chunk, of n bytes. An error is the end: a pipe's EOF, a terminal's EIO
// when its last user has gone.
func (p *process) readOnce(o output, raw syscall.RawConn) (n int, err error) {
	var chunk *[32 << 10]byte
	waitErr := raw.Read(func(fd uintptr) bool {
		chunk = chunks.Get().(*[32 << 10]byte)
		for {
			if n, err = unix.Read(int(fd), chunk[:]); err != unix.EINTR {
				break
			}
		}
		if err == unix.EAGAIN {
			chunks.Put(chunk)
			return false
		}
		return true
	})
	if waitErr != nil {
		return 0, waitErr
	}
	defer chunks.Put(chunk)
	if err != nil {
		return 0, err
	}
	if n <= 0 {
		return 0, io.EOF
	}
	p.emit(o.stream, chunk[:n])
	return n, nil
}

// emit gives output to the log and to all attachers, and then waits for those that the process has to wait for: they
// keep nobody else from what there is.
func (p *process) emit(s logfile.Stream, b []byte) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	if p.log != nil {
		p.log.Write(s, b)
	}
	attachers := p.attachers
	for _, a := range attachers {
		a.add(s, b)
	}
	p.mu.Unlock()
	for _, a := range attachers {
		a.await()
	}
}

// attach serves a joined attacher until its peer is gone; in is its connection, and what was read of it already. The
// peer keeps its connection for as long as it likes: an idle one that never closes costs two goroutines.
func (p *process) attach(a *attacher, in io.Reader, stdin bool) {
	var writer sync.WaitGroup
	writer.Go(a.write)
	p.feed(in, stdin)
	awaitHangup(a.conn)
	a.drop()
	p.detach(a)
	writer.Wait()
}

// join makes a hear all output from now on; ok is false when there will be none. With mark, a hears exactly what comes
// behind the place in the log that is returned.
func (p *process) join(a *attacher, mark bool) (place *logfile.Position, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, false
	}
	if p.ended {
		a.loosen()
	}
	if mark && p.log != nil {
		at, partial := p.log.Mark()
		for s, held := range partial {
			if len(held) > 0 {
				a.add(logfile.Stream(s), held)
			}
		}
		place = &at
	}
	// A new slice: emit goes through the old one without the lock.
	p.attachers = append(slices.Clip(p.attachers), a)
	return place, true
}

func (p *process) detach(a *attacher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attachers = slices.DeleteFunc(slices.Clone(p.attachers), func(b *attacher) bool { return a == b })
}

// feed copies what an attacher sends to the process's stdin until the attacher half-closes or is gone. It reads on
// when nobody wants the input, so that the peer never waits for us.
func (p *process) feed(in io.Reader, stdin bool) {
	if stdin && p.stdin != nil {
		_, _ = io.Copy(onlyWriter{p.stdin}, in) // a process that has closed its stdin is no error
		if p.stdinOnce && p.master == nil {
			_ = p.stdin.Close()
		}
	}
	_, _ = io.Copy(io.Discard, in)
}

// onlyWriter keeps io.Copy from splice(2), which would hold the pipe's lock while it waits for input.
type onlyWriter struct{ io.Writer }

func (p *process) resize(rows, cols uint16) error {
	if p.master == nil {
		return nil
	}
	return setSize(p.master, rows, cols)
}

func setSize(master *os.File, rows, cols uint16) error {
	raw, err := master.SyscallConn()
	if err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	})
	if err = errors.Join(ctlErr, err); err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	return nil
}

// conclude is called once, when the process was reaped: it waits for the outputs, closes everything, and records.
func (p *process) conclude(e end, t *table, log *slog.Logger) {
	close(p.dead)
	p.mu.Lock()
	p.ended = true
	for _, a := range p.attachers {
		a.loosen()
	}
	p.mu.Unlock()
	grace := time.NewTimer(outputGrace)
	defer grace.Stop()
	select {
	case <-p.drained:
	case <-grace.C:
		// The readers go on and throw away what comes, so that whoever still holds the pipe is not killed by SIGPIPE.
	}
	p.close()
	if p.log != nil && p.log.Dropped() > 0 {
		log.Warn("entries of a log were dropped", "id", p.id, "entries", p.log.Dropped())
	}
	code, signal := e.code()
	t.record(p, keeperapi.Exit{ID: p.id, Code: code, Signal: signal, Time: e.when.UTC(), OutputDone: true}, log)
}

// close ends the streams of all attachers after what they were sent, and the log.
func (p *process) close() {
	p.mu.Lock()
	p.closed = true
	attachers := p.attachers
	p.attachers = nil
	p.mu.Unlock()
	for _, a := range attachers {
		a.end()
	}
	if p.stdin != nil && p.master == nil { // a terminal is closed by its reader, when its last user has gone
		_ = p.stdin.Close()
	}
	if p.log != nil {
		_ = p.log.Close() // nobody could do anything about it
	}
}
