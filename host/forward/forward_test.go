package forward

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"naru/guest/api"
)

// engine is the guest's end of a publish stream.
type engine struct {
	t    *testing.T
	conn net.Conn
	in   *json.Decoder
}

// connect makes a publish stream of f.
func connect(t *testing.T, f *Forwarder) *engine {
	t.Helper()
	ours, theirs := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = f.Serve(ctx, ours, func() {}); close(done) }()
	t.Cleanup(func() { cancel(); theirs.Close(); <-done })
	_ = theirs.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(theirs)
	req, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	if req.Method != "POST" || req.URL.Path != api.PublishPath || req.Header.Get("Upgrade") != "naru-publish" {
		t.Fatalf("request: %s %s %v", req.Method, req.URL, req.Header)
	}
	_, _ = io.WriteString(theirs, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: naru-publish\r\n\r\n")
	return &engine{t: t, conn: theirs, in: json.NewDecoder(in)}
}

func (e *engine) call(req api.PublishRequest) (reply api.PublishReply) {
	e.t.Helper()
	if err := json.NewEncoder(e.conn).Encode(req); err != nil {
		e.t.Fatal(err)
	}
	if err := e.in.Decode(&reply); err != nil {
		e.t.Fatal(err)
	}
	if reply.ID != req.ID {
		e.t.Errorf("reply to %d has ID %d", req.ID, reply.ID)
	}
	return reply
}

// guest answers each forward stream with its target, then echoes.
func guest(t *testing.T) Guest {
	return func(_ context.Context, kind, target string) (net.Conn, error) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return nil, err
		}
		s, err := ln.Accept()
		if err != nil {
			return nil, err
		}
		go func() {
			fmt.Fprintf(s, "%s %s: ", kind, target)
			_, _ = io.Copy(s, s)
			s.Close()
		}()
		return c, nil
	}
}

func newForwarder(t *testing.T) *Forwarder {
	f := New(slog.New(slog.DiscardHandler), guest(t), nil)
	t.Cleanup(f.Close)
	return f
}

// get connects to a published port, sends "hi", half-closes, and reads to the end.
func get(t *testing.T, reply api.PublishReply) string {
	t.Helper()
	c, err := net.Dial("tcp", net.JoinHostPort(reply.HostIP, fmt.Sprint(reply.HostPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(c, "hi")
	_ = c.(*net.TCPConn).CloseWrite()
	data, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestListenAndClose(t *testing.T) {
	e := connect(t, newForwarder(t))
	reply := e.call(api.PublishRequest{ID: 1, Op: api.OpListen, Protocol: "tcp", Target: "tcp:172.17.0.2:80"})
	if reply.Error != "" || reply.HostIP != "127.0.0.1" || reply.HostPort == 0 {
		t.Fatalf("listen: %+v", reply)
	}
	if got := get(t, reply); got != "forward tcp:172.17.0.2:80: hi" {
		t.Errorf("through the port: %q", got)
	}
	again := e.call(api.PublishRequest{ID: 2, Op: api.OpListen, Protocol: "tcp", HostPort: reply.HostPort, Target: "x"})
	if again.Error != "address already in use" {
		t.Errorf("second listen: %+v", again)
	}
	e.call(api.PublishRequest{ID: 1, Op: api.OpClose})
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", reply.HostPort)); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

// TestEngineRestart keeps a listener across two publish streams.
func TestEngineRestart(t *testing.T) {
	f := newForwarder(t)
	first := connect(t, f)
	reply := first.call(api.PublishRequest{ID: 7, Op: api.OpListen, Protocol: "tcp", Target: "old"})
	first.conn.Close()
	second := connect(t, f)
	if got := get(t, reply); got != "forward old: hi" {
		t.Errorf("while the engine was away: %q", got)
	}
	adopted := second.call(api.PublishRequest{ID: 1, Op: api.OpListen, Protocol: "tcp", HostIP: reply.HostIP, HostPort: reply.HostPort, Target: "new"})
	if adopted.Error != "" || adopted.HostPort != reply.HostPort {
		t.Fatalf("listen again: %+v", adopted)
	}
	if got := get(t, reply); got != "forward new: hi" {
		t.Errorf("after the engine came back: %q", got)
	}
	f.dropOrphans(f.session)
	if len(f.Ports()) != 1 {
		t.Errorf("ports: %+v", f.Ports())
	}
	f.dropOrphans(f.session + 1)
	if len(f.Ports()) != 0 {
		t.Errorf("ports after nobody asked for them: %+v", f.Ports())
	}
}

func TestBadRequests(t *testing.T) {
	e := connect(t, newForwarder(t))
	for _, tt := range []struct {
		req  api.PublishRequest
		want string
	}{
		{api.PublishRequest{Op: api.OpListen, Protocol: "sctp"}, "sctp ports cannot be published"},
		{api.PublishRequest{Op: api.OpListen, Protocol: "tcp", HostIP: "nowhere"}, "not an IP address"},
		{api.PublishRequest{Op: api.OpListen, Protocol: "tcp", HostIP: "203.0.113.77"}, "cannot assign requested address"},
		{api.PublishRequest{Op: "dance"}, "unknown operation"},
		{api.PublishRequest{Op: api.OpDial, Target: "tcp:203.0.113.77:80"}, "is not the host's loopback"},
		{api.PublishRequest{Op: api.OpDial, Target: "tcp:0.0.0.0:80"}, "is not the host's loopback"},
		{api.PublishRequest{Op: api.OpDial, Target: "tcp:localhost.example:80"}, "is not the host's loopback"},
		{api.PublishRequest{Op: api.OpDial, Target: "unix:/x"}, "bad target"},
	} {
		if reply := e.call(tt.req); !strings.Contains(reply.Error, tt.want) {
			t.Errorf("%+v: error %q, want %q", tt.req, reply.Error, tt.want)
		}
	}
}

// TestDial brings a connection to the host's loopback into the guest.
func TestDial(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	e := connect(t, newForwarder(t))
	if reply := e.call(api.PublishRequest{ID: 5, Op: api.OpDial, Target: "tcp:" + ln.Addr().String()}); reply.Error != "" {
		t.Fatal(reply.Error)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(c, "hi")
	_ = c.(*net.TCPConn).CloseWrite()
	if data, err := io.ReadAll(c); err != nil || string(data) != "dialed 5: hi" {
		t.Errorf("through the stream: %q, %v", data, err)
	}
}
