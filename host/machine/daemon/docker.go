package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"naru/guest/api"
	"naru/host/machine"
	"naru/host/proxy"
)

// serveDocker splices one connection of docker.sock to the engine, as soon as there is one.
func (d *Daemon) serveDocker(ctx context.Context, conn net.Conn) {
	if !d.rest.enter() {
		var woken bool
		if conn, woken = d.atRest(conn); !woken {
			return
		}
	}
	defer d.rest.leave()
	engine, err := d.awaitEngine(ctx)
	if err != nil {
		if ctx.Err() == nil {
			refuse(conn, err.Error())
		}
		return
	}
	defer context.AfterFunc(ctx, func() { _ = engine.Close() })()
	proxy.Splice(conn, engine)
}

// awaitEngine connects to the engine as soon as there is one. A VM that has just died is booted again: the state says so soon.
func (d *Daemon) awaitEngine(ctx context.Context) (net.Conn, error) {
	for {
		ev, err := d.state.settled(ctx)
		if err != nil {
			return nil, err
		}
		switch ev.State {
		case machine.StateFailed:
			return nil, errors.New(ev.Error)
		case machine.StateStopping, machine.StateStopped:
			return nil, errors.New("the machine is stopping")
		}
		vm := d.machine()
		dialCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
		engine, err := d.dialEngine(dialCtx, api.KindDocker, "")
		if err == nil {
			cancel()
			return engine, nil
		}
		d.log.Warn("a client of docker.sock", "error", err)
		if vm == nil || errors.Is(err, net.ErrClosed) {
			err = errors.Join(err, d.awaitChange(dialCtx, ev))
			if dialCtx.Err() == nil {
				cancel()
				continue
			}
		}
		// A VM that was killed refuses before it is known to be dead.
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) {
			soon, stop := context.WithTimeout(dialCtx, deathTold)
			changed := d.awaitChange(soon, ev) == nil
			stop()
			if changed {
				cancel()
				continue
			}
		}
		cancel()
		return nil, err
	}
}

// deathTold is how long after a VM's death its hypervisor's process may still be ending.
const deathTold = 5 * time.Second

// refuse answers one request with 503 and the reason, in the form of Docker's errors. The request is read first: a
// client takes an answer that comes before it asked for a mistake of the server.
func refuse(conn net.Conn, why string) {
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	body, err := json.Marshal(map[string]string{"message": why})
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"+
		"Connection: close\r\nContent-Length: %s\r\n\r\n", strconv.Itoa(len(body)))
	if req.Method != http.MethodHead {
		_, _ = conn.Write(body)
	}
	if h, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20)) // closing with unread bytes would reset the answer away
}
