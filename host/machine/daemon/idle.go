package daemon

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"naru/guest/api"
	"naru/host/machine"
	"naru/platform/ipc"
)

// A machine in which nothing runs, and of which nobody wants anything for a while, is put to rest: the VM powers off, and
// this process stays with its sockets. The next call boots it again and waits meanwhile. Pings are answered without that.
//
//	running ──no container, no client for the settings' time──▶ idle ──a client──▶ booting

// rest is who uses the machine, and whether it is at rest.
type rest struct {
	wanted chan struct{} // gets one when somebody wants a machine that is at rest

	mu      sync.Mutex // guards what follows
	clients int
	last    time.Time // when the last client left, or a container was seen
	asleep  bool
	pong    []byte // the engine's answer to a ping
}

func newRest() *rest { return &rest{wanted: make(chan struct{}, 1), last: time.Now()} }

// enter counts a client of a machine that is awake; of one at rest it does nothing and returns false.
func (r *rest) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asleep {
		return false
	}
	r.clients++
	return true
}

// wake counts a client, and has a machine at rest booted for it.
func (r *rest) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients++
	if r.asleep {
		select {
		case r.wanted <- struct{}{}:
		default:
		}
	}
}

func (r *rest) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients--
	r.last = time.Now()
}

// inUse says that a container runs.
func (r *rest) inUse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = time.Now()
}

// sleep puts the machine to rest when nobody used it for so long, and is false when somebody did. tell is called before any
// client can know.
func (r *rest) sleep(after time.Duration, tell func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asleep = r.clients == 0 && time.Since(r.last) >= after
	if r.asleep {
		tell()
	}
	return r.asleep
}

// woken is called when the machine boots again.
func (r *rest) woken() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asleep, r.last = false, time.Now()
	select {
	case <-r.wanted:
	default:
	}
}

// awaitRest returns true when the machine has been put to rest, and false when ctx ended before.
func (d *Daemon) awaitRest(ctx context.Context) bool {
	after := d.settings.EffectiveIdle()
	if after == 0 {
		<-ctx.Done()
		return false
	}
	d.learnPong(ctx)
	tick := time.NewTicker(min(max(after/8, 10*time.Millisecond), 15*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
		askCtx, cancel := context.WithTimeout(ctx, clockPatience)
		reply, err := d.ask(askCtx, api.ControlRequest{Op: api.OpStatus})
		cancel()
		if err != nil || reply.Status == nil || reply.Status.Containers > 0 {
			d.rest.inUse() // or nobody knows
			continue
		}
		if d.rest.sleep(after, func() { d.state.set(machine.StateIdle, "", nil) }) {
			return true
		}
	}
}

// learnPong asks the engine for the answer to a ping, to give it in its place while the machine is at rest.
func (d *Daemon) learnPong(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := d.dialEngine(ctx, api.KindDocker, "")
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, _ = io.WriteString(conn, "GET /_ping HTTP/1.1\r\nHost: naru\r\nConnection: close\r\n\r\n")
	pong, err := io.ReadAll(io.LimitReader(conn, 8<<10))
	if err != nil || !bytes.HasPrefix(pong, []byte("HTTP/1.1 200")) {
		return
	}
	d.rest.mu.Lock()
	defer d.rest.mu.Unlock()
	d.rest.pong = pong
}

var pingPath = regexp.MustCompile(`^(/v[0-9.]+)?/_ping$`)

// atRest serves a client of a machine at rest. A ping is answered and ends the connection; for any other request the machine
// is woken, the client counted, and the connection given back as if nothing had been read of it.
func (d *Daemon) atRest(conn net.Conn) (_ net.Conn, woken bool) {
	var seen bytes.Buffer
	// A client that says nothing wants nothing yet; the end of the daemon closes its connection.
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(io.LimitReader(conn, 64<<10), &seen)))
	d.rest.mu.Lock()
	pong := d.rest.pong
	d.rest.mu.Unlock()
	if err == nil && pong != nil && pingPath.MatchString(req.URL.Path) && (req.Method == http.MethodGet || req.Method == http.MethodHead) {
		if head, _, ok := bytes.Cut(pong, []byte("\r\n\r\n")); ok && req.Method == http.MethodHead {
			pong = append(bytes.Clone(head), "\r\n\r\n"...)
		}
		_, _ = conn.Write(pong)
		return nil, false
	}
	if err != nil && seen.Len() == 0 {
		return nil, false // it went away
	}
	d.rest.wake()
	if c, ok := conn.(ipc.Conn); ok {
		return &again{Conn: c, r: io.MultiReader(&seen, c)}, true
	}
	return conn, true
}

// again is a connection of which something was read before.
type again struct {
	ipc.Conn
	r io.Reader
}

func (a *again) Read(p []byte) (int, error) { return a.r.Read(p) }
