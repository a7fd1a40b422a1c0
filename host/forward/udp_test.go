package forward

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"naru/guest/api"
)

// TestUDP: each client has a stream of its own, and its answers come back to it alone.
func TestUDP(t *testing.T) {
	clients := make(chan net.Conn, 10)
	f := New(slog.New(slog.DiscardHandler), func(_ context.Context, kind, target string) (net.Conn, error) {
		if kind != api.KindForward || target != "udp:172.17.0.2:53" {
			t.Errorf("stream %s %s", kind, target)
		}
		ours, theirs := net.Pipe()
		clients <- theirs
		return ours, nil
	}, nil)
	defer f.Close()
	e := connect(t, f)
	// The second is asked at an address that is not the one its route back would choose.
	for host, ask := range map[string]string{"127.0.0.1": "127.0.0.1", "0.0.0.0": "127.0.0.2", "::1": "::1", "::": "::1"} {
		if host == "0.0.0.0" && runtime.GOOS != "linux" {
			continue // 127.0.0.2 is not there
		}
		reply := e.call(api.PublishRequest{ID: 1, Op: api.OpListen, Protocol: "udp", HostIP: host, Target: "udp:172.17.0.2:53"})
		if reply.Error != "" || reply.HostPort == 0 {
			if ask == "::1" {
				t.Logf("no IPv6 here: %s", reply.Error)
				continue
			}
			t.Fatalf("listen: %+v", reply)
		}
		addr := net.JoinHostPort(ask, fmt.Sprint(reply.HostPort))
		var conns []net.Conn
		for i := range 2 {
			c, err := net.Dial("udp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(c, "question %d", i)
			conns = append(conns, c)
			guest := <-clients
			buf := make([]byte, api.MaxDatagram)
			got, err := api.ReadDatagram(guest, buf)
			if err != nil || string(got) != fmt.Sprintf("question %d", i) {
				t.Fatalf("the guest got %q, %v", got, err)
			}
			go func() { _, _ = api.WriteDatagram(guest, fmt.Appendf(nil, "answer %d", i), nil) }()
		}
		for i, c := range conns {
			buf := make([]byte, 100)
			n, err := c.Read(buf)
			if err != nil || string(buf[:n]) != fmt.Sprintf("answer %d", i) {
				t.Errorf("client %d got %q, %v", i, buf[:n], err)
			}
		}
		if again := e.call(api.PublishRequest{ID: 2, Op: api.OpListen, Protocol: "udp", HostIP: host, HostPort: reply.HostPort, Target: "udp:172.17.0.3:53"}); again.Error == "" {
			t.Error("a port was given twice")
		}
		e.call(api.PublishRequest{ID: 1, Op: api.OpClose})
	}
}
