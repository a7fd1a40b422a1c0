package network

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"

	"naru/guest/api"
)

// Dial connects to a port of the host's loopback, by way of the host: in the VM "localhost" names another machine
// than the one its user sits at. addr is "host:port"; the host refuses what is not loopback.
func (p *Publisher) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return p.DialTarget(ctx, "tcp:"+addr)
}

// DialTarget connects to a target of api.OpDial.
func (p *Publisher) DialTarget(ctx context.Context, target string) (net.Conn, error) {
	network, addr, _ := strings.Cut(target, ":")
	s, err := p.current(ctx)
	if err != nil {
		return nil, err
	}
	come := make(chan net.Conn, 1)
	p.mu.Lock()
	p.lastID++
	id := p.lastID
	p.dials[id] = come
	p.mu.Unlock()
	defer p.forgetDial(id, come)
	if _, err := s.call(ctx, api.PublishRequest{ID: id, Op: api.OpDial, Target: target}); err != nil {
		return nil, fmt.Errorf("dial %s %s: %w", network, addr, err)
	}
	ctx, cancel := context.WithTimeout(ctx, hostReplyWait)
	defer cancel()
	select {
	case conn := <-come:
		return conn, nil
	case <-s.gone:
		return nil, fmt.Errorf("dial %s %s: %w", network, addr, errNoHost)
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s %s: the host does not bring the connection: %w", network, addr, ctx.Err())
	}
}

// forgetDial closes a connection that came after nobody waited for it any more.
func (p *Publisher) forgetDial(id uint64, come chan net.Conn) {
	p.mu.Lock()
	delete(p.dials, id)
	p.mu.Unlock()
	select {
	case conn := <-come:
		_ = conn.Close()
	default:
	}
}

// Dialed hands over a stream of api.KindDialed; target is the ID of the request. It takes conn over unless it returns
// an error.
func (p *Publisher) Dialed(target string, conn net.Conn) error {
	id, err := strconv.ParseUint(target, 10, 64)
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage("dialed stream: bad request ID")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	come, ok := p.dials[id]
	if !ok {
		return errdefs.ErrNotFound.WithMessage("dialed stream: nobody asked for it")
	}
	delete(p.dials, id)
	come <- conn
	return nil
}

// Dialed is Publisher.Dialed; in direct mode nobody asks for connections.
func (m *Manager) Dialed(target string, conn net.Conn) error {
	if m.pub == nil {
		return errdefs.ErrNotFound.WithMessage("dialed stream: nobody asked for it")
	}
	return m.pub.Dialed(target, conn)
}
