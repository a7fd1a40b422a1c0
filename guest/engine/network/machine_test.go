package network

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	stdnet "net"
	"strings"
	"testing"

	"naru/guest/api"
)

// fakeHost is the machine's daemon at the other end of the publish stream: it answers as told and keeps what it was asked.
type fakeHost struct {
	asked chan api.PublishRequest
	conn  stdnet.Conn
	done  chan error // Serve's result
}

func connectHost(w *world, answer func(api.PublishRequest) api.PublishReply) *fakeHost {
	ours, theirs := stdnet.Pipe()
	h := &fakeHost{asked: make(chan api.PublishRequest, 100), conn: theirs, done: make(chan error, 1)}
	go func() { h.done <- w.m.Publisher().Serve(context.Background(), ours) }()
	go func() {
		lines := bufio.NewScanner(theirs)
		for lines.Scan() {
			var req api.PublishRequest
			_ = json.Unmarshal(lines.Bytes(), &req)
			reply := answer(req)
			reply.ID = req.ID
			line, _ := json.Marshal(reply)
			h.asked <- req
			_, _ = theirs.Write(append(line, '\n'))
		}
	}()
	w.t.Cleanup(func() { _ = theirs.Close() })
	return h
}

func granting(port uint16) func(api.PublishRequest) api.PublishReply {
	return func(r api.PublishRequest) api.PublishReply {
		if r.HostPort != 0 {
			port = r.HostPort
		}
		return api.PublishReply{HostIP: cmp.Or(r.HostIP, "127.0.0.1"), HostPort: port}
	}
}

func TestMachinePublish(t *testing.T) {
	w := newWorld(t, api.ModeMachine)
	host := connectHost(w, granting(40000))
	a := w.attach("a", publish("80", "", ""))
	req := <-host.asked
	target := "tcp:" + a.Addr.String() + ":80"
	if req.Op != "listen" || req.Target != target || req.HostPort != 0 || req.HostIP != "" {
		t.Errorf("asked %+v", req)
	}
	for _, b := range a.Ports {
		if b[0].HostIP.String() != "127.0.0.1" || b[0].HostPort != "40000" {
			t.Errorf("ports %+v", a.Ports)
		}
	}
	if !w.m.Published(target) || w.m.Published("tcp:"+a.Addr.String()+":81") || w.m.Published("udp:"+a.Addr.String()+":80") {
		t.Error("published targets")
	}

	// The host's daemon restarts, then the engine does: each time the port is asked for again, as it was granted.
	_ = host.conn.Close()
	<-host.done
	host = connectHost(w, granting(0))
	if again := <-host.asked; again.HostPort != 40000 || again.HostIP != "127.0.0.1" || again.Target != target {
		t.Errorf("asked again %+v", again)
	}
	_ = host.conn.Close()
	<-host.done
	w.kill()
	w.start("a")
	host = connectHost(w, granting(0))
	if again := <-host.asked; again.HostPort != 40000 || again.Target != target {
		t.Errorf("asked by the next engine %+v", again)
	}

	_, err := w.m.Attach(context.Background(), Request{ContainerID: "b", Name: "b", Mode: "bridge", Ports: publish("80", "", "40000")})
	if err == nil || !strings.HasSuffix(err.Error(), "Bind for 0.0.0.0:40000 failed: port is already allocated") {
		t.Errorf("conflict in the machine: %v", err)
	}
	w.detach("a")
	if closed := <-host.asked; closed.Op != "close" || closed.HostPort != 40000 || w.m.Published(target) {
		t.Errorf("at detach asked %+v", closed)
	}
	_ = host.conn.Close()
	<-host.done

	connectHost(w, func(api.PublishRequest) api.PublishReply { return api.PublishReply{Error: "address already in use"} })
	_, err = w.m.Attach(context.Background(), Request{ContainerID: "b", Name: "b", Mode: "bridge", Ports: publish("80", "", "8080")})
	if err == nil || !strings.Contains(err.Error(), "failed to bind host port for 0.0.0.0:8080:172.") ||
		!strings.HasSuffix(err.Error(), ":80/tcp: address already in use") {
		t.Errorf("conflict on the host: %v", err)
	}
	if len(w.m.ports.held) != 0 {
		t.Errorf("held: %v", w.m.ports.held)
	}
}

// TestMachinePublishesDatagrams: UDP ports, and ports of IPv6 addresses of the host, which lead to the container's IPv4.
func TestMachinePublishesDatagrams(t *testing.T) {
	w := newWorld(t, api.ModeMachine)
	host := connectHost(w, granting(40001))
	a := w.attach("a", publish("53/udp", "::1", "5353"))
	if req := <-host.asked; req.Protocol != "udp" || req.HostIP != "::1" || req.HostPort != 5353 || req.Target != "udp:"+a.Addr.String()+":53" || !w.m.Published(req.Target) {
		t.Errorf("asked %+v", req)
	}
	w.detach("a")
}

func TestMachineWithoutHost(t *testing.T) {
	w := newWorld(t, api.ModeMachine)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errNoHost)
	if _, err := w.m.Attach(ctx, Request{ContainerID: "a", Name: "a", Mode: "bridge", Ports: publish("80", "", "80")}); err == nil {
		t.Error("a port was published without a host")
	}
	if len(w.m.boxes) != 0 || len(w.m.ports.held) != 0 {
		t.Error("something is left")
	}
}
