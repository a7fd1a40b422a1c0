package forward

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"

	"naru/guest/api"
	"naru/host/proxy"
)

// The guest is not trusted: what one stream can take of the host is bounded. Its lines are, by bufio.Scanner.
const (
	maxHead  = 64 << 10 // bytes of the answer to the upgrade
	maxDials = 256      // connections that are being made
	maxPorts = 20_000   // ports listened on
)

// Serve asks the engine on conn, a stream of api.KindDocker, for its publish stream and does what it says until the
// stream ends or ctx does. It closes conn. onReady is called once the engine has agreed.
func (f *Forwarder) Serve(ctx context.Context, conn net.Conn, onReady func()) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	in, err := upgrade(conn)
	if err != nil {
		return fmt.Errorf("open the publish stream: %w", err)
	}
	onReady()
	s := &session{f: f, number: f.begin(), out: json.NewEncoder(conn), room: make(chan struct{}, maxDials)}
	defer s.dials.Wait()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var req api.PublishRequest
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			return fmt.Errorf("publish stream: %w", err)
		}
		s.handle(ctx, &req)
	}
	return errors.Join(ctx.Err(), lines.Err())
}

// upgrade speaks HTTP once and returns what follows it.
func upgrade(conn net.Conn) (io.Reader, error) {
	_, err := io.WriteString(conn, "POST "+api.PublishPath+" HTTP/1.1\r\nHost: naru\r\nContent-Length: 0\r\n"+
		"Connection: Upgrade\r\nUpgrade: naru-publish\r\n\r\n")
	if err != nil {
		return nil, err
	}
	head := &io.LimitedReader{R: conn, N: maxHead}
	in := bufio.NewReader(head)
	res, err := http.ReadResponse(in, &http.Request{Method: http.MethodPost})
	if err != nil {
		return nil, err
	}
	head.N = math.MaxInt64
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 1024))
		return nil, fmt.Errorf("the engine answers %s: %s", res.Status, body)
	}
	return in, nil
}

// session is one publish stream.
type session struct {
	f      *Forwarder
	number uint64
	dials  sync.WaitGroup
	room   chan struct{} // a token for each dial

	mu  sync.Mutex // guards out, one line each
	out *json.Encoder
}

func (s *session) reply(r api.PublishReply, err error) {
	if err != nil {
		r.Error = reason(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(r) // the stream's end is seen by its reader
}

func (s *session) handle(ctx context.Context, req *api.PublishRequest) {
	switch req.Op {
	case api.OpListen:
		at, err := s.f.listen(s.number, req)
		if err != nil {
			s.reply(api.PublishReply{ID: req.ID}, err)
			return
		}
		s.reply(api.PublishReply{ID: req.ID, HostIP: at.Addr().String(), HostPort: at.Port()}, nil)
	case api.OpClose:
		s.f.close(s.number, req.ID)
		s.reply(api.PublishReply{ID: req.ID}, nil)
	case api.OpDial:
		select {
		case s.room <- struct{}{}:
			s.dials.Go(func() {
				defer func() { <-s.room }()
				s.dial(ctx, req)
			})
		default:
			s.reply(api.PublishReply{ID: req.ID}, errors.New("too many connections are being made"))
		}
	default:
		s.reply(api.PublishReply{ID: req.ID}, fmt.Errorf("unknown operation %q", req.Op))
	}
}

// dial connects, answers, and then brings the connection.
func (s *session) dial(ctx context.Context, req *api.PublishRequest) {
	conn, err := s.f.dial(ctx, req.Target)
	s.reply(api.PublishReply{ID: req.ID}, err)
	if err != nil {
		return
	}
	stream, err := s.f.guest(ctx, api.KindDialed, strconv.FormatUint(req.ID, 10))
	if err != nil {
		s.f.log.Warn("bring a connection to the engine", "target", req.Target, "error", err)
		_ = conn.Close()
		return
	}
	s.f.work.Go(func() {
		defer context.AfterFunc(s.f.ctx, func() { _ = conn.Close(); _ = stream.Close() })()
		proxy.Splice(conn, stream)
	})
}
