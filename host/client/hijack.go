package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Stream is a connection that was taken over from HTTP: raw bytes both ways, half-close kept.
type Stream struct {
	conn net.Conn
	in   *bufio.Reader
	// Multiplexed tells that the engine named its output as frames of stdout and stderr. An engine before API 1.42
	// does not say: then it is false for frames too.
	Multiplexed bool
}

// Read reads what the process writes.
func (s *Stream) Read(p []byte) (int, error) { return s.in.Read(p) }

// WriteTo lets io.Copy use the reader's buffer.
func (s *Stream) WriteTo(w io.Writer) (int64, error) { return s.in.WriteTo(w) }

// Write writes to the process's stdin.
func (s *Stream) Write(p []byte) (int, error) { return s.conn.Write(p) }

// CloseWrite ends the process's stdin and keeps its output flowing.
func (s *Stream) CloseWrite() error {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close ends both directions.
func (s *Stream) Close() error { return s.conn.Close() }

// hijack sends r on a connection of its own and asks to take it over. ctx bounds the request, not the stream.
func (c *Client) hijack(ctx context.Context, r request) (*Stream, error) {
	s, err := c.tryHijack(ctx, r)
	if err != nil && isTooNew(err) {
		if _, nerr := c.negotiate(ctx); nerr == nil {
			return c.tryHijack(ctx, r)
		}
	}
	return s, err
}

func (c *Client) tryHijack(ctx context.Context, r request) (_ *Stream, err error) {
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "tcp")
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			_ = conn.Close()
		}
	}()
	if err := req.Write(conn); err != nil {
		return nil, c.unwrap(ctx, err)
	}
	in := bufio.NewReaderSize(conn, 32<<10)
	resp, err := http.ReadResponse(in, req)
	if err != nil {
		return nil, c.unwrap(ctx, err)
	}
	if resp.StatusCode >= 400 {
		return nil, readError(resp)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols && resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the engine answered %s to an attach", resp.Status)
	}
	return &Stream{
		conn: conn, in: in,
		Multiplexed: resp.Header.Get("Content-Type") == "application/vnd.docker.multiplexed-stream",
	}, nil
}
