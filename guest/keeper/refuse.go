package keeper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// refuseAfter is how many engines in a row must have failed to start before those who wait for one are told. One that is
// killed, by a signal, does not count: the next one will serve.
const refuseAfter = 2

// startingTime is how long after its start an engine that ends with an error counts as one that cannot start.
const startingTime = 30 * time.Second

// refuseTime bounds the answer to one connection.
const refuseTime = 2 * time.Second

// failures remembers the last words of engines that could not start.
type failures struct {
	count int
	said  lastLine
}

// note counts the end of an engine that ran for so long.
func (f *failures) note(code, signal int, ran time.Duration) {
	if code != 0 && signal == 0 && ran < startingTime {
		f.count++
		return
	}
	f.count = 0
}

// lastLine passes output on and keeps the last line of it that says something.
type lastLine struct {
	to io.Writer

	mu   sync.Mutex // guards line
	line []byte
}

func (l *lastLine) Write(p []byte) (int, error) {
	lines := bytes.Split(bytes.TrimSpace(p), []byte("\n"))
	l.mu.Lock()
	if last := bytes.TrimSpace(lines[len(lines)-1]); len(last) > 0 {
		l.line = bytes.Clone(last[:min(len(last), 1024)])
	}
	l.mu.Unlock()
	return l.to.Write(p)
}

// String is the line, without the name of the program before it.
func (l *lastLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimPrefix(string(l.line), "naru-engine: error: ")
}

// refuse answers all requests on the API's socket with 503 and why, until the time is over or ctx ends: while no engine
// can start, whoever asks would wait for ever.
func refuse(ctx context.Context, socket *os.File, d time.Duration, why string) error {
	l, err := net.FileListener(socket)
	if err != nil {
		return fmt.Errorf("answer for the engine: %w", err)
	}
	ln, ok := l.(*net.UnixListener)
	if !ok {
		return errors.Join(errors.New("answer for the engine: the socket is no unix socket"), l.Close())
	}
	ln.SetUnlinkOnClose(false)
	defer ln.Close()
	if err := ln.SetDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = ln.SetDeadline(time.Unix(1, 0)) })()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := ln.AcceptUnix()
		if err != nil {
			return nil // the time is over
		}
		open.Go(func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(refuseTime))
			answerUnavailable(conn, why)
		})
	}
}

// answerUnavailable reads the head of a request and answers it. It speaks the few bytes of HTTP itself, see ping.
func answerUnavailable(conn *net.UnixConn, why string) {
	var head []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(head, []byte("\r\n\r\n")) && len(head) < 64<<10 {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		head = append(head, buf[:n]...)
	}
	body, err := json.Marshal(map[string]string{"message": "the engine does not start: " + why})
	if err != nil {
		return // it has only strings
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		len(body), body)
	_ = conn.CloseWrite()
	_, _ = io.Copy(io.Discard, conn) // the rest of the request: closing before it is read would take the answer back
}
