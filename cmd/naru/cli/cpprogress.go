package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"naru/cmd/naru/localfiles"
	"naru/cmd/naru/table"
	"naru/cmd/naru/terminal"
)

// copyInterval is how often the number of copied bytes is shown.
const copyInterval = 75 * time.Millisecond

// copyProgress counts what is copied, and shows it where stderr is a terminal.
type copyProgress struct {
	app   *app
	quiet bool
	bytes atomic.Int64
	in    io.Reader
	stop  chan struct{} // nil when nothing is shown
	shown sync.WaitGroup
}

// progress begins to show. done ends it.
func (c *copying) progress(head string) *copyProgress {
	p := &copyProgress{app: c.app, quiet: c.quiet}
	if c.quiet || !terminal.Is(c.app.err) {
		return p
	}
	p.stop = make(chan struct{})
	p.shown.Go(func() { p.show(head) })
	return p
}

func (p *copyProgress) show(head string) {
	tick := time.NewTicker(copyInterval)
	defer tick.Stop()
	for {
		fmt.Fprintf(p.app.err, "\r\x1b[K%s%s", head, table.Size(p.bytes.Load()))
		select {
		case <-p.stop:
			fmt.Fprint(p.app.err, "\r\x1b[K")
			return
		case <-tick.C:
		}
	}
}

func (p *copyProgress) reader(in io.Reader) io.Reader {
	p.in = in
	return p
}

func (p *copyProgress) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	p.bytes.Add(int64(n))
	return n, err
}

// archive is the body of a request. net/http has it write itself, without a goroutine and a pipe in between.
func (p *copyProgress) archive(a *localfiles.Archive) io.ReadCloser { return &archiveBody{p: p, a: a} }

type archiveBody struct {
	p    *copyProgress
	a    *localfiles.Archive
	pipe *io.PipeReader // of somebody who only reads
}

func (b *archiveBody) WriteTo(w io.Writer) (int64, error) { return b.a.WriteTo(countTo{b.p, w}) }

func (b *archiveBody) Read(buf []byte) (int, error) {
	if b.pipe == nil {
		r, w := io.Pipe()
		b.pipe = r
		go func() { // ends at the latest with Close
			_, err := b.WriteTo(w)
			w.CloseWithError(err)
		}()
	}
	return b.pipe.Read(buf)
}

func (b *archiveBody) Close() error {
	if b.pipe != nil {
		return b.pipe.Close()
	}
	return nil
}

type countTo struct {
	p *copyProgress
	w io.Writer
}

func (c countTo) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.p.bytes.Add(int64(n))
	return n, err
}

// done tells what was copied where, or returns err.
func (p *copyProgress) done(ctx context.Context, err error, to string) error {
	if p.stop != nil {
		close(p.stop)
		p.shown.Wait()
	}
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	if !p.quiet {
		fmt.Fprintf(p.app.err, "Successfully copied %s to %s\n", table.Size(p.bytes.Load()), to)
	}
	return nil
}
