package acceptance

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// askStream sends the call of a case with stream set and takes over the connection: it sends the text, closes that side,
// and reads until the engine closes the other. The body is what came: a multiplexed stream is written as lines "1:out\n",
// "2:err\n", a number before each piece, where pieces of one stream that follow each other are one.
func (e *apiEngine) askStream(c apiCase, vars map[string]string) apiAnswer {
	a := apiAnswer{call: c.call}
	a.err = func() error {
		r, _, err := e.request(context.Background(), c.call, vars)
		if err != nil {
			return err
		}
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "tcp")
		setHeader(r, c.head)
		conn, err := net.Dial("unix", e.socket)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(apiTime)); err != nil {
			return err
		}
		if err := r.Write(conn); err != nil {
			return err
		}
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, r)
		if err != nil {
			return err
		}
		a.status, a.header = resp.StatusCode, resp.Header
		if resp.StatusCode >= 400 {
			a.body, err = io.ReadAll(resp.Body)
			return err
		}
		if _, err := io.WriteString(conn, *c.stream); err != nil && !closed(err) {
			return err
		}
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil && !closed(err) {
			return err
		}
		a.body, err = io.ReadAll(in)
		if err == nil && multiplexed(resp.Header, a.body) {
			a.body, err = demultiplex(a.body)
		}
		return err
	}()
	return a
}

// closed tells of an engine that has said all it had to say already.
func closed(err error) bool { return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ENOTCONN) }

func multiplexed(head http.Header, body []byte) bool {
	if head.Get("Content-Type") == "application/vnd.docker.multiplexed-stream" {
		return true
	}
	return len(body) >= 8 && body[0] <= 2 && body[1] == 0 && body[2] == 0 && body[3] == 0 // before API 1.42 the type says nothing
}

func demultiplex(body []byte) ([]byte, error) {
	var out strings.Builder
	last := byte(255)
	for len(body) > 0 {
		if len(body) < 8 || len(body) < 8+int(binary.BigEndian.Uint32(body[4:])) {
			return nil, fmt.Errorf("a frame is cut off: %q", body)
		}
		n := int(binary.BigEndian.Uint32(body[4:]))
		if body[0] != last {
			last = body[0]
			fmt.Fprintf(&out, "%d:", last)
		}
		out.Write(body[8 : 8+n])
		body = body[8+n:]
	}
	return []byte(out.String()), nil
}

func pointer[T any](v T) *T { return &v }
