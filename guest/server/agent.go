package server

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mdlayher/vsock"

	"naru/guest/api"
	"naru/guest/engine/splice"
)

// helloTimeout bounds how long a peer may take to say who it is.
const helloTimeout = 10 * time.Second

// Agent answers the host on AF_VSOCK: each stream starts with an api.Hello, which says what it is for.
type Agent struct {
	Token     string
	Published func(target string) bool             // whether a forward may go there
	Dialed    func(id string, conn net.Conn) error // takes over a connection that the engine asked the host for
	HTTP      *Server                              // serves KindDocker
	// Watch serves KindWatch, and closes the stream.
	Watch func(ctx context.Context, conn net.Conn) error
	Log   *slog.Logger
	// Trusted judges a peer by its address; nil trusts the host, CID 2, alone. AF_VSOCK knows no network namespaces:
	// any container could knock here by way of the loopback CID.
	Trusted func(net.Addr) bool
}

// Serve answers on ln until ctx ends.
func (a *Agent) Serve(ctx context.Context, ln net.Listener) error {
	docker := &handedListener{addr: ln.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}
	var open sync.WaitGroup
	defer open.Wait()
	stop := context.AfterFunc(ctx, func() { ln.Close(); docker.Close() })
	defer stop()
	open.Go(func() {
		if err := a.HTTP.Serve(docker); err != nil && ctx.Err() == nil {
			a.Log.Error("serve host", "error", err)
		}
	})
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, net.ErrClosed) {
			docker.Close()
			return err
		}
		if err != nil { // a peer that went away in the queue, or no descriptors: the next one may do
			a.Log.Error("accept from host", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		open.Go(func() {
			if err := a.serve(ctx, conn, docker); err != nil {
				a.Log.Warn("stream from host", "peer", conn.RemoteAddr().String(), "error", err)
			}
		})
	}
}

// serve answers one stream; a wrong Hello is answered by closing it.
func (a *Agent) serve(ctx context.Context, conn net.Conn, docker *handedListener) error {
	d, ok := conn.(duplex)
	if !ok {
		conn.Close()
		return errors.New("the connection has no half-close")
	}
	hello, s, err := a.hello(d)
	if err != nil {
		conn.Close()
		return err
	}
	switch hello.Kind {
	case api.KindDocker:
		docker.hand(s)
		return nil
	case api.KindForward:
		defer conn.Close()
		return a.forward(ctx, s, hello.Target)
	case api.KindWatch:
		return a.Watch(ctx, s)
	case api.KindDialed:
		if err := a.Dialed(hello.Target, s); err != nil {
			conn.Close()
			return err
		}
		return nil
	}
	conn.Close()
	return fmt.Errorf("refused: %q is not served here", hello.Kind)
}

func (a *Agent) hello(conn duplex) (h api.Hello, s *stream, err error) {
	trusted := a.Trusted
	if trusted == nil {
		trusted = isHost
	}
	if !trusted(conn.RemoteAddr()) {
		return h, nil, errors.New("refused: not the host")
	}
	if err := conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return h, nil, err
	}
	in := bufio.NewReaderSize(conn, api.MaxHello)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return h, nil, fmt.Errorf("read hello: %w", err)
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, nil, fmt.Errorf("read hello: %w", err)
	}
	if h.Version != api.Version {
		return h, nil, fmt.Errorf("refused: host speaks version %d, guest %d", h.Version, api.Version)
	}
	if a.Token == "" || subtle.ConstantTimeCompare([]byte(h.Token), []byte(a.Token)) != 1 {
		return h, nil, errors.New("refused: wrong token")
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return h, nil, err
	}
	return h, &stream{conn, unread(in, conn)}, nil
}

func isHost(addr net.Addr) bool {
	a, ok := addr.(*vsock.Addr)
	return ok && a.ContextID == vsock.Host
}

// forward connects the host with a published port, and passes the end of each direction on.
func (a *Agent) forward(ctx context.Context, host duplex, target string) error {
	address, tcp := strings.CutPrefix(target, "tcp:")
	if !a.Published(target) {
		return fmt.Errorf("refused: %q is not published", target)
	}
	if !tcp {
		return a.forwardDatagrams(ctx, host, strings.TrimPrefix(target, "udp:"))
	}
	dialer := net.Dialer{Timeout: helloTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { host.Close(); conn.Close() })
	defer stop()
	splice.Both(host, conn.(*net.TCPConn))
	return nil
}

// forwardDatagrams carries the datagrams of one client of a published port, until the host ends the stream.
func (a *Agent) forwardDatagrams(ctx context.Context, host duplex, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { host.Close(); conn.Close() })
	defer stop()
	var back sync.WaitGroup
	back.Go(func() {
		buf, frame := make([]byte, api.MaxDatagram), []byte(nil)
		for {
			n, err := conn.Read(buf)
			if errors.Is(err, syscall.ECONNREFUSED) {
				continue // nobody listens there at the moment
			}
			if err == nil {
				frame, err = api.WriteDatagram(host, buf[:n], frame)
			}
			if err != nil {
				return
			}
		}
	})
	buf := make([]byte, api.MaxDatagram)
	for {
		data, err := api.ReadDatagram(host, buf)
		if err != nil {
			break // the client has been silent for a while
		}
		_, _ = conn.Write(data)
	}
	conn.Close()
	back.Wait()
	return nil
}

// handedListener is a listener whose connections are handed to it.
type handedListener struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *handedListener) hand(conn net.Conn) {
	select {
	case l.conns <- conn:
	case <-l.done:
		conn.Close()
	}
}

func (l *handedListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *handedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *handedListener) Addr() net.Addr { return l.addr }
