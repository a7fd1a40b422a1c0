package network

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"naru/guest/api"
)

// How long a container start waits for the host: to connect at all, and to answer.
const (
	hostConnectWait = 5 * time.Second
	hostReplyWait   = 15 * time.Second
)

var errNoHost = errors.New("no host is connected that could listen for published ports")

// Publisher asks the host to listen for published ports, over the stream of api.PublishPath.
type Publisher struct {
	log *slog.Logger

	mu     sync.Mutex // guards all below
	stream *hostStream
	come   chan struct{} // closed when a stream is there; a new one is made when it goes
	lastID uint64
	wanted map[uint64]api.PublishRequest
	dials  map[uint64]chan net.Conn // connections asked for and not yet brought
}

// hostStream is one connection to the host's daemon.
type hostStream struct {
	conn io.ReadWriteCloser
	gone chan struct{} // closed when the stream has ended

	writeMu sync.Mutex // guards writes, one line each

	mu      sync.Mutex // guards waiting
	waiting map[uint64]chan api.PublishReply
}

func newPublisher(log *slog.Logger) *Publisher {
	return &Publisher{log: log, come: make(chan struct{}), wanted: map[uint64]api.PublishRequest{}, dials: map[uint64]chan net.Conn{}}
}

// Serve speaks over conn, the upgraded stream, until it ends or ctx does; it closes conn. All ports published so far
// are asked for again, so the host's daemon may restart. A second stream replaces the first.
func (p *Publisher) Serve(ctx context.Context, conn io.ReadWriteCloser) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	s := &hostStream{conn: conn, gone: make(chan struct{}), waiting: map[uint64]chan api.PublishReply{}}
	again := p.install(s)
	var announce sync.WaitGroup
	announce.Go(func() { p.announce(ctx, s, again) })
	err := s.read()
	close(s.gone)
	p.uninstall(s)
	announce.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// install makes s the current stream and returns what it must be told.
func (p *Publisher) install(s *hostStream) []api.PublishRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stream != nil {
		_ = p.stream.conn.Close()
	} else {
		close(p.come)
	}
	p.stream = s
	again := make([]api.PublishRequest, 0, len(p.wanted))
	for _, req := range p.wanted {
		again = append(again, req)
	}
	return again
}

func (p *Publisher) uninstall(s *hostStream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stream == s {
		p.stream, p.come = nil, make(chan struct{})
	}
}

// announce asks a new stream for the ports published before it came.
func (p *Publisher) announce(ctx context.Context, s *hostStream, again []api.PublishRequest) {
	for _, req := range again {
		p.mu.Lock()
		_, still := p.wanted[req.ID]
		p.mu.Unlock()
		if !still {
			continue
		}
		if _, err := s.call(ctx, req); err != nil {
			p.log.Warn("network: published port is not served by the host", "port", req.HostPort, "target", req.Target, "error", err)
		}
	}
}

// current waits a while for a stream.
func (p *Publisher) current(ctx context.Context) (*hostStream, error) {
	p.mu.Lock()
	s, come := p.stream, p.come
	p.mu.Unlock()
	if s != nil {
		return s, nil
	}
	wait := time.NewTimer(hostConnectWait)
	defer wait.Stop()
	select {
	case <-come:
	case <-wait.C:
		return nil, errNoHost
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stream == nil {
		return nil, errNoHost
	}
	return p.stream, nil
}

// listen asks the host to listen and returns b as it was granted.
func (p *Publisher) listen(ctx context.Context, b binding, target string) (binding, error) {
	s, err := p.current(ctx)
	if err != nil {
		return b, err
	}
	req := b.request(api.OpListen, target)
	p.mu.Lock()
	p.lastID++
	req.ID = p.lastID
	p.mu.Unlock()
	reply, err := s.call(ctx, req)
	if err != nil {
		return b, err
	}
	b.ID = req.ID
	if err := b.granted(reply.HostIP, reply.HostPort); err != nil {
		return b, err
	}
	p.keep(b, target)
	return b, nil
}

// keep remembers that b is wanted, also by a host that comes later.
func (p *Publisher) keep(b binding, target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastID = max(p.lastID, b.ID)
	p.wanted[b.ID] = b.request(api.OpListen, target)
}

// close asks the host to stop listening. A host that is away, or fails, has nothing to close.
func (p *Publisher) close(ctx context.Context, b binding, target string) {
	p.mu.Lock()
	delete(p.wanted, b.ID)
	s := p.stream
	p.mu.Unlock()
	if s == nil {
		return
	}
	if _, err := s.call(ctx, b.request(api.OpClose, target)); err != nil {
		p.log.Debug("network: host did not close a port", "port", b.HostPort, "error", err)
	}
}

// request is what the host is asked for b.
func (b binding) request(op, target string) api.PublishRequest {
	req := api.PublishRequest{ID: b.ID, Op: op, Protocol: b.Proto, HostPort: b.HostPort, Target: target}
	if b.HostIP.IsValid() {
		req.HostIP = b.HostIP.String()
	}
	return req
}

// read takes in replies until the stream ends.
func (s *hostStream) read() error {
	lines := bufio.NewScanner(s.conn)
	for lines.Scan() {
		var reply api.PublishReply
		if err := json.Unmarshal(lines.Bytes(), &reply); err != nil {
			return fmt.Errorf("publish stream: %w", err)
		}
		s.mu.Lock()
		ch := s.waiting[reply.ID]
		delete(s.waiting, reply.ID)
		s.mu.Unlock()
		if ch != nil {
			ch <- reply
		}
	}
	return lines.Err()
}

// call sends one request and waits for its reply.
func (s *hostStream) call(ctx context.Context, req api.PublishRequest) (api.PublishReply, error) {
	ctx, cancel := context.WithTimeout(ctx, hostReplyWait)
	defer cancel()
	ch := make(chan api.PublishReply, 1)
	s.mu.Lock()
	s.waiting[req.ID] = ch
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		if s.waiting[req.ID] == ch {
			delete(s.waiting, req.ID)
		}
		s.mu.Unlock()
	}()
	if err := s.write(req); err != nil {
		return api.PublishReply{}, err
	}
	select {
	case reply := <-ch:
		if reply.Error != "" {
			return reply, errors.New(reply.Error)
		}
		return reply, nil
	case <-s.gone:
		return api.PublishReply{}, errNoHost
	case <-ctx.Done():
		return api.PublishReply{}, fmt.Errorf("the host does not answer: %w", ctx.Err())
	}
}

func (s *hostStream) write(req api.PublishRequest) error {
	line, err := json.Marshal(req)
	if err != nil {
		return err
	}
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if d, ok := s.conn.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = d.SetWriteDeadline(time.Now().Add(hostReplyWait))
	}
	if _, err := s.conn.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("ask the host: %w", err)
	}
	return nil
}
