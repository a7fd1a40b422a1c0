// Package relay gives containers in the VM sockets of the host: for each there is one in the VM, and who connects to it is
// connected through the host daemon, which looks the real one up each time.
//
// They are this process's: in a container that runs while the engine is started anew such a socket refuses until the
// container is started again.
package relay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"naru/guest/engine/splice"
)

const (
	// maxConns bounds the open connections of one socket: a container can open as many as it likes.
	maxConns    = 256
	dialTimeout = 15 * time.Second
)

// Dialer connects to a target of api.OpDial.
type Dialer func(ctx context.Context, target string) (net.Conn, error)

// Relays are the sockets that were asked for. Its methods are safe for concurrent use.
type Relays struct {
	dir    string
	dial   Dialer
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu   sync.Mutex // guards open
	open map[string]*net.UnixListener
}

// New keeps its sockets in dir, a folder of its own, and removes those of an engine before. The caller closes it.
func New(dir string, dial Dialer, log *slog.Logger) (*Relays, error) {
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o711)); err != nil {
		return nil, fmt.Errorf("make sockets of the host: %w", err)
	}
	r := &Relays{dir: dir, dial: dial, log: log, open: map[string]*net.UnixListener{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Socket is the path of the socket that leads to target.
func (r *Relays) Socket(target string) (string, error) {
	sum := sha256.Sum256([]byte(target))
	path := filepath.Join(r.dir, hex.EncodeToString(sum[:8]))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[target] != nil {
		return path, nil
	}
	if r.ctx.Err() != nil {
		return "", net.ErrClosed
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return "", fmt.Errorf("make a socket of the host: %w", err)
	}
	// Whoever is in a container that was given the socket may use it, as which user ever: ssh clients seldom are root.
	if err := os.Chmod(path, 0o666); err != nil {
		return "", errors.Join(fmt.Errorf("make a socket of the host: %w", err), ln.Close())
	}
	r.open[target] = ln
	r.work.Go(func() { r.accept(ln, target) })
	return path, nil
}

// Close closes all sockets and connections.
func (r *Relays) Close() error {
	r.cancel()
	r.mu.Lock()
	var errs []error
	for _, ln := range r.open {
		errs = append(errs, ln.Close())
	}
	clear(r.open)
	r.mu.Unlock()
	r.work.Wait()
	return errors.Join(errs...)
}

func (r *Relays) accept(ln *net.UnixListener, target string) {
	room := make(chan struct{}, maxConns)
	for {
		select {
		case room <- struct{}{}:
		case <-r.ctx.Done():
			return
		}
		conn, err := ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptors, say: the next one may do
			<-room
			r.log.Error("accept at a socket of the host", "target", target, "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-r.ctx.Done():
			}
			continue
		}
		r.work.Go(func() {
			defer func() { <-room }()
			r.serve(conn, target)
		})
	}
}

// serve connects conn with the host's socket. One that cannot be reached is a connection that ends at once.
func (r *Relays) serve(conn *net.UnixConn, target string) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(r.ctx, dialTimeout)
	host, err := r.dial(ctx, target)
	cancel()
	if err != nil {
		r.log.Warn("reach a socket of the host", "target", target, "error", err)
		return
	}
	defer host.Close()
	defer context.AfterFunc(r.ctx, func() { _ = conn.Close(); _ = host.Close() })()
	half, ok := host.(splice.Duplex)
	if !ok {
		r.log.Error("reach a socket of the host", "target", target, "error", "the connection has no half-close")
		return
	}
	splice.Both(half, conn)
}
