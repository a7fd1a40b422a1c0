package keeper

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
)

// maxRequest is the most bytes of a request line: a start carries a command line.
const maxRequest = 1 << 20

// serve answers the engine until ln is closed; then it closes all connections and waits for their ends.
func (k *keeper) serve(ln *net.UnixListener) {
	var open connections
	for {
		conn, err := ln.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				k.log.Error("accept", "error", err)
			}
			open.closeAll()
			return
		}
		t := k.order.take(conn)
		open.serve(conn, func() {
			defer k.order.finish(t)
			if err := k.serveOne(conn, t); err != nil {
				k.log.Debug("connection", "error", err)
			}
		})
	}
}

// connections are the open ones of a listener.
type connections struct {
	all sync.WaitGroup

	mu   sync.Mutex // guards open
	open map[io.Closer]bool
}

// serve runs f on a goroutine of its own and closes conn after it.
func (c *connections) serve(conn io.Closer, f func()) {
	c.mu.Lock()
	if c.open == nil {
		c.open = map[io.Closer]bool{}
	}
	c.open[conn] = true
	c.mu.Unlock()
	c.all.Go(func() {
		defer func() {
			_ = conn.Close()
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.open, conn)
		}()
		f()
	})
}

func (c *connections) closeAll() {
	c.mu.Lock()
	for conn := range c.open {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.all.Wait()
}

// serveOne serves one call.
func (k *keeper) serveOne(conn *net.UnixConn, t *turn) error {
	var req keeperapi.Request
	in, err := readRequest(conn, maxRequest, &req)
	if err != nil {
		return err
	}
	if req.Op != keeperapi.OpStart {
		k.order.finish(t)
	}
	switch req.Op {
	case keeperapi.OpStart:
		return k.serveStart(conn, in, &req, t)
	case keeperapi.OpAttach:
		return k.serveAttach(conn, in, &req)
	case keeperapi.OpWatch:
		if err := reply(conn, &keeperapi.Reply{}, nil); err != nil {
			return err
		}
		return k.table.watch(conn)
	case keeperapi.OpList:
		k.order.await(t, startPatience)
		return reply(conn, &keeperapi.Reply{Processes: k.table.list()}, nil)
	case keeperapi.OpForget:
		k.table.forget(req.ID)
		return reply(conn, &keeperapi.Reply{}, nil)
	}
	return reply(conn, &keeperapi.Reply{}, k.onProcess(&req))
}

// onProcess carries out what concerns one running process.
func (k *keeper) onProcess(req *keeperapi.Request) error {
	p, err := k.table.find(req.ID)
	if err != nil {
		return err
	}
	switch req.Op {
	case keeperapi.OpSignal:
		if req.Signal < 1 || req.Signal > 64 {
			return fmt.Errorf("no such signal: %d", req.Signal)
		}
		err := k.reaper.signal(p.pid, unix.Signal(req.Signal))
		if errors.Is(err, unix.ESRCH) {
			return notFound(req.ID)
		}
		return err
	case keeperapi.OpResize:
		return p.resize(req.Rows, req.Cols)
	}
	return fmt.Errorf("unknown operation %q", req.Op)
}

func (k *keeper) serveStart(conn *net.UnixConn, in io.Reader, req *keeperapi.Request, t *turn) error {
	if req.Start == nil {
		return reply(conn, nil, errors.New("start: nothing to start"))
	}
	p, a, err := k.start(req.ID, req.Start, conn, t.abort)
	k.order.finish(t) // what follows is the stream
	if err != nil {
		return reply(conn, nil, err)
	}
	info := p.info()
	err = reply(conn, &keeperapi.Reply{Process: &info}, nil)
	if a == nil {
		return err
	}
	p.attach(a, in, req.Start.Attach.Stdin)
	return err
}

func (k *keeper) serveAttach(conn *net.UnixConn, in io.Reader, req *keeperapi.Request) error {
	if req.Attach == nil {
		return reply(conn, nil, errors.New("attach: no streams are named"))
	}
	if req.Attach.Await {
		return k.serveAwait(conn, in, req)
	}
	p, err := k.table.find(req.ID)
	if err != nil {
		return reply(conn, nil, err)
	}
	a := newAttacher(conn, *req.Attach, p.master != nil)
	mark, ok := p.join(a, req.Attach.Mark)
	if !ok {
		return reply(conn, nil, notFound(req.ID))
	}
	info := p.info()
	err = reply(conn, &keeperapi.Reply{Process: &info, Log: mark}, nil)
	p.attach(a, in, req.Attach.Stdin)
	return err
}

// serveAwait serves an attacher whose process is still to be started.
func (k *keeper) serveAwait(conn *net.UnixConn, in io.Reader, req *keeperapi.Request) error {
	a := newAttacher(conn, *req.Attach, req.Attach.Framing != keeperapi.FramingFrames)
	a.patient = true
	w, err := k.table.await(req.ID, a)
	if err != nil {
		return reply(conn, nil, err)
	}
	defer k.table.unawait(req.ID, w)
	if err := reply(conn, &keeperapi.Reply{}, nil); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		awaitHangup(conn)
	}()
	select {
	case <-gone:
		return nil
	case p := <-w.started:
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // ends awaitHangup, which reads
		<-gone
		_ = conn.SetReadDeadline(time.Time{})
		if p != nil {
			p.attach(a, in, req.Attach.Stdin)
		}
		return nil
	}
}

// readRequest reads one JSON line of at most limit bytes. What follows it on the connection comes from in.
func readRequest(conn io.Reader, limit int64, v any) (in io.Reader, err error) {
	r := bufio.NewReader(io.LimitReader(conn, limit))
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if err := json.Unmarshal(line, v); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	rest, err := r.Peek(r.Buffered())
	if err != nil || len(rest) == 0 {
		return conn, nil
	}
	return io.MultiReader(bytes.NewReader(bytes.Clone(rest)), conn), nil
}

// reply sends r, or err in its place.
func reply(conn io.Writer, r *keeperapi.Reply, err error) error {
	if err != nil {
		r = &keeperapi.Reply{Error: err.Error()}
		var e *keeperapi.Error
		if errors.As(err, &e) {
			r.Error, r.Class, r.Stderr = e.Message, e.Class, e.Stderr
		}
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	return nil
}
