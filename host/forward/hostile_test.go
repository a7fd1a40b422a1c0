package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"naru/guest/api"
	"naru/host/relay"
)

// TestHeadIsBounded: a guest that answers the upgrade without an end loses the stream.
func TestHeadIsBounded(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		buf := make([]byte, 1000)
		_, _ = theirs.Read(buf)
		_, _ = io.WriteString(theirs, "HTTP/1.1 101 UPGRADED\r\n")
		for {
			if _, err := io.WriteString(theirs, "X: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
				return
			}
		}
	}()
	f := New(slog.New(slog.DiscardHandler), nil, nil)
	defer f.Close()
	_ = ours.SetDeadline(time.Now().Add(30 * time.Second))
	if err := f.Serve(context.Background(), ours, func() { t.Error("agreed") }); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("%v", err)
	}
}

// FuzzDialTargets: whatever target a guest asks for, the host dials its loopback, or a socket that the user gave.
func FuzzDialTargets(f *testing.F) {
	for _, target := range []string{"tcp:127.0.0.1:1", "tcp:[::1]:1", "tcp:localhost:1", "tcp:10.0.0.1:80", "unix:/etc/passwd", "unix:/s/../etc", api.TargetAgent, "udp:127.0.0.1:1", ""} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		forward := New(slog.New(slog.DiscardHandler), nil, &relay.Sockets{Shares: []string{t.TempDir()}})
		defer forward.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		conn, err := forward.dial(ctx, target)
		if err != nil {
			return
		}
		defer conn.Close()
		if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
			t.Errorf("%q reaches %v", target, conn.RemoteAddr())
		}
	})
}

// FuzzPublishRequests: no line of a guest ends the host, and a listener is where a container could have asked for it.
func FuzzPublishRequests(f *testing.F) {
	f.Add([]byte(`{"id":1,"op":"close"}`))
	f.Add([]byte(`{"id":1,"op":"listen","protocol":"tcp","hostIP":"300.1.1.1","hostPort":1}`))
	f.Add([]byte(`{"id":1,"op":"listen","protocol":"sctp"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var req api.PublishRequest
		if json.Unmarshal(line, &req) != nil {
			return
		}
		at, err := wanted(&req)
		if err != nil {
			return
		}
		if !at.addr.Addr().IsValid() || at.protocol != "tcp" && at.protocol != "udp" {
			t.Errorf("%s: %v", line, at)
		}
		if req.HostIP == "" && !at.addr.Addr().IsLoopback() {
			t.Errorf("%s: nobody named an address, and it is %v", line, at)
		}
	})
}

// TestDialsAreBounded: a guest that asks for connections without an end hears no.
func TestDialsAreBounded(t *testing.T) {
	s := &session{f: New(slog.New(slog.DiscardHandler), nil, nil), room: make(chan struct{}, 1)}
	defer s.f.Close()
	out := &strings.Builder{}
	s.out = json.NewEncoder(out)
	s.room <- struct{}{}
	s.handle(context.Background(), &api.PublishRequest{ID: 7, Op: api.OpDial, Target: "tcp:127.0.0.1:1"})
	if want := fmt.Sprint(errors.New("too many connections")); !strings.Contains(out.String(), want) {
		t.Errorf("%s", out)
	}
}
