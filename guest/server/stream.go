package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/moby/moby/api/types"
)

// duplex is a connection whose directions end one by one.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// stream is a hijacked connection: what the HTTP server had read ahead comes first.
type stream struct {
	duplex
	early io.Reader
}

func (s *stream) Read(p []byte) (int, error) { return s.early.Read(p) }

// SyscallConn lets the engine ask the kernel whether the peer is still there.
func (s *stream) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := s.duplex.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// hijackType is streamType for a connection that is taken over: Docker names frames only to who asks for an upgrade.
func hijackType(r *http.Request, tty bool) string {
	if r.Header.Get("Upgrade") == "" {
		return types.MediaTypeRawStream
	}
	return streamType(r, tty)
}

// hijack turns the request into a raw stream, as Docker does: 101 when the client asks for an upgrade, else 200
// without a length. A body of the request is none of the stream: dockerode sends one to attach, with what is in the query.
func hijack(w http.ResponseWriter, r *http.Request, contentType string) (*stream, error) {
	if r.ContentLength > 0 {
		if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
			return nil, invalidRequest("read body: %v", err)
		}
	}
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over connection: %w", err)
	}
	d, ok := conn.(duplex)
	if !ok {
		conn.Close()
		return nil, errors.New("take over connection: it has no half-close")
	}
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + types.MediaTypeRawStream + "\r\n\r\n" // whatever it is, as in Docker
	if up := r.Header.Get("Upgrade"); up != "" {
		head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + contentType + "\r\nConnection: Upgrade\r\nUpgrade: " + upgradeName(up) + "\r\n\r\n"
	}
	if _, err := io.WriteString(conn, head); err != nil {
		conn.Close()
		return nil, fmt.Errorf("take over connection: %w", err)
	}
	return &stream{d, unread(buf.Reader, conn)}, nil
}

// upgradeName is "tcp" but for a name of our own: the answer must not repeat what a client made up.
func upgradeName(asked string) string {
	if asked == publishUpgrade {
		return asked
	}
	return "tcp"
}

// unread is conn with what buf holds of it in front, and without buf once that is read.
func unread(buf *bufio.Reader, conn io.Reader) io.Reader {
	n := buf.Buffered()
	if n == 0 {
		return conn
	}
	early, _ := buf.Peek(n) // they are there
	return io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
}

// streamType is the media type of a container's output. Clients before 1.42 know only one.
func streamType(r *http.Request, tty bool) string {
	if tty || lessVersion(requestVersion(r), "1.42") {
		return types.MediaTypeRawStream
	}
	return types.MediaTypeMultiplexedStream
}

// flusher sends each write on at once.
type flusher struct {
	w  io.Writer
	rc *http.ResponseController
}

func newFlusher(w http.ResponseWriter) *flusher {
	return &flusher{w, http.NewResponseController(w)}
}

func (f *flusher) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}
