package resolver

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// ttl is Docker's, in seconds.
const ttl = 600

// handle answers q by reply: at once, or later from a goroutine that asks other servers.
func (s *Server) handle(st *station, q *dns.Msg, proto string, reply func(*dns.Msg)) {
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery {
		reply(new(dns.Msg).SetRcode(q, dns.RcodeFormatError))
		return
	}
	client := *st.client.Load()
	if m := s.answer(client, q); m != nil {
		size := dns.MinMsgSize
		if proto == "tcp" {
			size = dns.MaxMsgSize
		} else if opt := q.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		m.Truncate(size)
		reply(m)
		return
	}
	free, ok := take(s.forwards, st.forwards)
	if !ok {
		reply(new(dns.Msg).SetRcode(q, dns.RcodeRefused))
		return
	}
	s.work.Go(func() {
		defer free()
		reply(s.forward(client, q, proto))
	})
}

// answer is what is known here, nil when others must be asked.
func (s *Server) answer(c Client, q *dns.Msg) *dns.Msg {
	question := q.Question[0]
	name := strings.ToLower(strings.TrimSuffix(question.Name, "."))
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	h := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: ttl}
	switch question.Qtype {
	case dns.TypeA, dns.TypeAAAA:
		v6 := question.Qtype == dns.TypeAAAA
		addrs, known := c.Lookup(name, v6)
		if !known {
			if c.DotsMatter() && !strings.Contains(name, ".") {
				return m // the client tries again with its search domains
			}
			return nil
		}
		rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
		for _, a := range addrs {
			if v6 {
				m.Answer = append(m.Answer, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
			} else {
				m.Answer = append(m.Answer, &dns.A{Hdr: h, A: a.AsSlice()})
			}
		}
		return m
	case dns.TypeMX: // RFC 5321, 5.1: none means the address itself
		if _, known := c.Lookup(name, false); known {
			return m
		}
	case dns.TypePTR:
		addr, ok := reverseAddr(name)
		if !ok {
			return nil
		}
		if host := c.Reverse(addr); host != "" {
			m.Answer = append(m.Answer, &dns.PTR{Hdr: h, Ptr: dns.Fqdn(host)})
			return m
		}
	}
	return nil
}

// reverseAddr reads 4.3.2.1.in-addr.arpa and its like of IPv6.
func reverseAddr(name string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		p := strings.Split(rest, ".")
		if len(p) != 4 {
			return netip.Addr{}, false
		}
		addr, err := netip.ParseAddr(p[3] + "." + p[2] + "." + p[1] + "." + p[0])
		return addr, err == nil
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa")
	nibbles := strings.Split(rest, ".")
	if !ok || len(nibbles) != 32 {
		return netip.Addr{}, false
	}
	var b strings.Builder
	for i := 31; i >= 0; i-- {
		b.WriteString(nibbles[i])
		if i%4 == 0 && i > 0 {
			b.WriteByte(':')
		}
	}
	addr, err := netip.ParseAddr(b.String())
	return addr, err == nil
}

// serverTime bounds the question to one other server.
const serverTime = 4 * time.Second

// forward asks other servers, one after the other, and returns what the first says that does not fail.
func (s *Server) forward(c Client, q *dns.Msg, proto string) *dns.Msg {
	servers := c.Servers()
	for _, server := range servers[:min(3, len(servers))] {
		m := s.exchange(c, server, q, proto)
		if m == nil || m.Rcode == dns.RcodeServerFailure || m.Rcode == dns.RcodeRefused {
			continue
		}
		m.Id, m.Compress = q.Id, true
		return m
	}
	return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
}

func (s *Server) exchange(c Client, server netip.Addr, q *dns.Msg, proto string) *dns.Msg {
	ctx, cancel := context.WithTimeout(s.life, serverTime)
	defer cancel()
	conn, err := c.Dial(ctx, proto, server)
	if err != nil {
		s.log.Debug("DNS: connect to name server", "server", server, "error", err)
		return nil
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	// Some servers answer without EDNS with more than 512 bytes: what comes is passed on.
	client := &dns.Client{Net: proto, Timeout: serverTime, UDPSize: dns.MaxMsgSize}
	m, _, err := client.ExchangeWithConnContext(ctx, q.Copy(), &dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize})
	if err != nil && m == nil {
		s.log.Debug("DNS: ask name server", "server", server, "error", err)
	}
	return m
}

// serveStream answers the questions of one TCP connection, in their order, until the client has no more.
func (s *Server) serveStream(st *station, fd int) {
	file := os.NewFile(uintptr(fd), "dns")
	stream, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return
	}
	defer stream.Close()
	stop := context.AfterFunc(s.life, func() { _ = stream.Close() })
	defer stop()
	conn := &dns.Conn{Conn: stream}
	for {
		_ = stream.SetDeadline(time.Now().Add(streamIdle))
		q, err := conn.ReadMsg()
		if err != nil || q.Response {
			return
		}
		done := make(chan *dns.Msg, 1)
		s.handle(st, q, "tcp", func(m *dns.Msg) { done <- m })
		m := <-done // handle always replies
		_ = stream.SetDeadline(time.Now().Add(streamIdle))
		if conn.WriteMsg(m) != nil {
			return
		}
	}
}
