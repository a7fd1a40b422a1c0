package keeperapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"naru/guest/logfile"
)

// Classes of an Error and of Reply.Class.
const (
	ClassNotFound = "not-found" // no such process, or it has ended
	ClassConflict = "conflict"  // the ID is in use
	ClassRuntime  = "runtime"   // the OCI runtime ended with an error; see Error.Stderr
)

// Error is the keeper's answer to a call that it could not carry out.
type Error struct {
	Class   string // one of the Class constants, or empty for an error inside the keeper
	Message string
	Stderr  string // ClassRuntime: what the runtime printed, at most 8 KiB
}

// Error is the message, with what the runtime printed.
func (e *Error) Error() string {
	if out := strings.TrimSpace(e.Stderr); out != "" {
		return e.Message + ": " + out
	}
	return e.Message
}

func isClass(err error, class string) bool {
	var e *Error
	return errors.As(err, &e) && e.Class == class
}

// IsNotFound tells whether err says that the keeper keeps no such process.
func IsNotFound(err error) bool { return isClass(err, ClassNotFound) }

// IsConflict tells whether err says that the ID is already in use.
func IsConflict(err error) bool { return isClass(err, ClassConflict) }

// IsRuntime tells whether err came from the OCI runtime.
func IsRuntime(err error) bool { return isClass(err, ClassRuntime) }

// Client calls the keeper. Each call is a connection of its own; safe for concurrent use.
type Client struct {
	Socket string // path of the keeper's socket
}

// Dial makes a client and asks the keeper for its list once, so that a missing keeper is found here.
func Dial(ctx context.Context, socket string) (*Client, error) {
	c := &Client{Socket: socket}
	if _, err := c.List(ctx); err != nil {
		return nil, fmt.Errorf("connect to keeper: %w", err)
	}
	return c, nil
}

// Start runs the runtime in s.Args and returns when it has detached its process. With s.Attach set the connection is
// returned too and is the caller's to close; see Attach for what it carries. A context that ends meanwhile abandons
// the call, not the start: the process may run, and List tells.
func (c *Client) Start(ctx context.Context, id string, s Start) (*Process, *net.UnixConn, error) {
	conn, reply, err := c.call(ctx, Request{Op: OpStart, ID: id, Start: &s})
	if err != nil {
		return nil, nil, err
	}
	if reply.Process == nil {
		conn.Close()
		return nil, nil, &Error{Message: "keeper sent no process"}
	}
	if s.Attach == nil {
		conn.Close()
		conn = nil
	}
	return reply.Process, conn, nil
}

// Attach opens a stream to a process. The caller closes it. With a.Mark the place in its log comes with it, nil for a
// process without one.
func (c *Client) Attach(ctx context.Context, id string, a Attach) (*net.UnixConn, *logfile.Position, error) {
	conn, reply, err := c.call(ctx, Request{Op: OpAttach, ID: id, Attach: &a})
	if err != nil {
		return nil, nil, err
	}
	return conn, reply.Log, nil
}

// Signal sends a signal by its Linux number. IsNotFound when the process has ended.
func (c *Client) Signal(ctx context.Context, id string, signal int) error {
	_, err := c.do(ctx, Request{Op: OpSignal, ID: id, Signal: signal})
	return err
}

// Resize sets the size of the process's terminal; without a terminal nothing happens.
func (c *Client) Resize(ctx context.Context, id string, rows, cols uint16) error {
	_, err := c.do(ctx, Request{Op: OpResize, ID: id, Rows: rows, Cols: cols})
	return err
}

// List returns all processes that run and all that ended and were not yet forgotten. It waits for the starts that were
// asked for before it, also by an engine that was killed meanwhile; one that hangs is ended.
func (c *Client) List(ctx context.Context) ([]Process, error) {
	reply, err := c.do(ctx, Request{Op: OpList})
	if err != nil {
		return nil, err
	}
	return reply.Processes, nil
}

// Forget drops the exit record of a process. Idempotent; a process that runs is left alone.
func (c *Client) Forget(ctx context.Context, id string) error {
	_, err := c.do(ctx, Request{Op: OpForget, ID: id})
	return err
}

// Watch calls heard for every unforgotten exit and then for each new one, one after the other, until the context ends
// (its error is returned) or the connection does. A caller that connects again hears unforgotten exits again.
func (c *Client) Watch(ctx context.Context, heard func(Exit)) error {
	conn, _, err := c.call(ctx, Request{Op: OpWatch})
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	dec := json.NewDecoder(bufio.NewReader(conn))
	for {
		var e Exit
		if err := dec.Decode(&e); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("watch keeper: %w", err)
		}
		heard(e)
	}
}

// do is a call whose connection is of no further use.
func (c *Client) do(ctx context.Context, req Request) (*Reply, error) {
	conn, reply, err := c.call(ctx, req)
	if err != nil {
		return nil, err
	}
	return reply, conn.Close()
}

// call sends the request and reads the reply line, and not a byte more: what follows is the stream.
func (c *Client) call(ctx context.Context, req Request) (_ *net.UnixConn, _ *Reply, err error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", c.Socket)
	if err != nil {
		return nil, nil, err
	}
	conn := nc.(*net.UnixConn)
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	line, err := exchange(conn, req)
	if !stop() && ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("ask keeper to %s: %w", req.Op, err)
	}
	reply := &Reply{}
	if err := json.Unmarshal(line, reply); err != nil {
		return nil, nil, fmt.Errorf("ask keeper to %s: %w", req.Op, err)
	}
	if reply.Error != "" {
		return nil, nil, &Error{Class: reply.Class, Message: reply.Error, Stderr: reply.Stderr}
	}
	return conn, reply, nil
}

func exchange(conn *net.UnixConn, req Request) ([]byte, error) {
	line, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	return readLine(conn)
}

// readLine reads up to and including the first newline. It peeks before it reads, so that the connection can be given
// away as it is (and be spliced by the kernel) with nothing of the stream left in a buffer of ours.
func readLine(conn *net.UnixConn) ([]byte, error) {
	var line []byte
	buf := make([]byte, 4096)
	for {
		n, err := peek(conn, buf)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		i := bytes.IndexByte(buf[:n], '\n')
		if i >= 0 {
			n = i + 1
		}
		if _, err := io.ReadFull(conn, buf[:n]); err != nil {
			return nil, err
		}
		line = append(line, buf[:n]...)
		if i >= 0 {
			return line, nil
		}
		if n == len(buf) {
			buf = make([]byte, min(2*len(buf), 64<<10))
		}
	}
}
