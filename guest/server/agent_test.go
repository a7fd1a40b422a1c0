package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"naru/guest/api"
)

// startAgent serves an agent on a unix socket, which knows half-close as AF_VSOCK does. Its API answers "pong".
func startAgent(t *testing.T, trusted bool, published string) func(hello string) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a")
	ln, err := net.Listen("unix", path)
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	s := &Server{log: log, http: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "pong")
	})}}
	s.life, s.endLife = context.WithCancel(context.Background())
	a := &Agent{
		Token: "right", HTTP: s, Log: log, Trusted: func(net.Addr) bool { return trusted },
		Published: func(target string) bool { return target == published },
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("serve: %v", err)
		}
		must(t, s.Close(context.Background()))
	})
	return func(hello string) *net.UnixConn {
		conn, err := net.Dial("unix", path)
		must(t, err)
		t.Cleanup(func() { conn.Close() })
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		if _, err = io.WriteString(conn, hello); !errors.Is(err, syscall.EPIPE) { // closed at once: read tells
			must(t, err)
		}
		return conn.(*net.UnixConn)
	}
}

func helloLine(h api.Hello) string {
	line, _ := json.Marshal(h)
	return string(line) + "\n"
}

func TestAgentServesTheAPI(t *testing.T) {
	dial := startAgent(t, true, "")
	// The request comes in the same packet as the Hello.
	conn := dial(helloLine(api.Hello{Version: api.Version, Token: "right", Kind: api.KindDocker}) + "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, err)
	if string(body) != "pong" {
		t.Errorf("got %q", body)
	}
}

func TestAgentRefuses(t *testing.T) {
	right := api.Hello{Version: api.Version, Token: "right", Kind: api.KindDocker}
	for name, change := range map[string]func(*api.Hello){
		"wrong token":    func(h *api.Hello) { h.Token = "wrong" },
		"no token":       func(h *api.Hello) { h.Token = "" },
		"other version":  func(h *api.Hello) { h.Version++ },
		"keeper's kind":  func(h *api.Hello) { h.Kind = api.KindShell },
		"not published":  func(h *api.Hello) { h.Kind, h.Target = api.KindForward, "tcp:127.0.0.1:22" },
		"no such scheme": func(h *api.Hello) { h.Kind, h.Target = api.KindForward, "unix:/run/docker.sock" },
	} {
		h := right
		change(&h)
		refused(t, name, startAgent(t, true, "tcp:127.0.0.1:1")(helloLine(h)))
	}
	refused(t, "not the host", startAgent(t, false, "")(helloLine(right)))
	refused(t, "endless line", startAgent(t, true, "")(string(make([]byte, 2*api.MaxHello))))
}

func refused(t *testing.T, name string, conn net.Conn) {
	t.Helper()
	answer, err := io.ReadAll(conn)
	if len(answer) > 0 || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %q %v", name, answer, err)
	}
}

// TestAgentForwards: the end of each direction is passed on by itself.
func TestAgentForwards(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in, _ := io.ReadAll(conn) // up to the client's half-close
		_, _ = io.WriteString(conn, "got "+string(in))
	}()
	target := "tcp:" + ln.Addr().String()
	conn := startAgent(t, true, target)(helloLine(api.Hello{Version: api.Version, Token: "right", Kind: api.KindForward, Target: target}) + "early ")
	_, err = io.WriteString(conn, "late")
	must(t, err)
	must(t, conn.CloseWrite())
	answer, err := io.ReadAll(conn)
	must(t, err)
	if string(answer) != "got early late" {
		t.Errorf("got %q", answer)
	}
}

// TestAgentForwardsDatagrams: each frame is a datagram, also an empty one.
func TestAgentForwardsDatagrams(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer server.Close()
	go func() {
		buf := make([]byte, api.MaxDatagram)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(append([]byte("re: "), buf[:n]...), from)
		}
	}()
	target := "udp:" + server.LocalAddr().String()
	conn := startAgent(t, true, target)(helloLine(api.Hello{Version: api.Version, Token: "right", Kind: api.KindForward, Target: target}))
	buf := make([]byte, api.MaxDatagram)
	for _, text := range []string{"one", "", "two"} {
		_, err := api.WriteDatagram(conn, []byte(text), nil)
		must(t, err)
		got, err := api.ReadDatagram(conn, buf)
		if err != nil || string(got) != "re: "+text {
			t.Errorf("got %q, %v", got, err)
		}
	}
}
