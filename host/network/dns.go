package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	lookupTimeout = 10 * time.Second
	answerTTL     = 5 // seconds; the host's resolver tells none, and the host's network may change at any time
)

// resolver is the part of net.Resolver that questions are put to.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupCNAME(ctx context.Context, host string) (string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNS(ctx context.Context, name string) ([]*net.NS, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// dnsServer answers the guest by asking the host's own resolver, each time anew: a VPN that comes or goes counts
// from the next question on.
type dnsServer struct {
	log     *slog.Logger
	up      resolver
	servers []*dns.Server
	work    sync.WaitGroup
}

func startDNS(log *slog.Logger, up resolver, packets net.PacketConn, streams net.Listener) *dnsServer {
	s := &dnsServer{log: log, up: up}
	s.servers = []*dns.Server{{PacketConn: packets, Handler: s}, {Listener: streams, Handler: s}}
	for _, server := range s.servers {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		s.work.Go(func() {
			if err := server.ActivateAndServe(); err != nil {
				log.Debug("DNS server ended", "error", err)
			}
		})
		<-started // a server that has not begun cannot be shut down
	}
	return s
}

func (s *dnsServer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, server := range s.servers {
		_ = server.ShutdownContext(ctx)
	}
	s.work.Wait()
}

// ServeDNS answers one message.
func (s *dnsServer) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	m := new(dns.Msg).SetReply(r)
	m.RecursionAvailable = true
	switch {
	case r.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case len(r.Question) != 1 || r.Question[0].Qclass != dns.ClassINET:
		m.Rcode = dns.RcodeRefused
	default:
		ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
		m.Answer, m.Rcode = s.answer(ctx, r.Question[0])
		cancel()
	}
	size := dns.MinMsgSize
	if opt := r.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
		m.SetEdns0(4096, false)
	}
	if _, stream := w.RemoteAddr().(*net.TCPAddr); stream {
		size = dns.MaxMsgSize
	}
	m.Truncate(size)
	_ = w.WriteMsg(m) // the asker has gone, or asks again
}

func (s *dnsServer) answer(ctx context.Context, q dns.Question) ([]dns.RR, int) {
	records, err := s.lookup(ctx, q)
	var dnsErr *net.DNSError
	switch {
	case err == nil:
		return records, dns.RcodeSuccess
	case errors.As(err, &dnsErr) && dnsErr.IsNotFound:
		return nil, dns.RcodeNameError
	default:
		// Not "no such name": resolvers remember that.
		s.log.Debug("DNS question", "type", dns.TypeToString[q.Qtype], "error", err)
		return nil, dns.RcodeServerFailure
	}
}

func (s *dnsServer) lookup(ctx context.Context, q dns.Question) (rrs []dns.RR, err error) {
	h := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: answerTTL}
	switch q.Qtype {
	case dns.TypeA:
		addrs, err := s.addresses(ctx, "ip4", q.Name)
		for _, a := range addrs {
			rrs = append(rrs, &dns.A{Hdr: h, A: a.Unmap().AsSlice()})
		}
		return rrs, err
	case dns.TypeAAAA:
		addrs, err := s.addresses(ctx, "ip6", q.Name)
		for _, a := range addrs {
			rrs = append(rrs, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
		}
		return rrs, err
	case dns.TypeCNAME:
		name, err := s.up.LookupCNAME(ctx, q.Name)
		if err == nil && !strings.EqualFold(name, q.Name) {
			rrs = append(rrs, &dns.CNAME{Hdr: h, Target: name})
		}
		return rrs, err
	case dns.TypeMX:
		hosts, err := s.up.LookupMX(ctx, q.Name)
		for _, mx := range hosts {
			rrs = append(rrs, &dns.MX{Hdr: h, Mx: mx.Host, Preference: mx.Pref})
		}
		return rrs, err
	case dns.TypeNS:
		hosts, err := s.up.LookupNS(ctx, q.Name)
		for _, ns := range hosts {
			rrs = append(rrs, &dns.NS{Hdr: h, Ns: ns.Host})
		}
		return rrs, err
	case dns.TypeSRV:
		_, hosts, err := s.up.LookupSRV(ctx, "", "", q.Name)
		for _, srv := range hosts {
			rrs = append(rrs, &dns.SRV{Hdr: h, Target: srv.Target, Port: srv.Port, Priority: srv.Priority, Weight: srv.Weight})
		}
		return rrs, err
	case dns.TypeTXT:
		texts, err := s.up.LookupTXT(ctx, q.Name)
		for _, text := range texts {
			rrs = append(rrs, &dns.TXT{Hdr: h, Txt: pieces(text)})
		}
		return rrs, err
	case dns.TypePTR:
		return s.lookupAddr(ctx, h)
	default:
		return nil, fmt.Errorf("questions of type %s cannot be put to the host", dns.TypeToString[q.Qtype])
	}
}

// addresses are those of one family. A name that has only others exists all the same: the host's resolver does not tell the two
// apart, and a client that hears "no such name" may not ask for the other family any more.
func (s *dnsServer) addresses(ctx context.Context, family, name string) ([]netip.Addr, error) {
	addrs, err := s.up.LookupNetIP(ctx, family, hostName(name))
	var dnsErr *net.DNSError
	if errors.As(err, &dnsErr) && dnsErr.IsNotFound {
		if _, other := s.up.LookupNetIP(ctx, "ip", hostName(name)); other == nil {
			return nil, nil
		}
	}
	return addrs, err
}

// lookupAddr answers who has an address.
func (s *dnsServer) lookupAddr(ctx context.Context, h dns.RR_Header) (rrs []dns.RR, err error) {
	addr, ok := reversed(h.Name)
	if !ok {
		return nil, &net.DNSError{Err: "not an address", Name: h.Name, IsNotFound: true}
	}
	names, err := s.up.LookupAddr(ctx, addr.String())
	for _, name := range names {
		rrs = append(rrs, &dns.PTR{Hdr: h, Ptr: dns.Fqdn(name)})
	}
	return rrs, err
}

// reversed is the address that a name below in-addr.arpa or ip6.arpa stands for.
func reversed(name string) (netip.Addr, bool) {
	labels := dns.SplitDomainName(strings.ToLower(name))
	slices.Reverse(labels)
	text := ""
	switch {
	case len(labels) == 6 && labels[1] == "in-addr":
		text = strings.Join(labels[2:], ".")
	case len(labels) == 34 && labels[1] == "ip6":
		for i := 2; i < len(labels); i += 4 {
			text += ":" + strings.Join(labels[i:i+4], "")
		}
		text = text[1:]
	}
	addr, err := netip.ParseAddr(text)
	return addr, err == nil && labels[0] == "arpa"
}

// hostName is how to ask the host for a name. One of a single label goes without its dot: Go finds those of the
// host's own hosts file only so. It then also goes through the host's search domains, as for any program there.
func hostName(name string) string {
	if strings.Count(name, ".") == 1 {
		return strings.TrimSuffix(name, ".")
	}
	return name
}

// pieces cuts a text into the 255 bytes that one string of a record can hold.
func pieces(text string) (out []string) {
	for len(text) > 255 {
		out = append(out, text[:255])
		text = text[255:]
	}
	return append(out, text)
}
