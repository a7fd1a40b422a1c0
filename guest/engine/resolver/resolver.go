// Package resolver is the DNS server of containers on user-defined networks, at 127.0.0.11 inside each of them.
//
// Its sockets lie in the containers' network namespaces, at ports of their own (so that a container can serve port 53
// itself), and a rule there sends port 53 of 127.0.0.11 to them: nobody but the container can reach them. One goroutine
// waits for all of them, and answers at once what it knows; only questions for other servers, and TCP connections, get
// goroutines, of a bounded number. While no engine runs, questions are not refused but unanswered, so that clients ask
// again; the next engine opens the sockets again at the same ports.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// Addr is where containers find the server.
var Addr = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// Bounds, of all containers and of each.
const (
	maxForwards, maxForwardsEach = 1024, 256
	maxStreams, maxStreamsEach   = 512, 32
	streamIdle                   = 10 * time.Second
)

// Client is a container that asks.
type Client interface {
	// Lookup returns the addresses of a name (in lower case, without the dot at its end) of one family. known tells
	// that the name belongs to a container or the host, though it may have no such address.
	Lookup(name string, v6 bool) (addrs []netip.Addr, known bool)
	// Reverse returns the name of whoever has an address, "" for nobody.
	Reverse(addr netip.Addr) string
	// Servers are those that know other names, the first three at most; none where nothing may get out.
	Servers() []netip.Addr
	// Dial connects to one of them.
	Dial(ctx context.Context, network string, server netip.Addr) (net.Conn, error)
	// DotsMatter reports whether names of one label are the container's own matter, to be tried with its search domains.
	DotsMatter() bool
}

// Server serves all containers. Safe for concurrent use.
type Server struct {
	log      *slog.Logger
	epoll    int
	wake     [2]int // a pipe: closing it ends the loop
	forwards chan struct{}
	streams  chan struct{}
	work     sync.WaitGroup
	loop     sync.WaitGroup
	life     context.Context
	end      context.CancelFunc

	mu   sync.Mutex         // guards all below
	byFD map[int32]*station // by each of their descriptors
	byID map[string]*station
}

// station is one container's sockets.
type station struct {
	*Sockets
	client   atomic.Pointer[Client]
	forwards chan struct{}
	streams  chan struct{}

	// use is held for reading while a descriptor is used, for writing when they are closed.
	use    sync.RWMutex
	closed bool
}

// New starts a server without clients.
func New(log *slog.Logger) (*Server, error) {
	s := &Server{
		log: log, forwards: make(chan struct{}, maxForwards), streams: make(chan struct{}, maxStreams),
		byFD: map[int32]*station{}, byID: map[string]*station{},
	}
	var err error
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make epoll: %w", err)
	}
	if err := unix.Pipe2(s.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		_ = unix.Close(s.epoll)
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, s.wake[0], &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.wake[0])}); err != nil {
		return nil, errors.Join(fmt.Errorf("watch pipe: %w", err), unix.Close(s.epoll), unix.Close(s.wake[0]), unix.Close(s.wake[1]))
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.loop.Go(s.run)
	return s, nil
}

// Set makes the container's sockets answer for client, and takes them over. With the sockets that it has already it only
// changes the client.
func (s *Server) Set(id string, sockets *Sockets, client Client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.byID[id]; old != nil {
		if old.Sockets == sockets {
			old.client.Store(&client)
			return nil
		}
		s.drop(id, old)
	}
	st := &station{Sockets: sockets, forwards: make(chan struct{}, maxForwardsEach), streams: make(chan struct{}, maxStreamsEach)}
	st.client.Store(&client)
	for _, fd := range []int{st.udp, st.tcp} {
		if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			delete(s.byFD, int32(st.udp))
			sockets.Close()
			return fmt.Errorf("watch socket: %w", err)
		}
		s.byFD[int32(fd)] = st
	}
	s.byID[id] = st
	return nil
}

// Remove closes the container's sockets: they would keep its namespace alive. Idempotent.
func (s *Server) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.byID[id]; st != nil {
		s.drop(id, st)
	}
}

func (s *Server) drop(id string, st *station) {
	delete(s.byID, id)
	delete(s.byFD, int32(st.udp))
	delete(s.byFD, int32(st.tcp))
	st.use.Lock()
	defer st.use.Unlock()
	if !st.closed {
		st.closed = true
		st.Close()
	}
}

// Close ends the server and closes all sockets.
func (s *Server) Close() {
	s.end()
	_ = unix.Close(s.wake[1])
	s.loop.Wait()
	s.mu.Lock()
	for id, st := range s.byID {
		s.drop(id, st)
	}
	s.mu.Unlock()
	s.work.Wait()
	_ = unix.Close(s.wake[0])
	_ = unix.Close(s.epoll)
}

// run waits for questions until Close.
func (s *Server) run() {
	events := make([]unix.EpollEvent, 64)
	buf := make([]byte, dns.MaxMsgSize)
	for {
		n, err := unix.EpollWait(s.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			s.log.Error("DNS: wait for questions", "error", err)
			return
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd == int32(s.wake[0]) {
				return
			}
			s.mu.Lock()
			st := s.byFD[e.Fd]
			s.mu.Unlock()
			if st == nil {
				continue // it has just gone
			}
			if e.Fd == int32(st.tcp) {
				s.accept(st)
			} else {
				s.receive(st, buf)
			}
		}
	}
}

// burst is how many questions of one container are read before the others have their turn.
const burst = 32

// receive answers what has come by UDP.
func (s *Server) receive(st *station, buf []byte) {
	for range burst {
		st.use.RLock()
		if st.closed {
			st.use.RUnlock()
			return
		}
		n, from, err := unix.Recvfrom(st.udp, buf, unix.MSG_DONTWAIT)
		st.use.RUnlock()
		if err != nil || from == nil {
			return
		}
		q := new(dns.Msg)
		if q.Unpack(buf[:n]) != nil || q.Response {
			continue
		}
		s.handle(st, q, "udp", func(m *dns.Msg) { st.send(m, from) })
	}
}

// send writes a reply. What cannot be sent the client asks again.
func (st *station) send(m *dns.Msg, to unix.Sockaddr) {
	data, err := m.Pack()
	if err != nil {
		return
	}
	st.use.RLock()
	defer st.use.RUnlock()
	if !st.closed {
		_ = unix.Sendto(st.udp, data, unix.MSG_DONTWAIT, to)
	}
}

// accept takes in what has come by TCP.
func (s *Server) accept(st *station) {
	for {
		st.use.RLock()
		if st.closed {
			st.use.RUnlock()
			return
		}
		fd, _, err := unix.Accept4(st.tcp, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		st.use.RUnlock()
		if err != nil {
			return
		}
		free, ok := take(s.streams, st.streams)
		if !ok {
			_ = unix.Close(fd)
			continue
		}
		s.work.Go(func() {
			defer free()
			s.serveStream(st, fd)
		})
	}
}

// take takes a place in both, and returns what gives them back.
func take(all, each chan struct{}) (free func(), ok bool) {
	select {
	case all <- struct{}{}:
	default:
		return nil, false
	}
	select {
	case each <- struct{}{}:
		return func() { <-each; <-all }, true
	default:
		<-all
		return nil, false
	}
}
