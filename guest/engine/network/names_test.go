package network

import (
	"context"
	"fmt"
	stdnet "net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// askDNS puts one question from a namespace to 127.0.0.11, and returns the answers, sorted, or the response code.
func askDNS(path, proto, name string, kind uint16) (string, error) {
	return tryIn(path, func() (string, error) {
		conn, err := stdnet.DialTimeout(proto, "127.0.0.11:53", long)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
		m, _, err := (&dns.Client{Net: proto, Timeout: long}).ExchangeWithConn(q, &dns.Conn{Conn: conn})
		if err != nil {
			return "", err
		}
		if m.Rcode != dns.RcodeSuccess {
			return dns.RcodeToString[m.Rcode], nil
		}
		var out []string
		for _, rr := range m.Answer {
			switch r := rr.(type) {
			case *dns.A:
				out = append(out, r.A.String())
			case *dns.AAAA:
				out = append(out, r.AAAA.String())
			case *dns.PTR:
				out = append(out, r.Ptr)
			case *dns.TXT:
				out = append(out, strings.Join(r.Txt, ""))
			}
		}
		slices.Sort(out)
		return strings.Join(out, " "), nil
	})
}

// hostDNS makes a name server of the test's own the host's, which answers every question with 192.0.2.53.
func hostDNS(t *testing.T) {
	t.Helper()
	packets, err := stdnet.ListenPacket("udp4", "127.0.0.53:53")
	if err != nil {
		t.Fatal(err)
	}
	streams, err := stdnet.Listen("tcp4", "127.0.0.53:53")
	if err != nil {
		t.Fatal(err)
	}
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		if strings.HasSuffix(q.Question[0].Name, ".silent.example.") {
			return
		}
		m := new(dns.Msg).SetReply(q)
		h := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
		switch {
		case q.Question[0].Name == "none.example.":
			m.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: h, A: stdnet.IPv4(192, 0, 2, 53)})
		case q.Question[0].Qtype == dns.TypeTXT:
			m.Answer = append(m.Answer, &dns.TXT{Hdr: h, Txt: []string{strings.Repeat("x", 250)}})
		}
		_ = w.WriteMsg(m)
	})
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: answer}, {Listener: streams, Handler: answer}} {
		go func() { _ = s.ActivateAndServe() }()
		t.Cleanup(func() { _ = packets.Close(); _ = streams.Close() })
	}
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	target, err := filepath.EvalSymlinks(hostResolvConf)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(file, target, "", unix.MS_BIND, ""); err != nil { // in the test's own mount namespace
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

func TestNames(t *testing.T) {
	needRoot(t)
	hostDNS(t)
	w := newWorld(t, api.ModeDirect)
	yes := true
	w.create(network.CreateRequest{Name: "net.one", EnableIPv6: &yes})
	w.create(network.CreateRequest{Name: "two"})
	w.create(network.CreateRequest{Name: "inner", Internal: true})
	r := on("0123456789abcdef", "net.one")
	r.Name, r.Hostname = "Web", "webhost"
	r.Settings["net.one"] = &network.EndpointSettings{Aliases: []string{"www", "all"}}
	web := w.join(r)
	r2 := on("api", "net.one", "two")
	r2.Settings["net.one"] = &network.EndpointSettings{Aliases: []string{"all"}, Links: []string{"Web:db"}}
	backend := w.join(r2)
	inner, plain := w.join(on("in", "inner")), w.join(on("plain", "bridge"))
	if plain.NameServer.IsValid() || web.NameServer.String() != "127.0.0.11" {
		t.Errorf("name servers: %v %v", plain.NameServer, web.NameServer)
	}
	a4, a6 := web.Networks["net.one"].IPAddress, web.Networks["net.one"].GlobalIPv6Address
	b4 := backend.Networks["net.one"].IPAddress
	both := []string{a4.String(), b4.String()}
	slices.Sort(both)
	ptr, _ := dns.ReverseAddr(a4.String())
	ptr6, _ := dns.ReverseAddr(a6.String())
	for _, c := range []struct {
		from       *Sandbox
		name       string
		kind       uint16
		want       string
		unanswered bool
	}{
		{from: backend, name: "web", kind: dns.TypeA, want: a4.String()},
		{from: backend, name: "WEB", kind: dns.TypeA, want: a4.String()},
		{from: backend, name: "web.net.one", kind: dns.TypeA, want: a4.String()},
		{from: backend, name: "www", kind: dns.TypeA, want: a4.String()},
		{from: backend, name: "0123456789ab", kind: dns.TypeA, want: a4.String()},
		{from: backend, name: "webhost", kind: dns.TypeA, want: a4.String()},
		{from: backend, name: "web", kind: dns.TypeAAAA, want: a6.String()},
		{from: web, name: "all", kind: dns.TypeA, want: strings.Join(both, " ")},
		{from: backend, name: "db", kind: dns.TypeA, want: a4.String()},
		{from: web, name: "db", kind: dns.TypeA, want: "192.0.2.53"}, // a link is the container's own
		{from: web, name: "api.two", kind: dns.TypeA, want: "192.0.2.53"},
		{from: backend, name: "web", kind: dns.TypeMX, want: ""},
		{from: backend, name: ptr, kind: dns.TypePTR, want: "Web.net.one."},
		{from: backend, name: ptr6, kind: dns.TypePTR, want: "Web.net.one."},
		{from: backend, name: "some.example", kind: dns.TypeA, want: "192.0.2.53"},
		{from: backend, name: "some.example", kind: dns.TypeTXT, want: strings.Repeat("x", 250)},
		{from: backend, name: "none.example", kind: dns.TypeA, want: "NXDOMAIN"},
		{from: inner, name: "in", kind: dns.TypeA, want: inner.Addr.String()},
		{from: inner, name: "web", kind: dns.TypeA, want: "SERVFAIL"},
		{from: inner, name: "some.example", kind: dns.TypeA, want: "SERVFAIL"},
		{from: web, name: "host.docker.internal", kind: dns.TypeA, want: web.Gateway.String()},
	} {
		for _, proto := range []string{"udp", "tcp"} {
			if got, err := askDNS(c.from.Path, proto, c.name, c.kind); err != nil || got != c.want {
				t.Errorf("%s %s %s: %q, %v; want %q", proto, dns.TypeToString[c.kind], c.name, got, err, c.want)
			}
		}
	}
	if err := w.m.Rename("0123456789abcdef", "shop"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"shop": a4.String(), "web": "192.0.2.53"} {
		if got, err := askDNS(backend.Path, "udp", name, dns.TypeA); err != nil || got != want {
			t.Errorf("%s after rename: %q, %v", name, got, err)
		}
	}
	// A container may serve port 53 itself.
	if _, err := tryIn(web.Path, func() (bool, error) {
		l, err := stdnet.ListenPacket("udp4", ":53")
		if err == nil {
			_ = l.Close()
		}
		return true, err
	}); err != nil {
		t.Errorf("port 53 is taken: %v", err)
	}
	// It comes to a user-defined network while it runs.
	now, err := w.m.Connect(context.Background(), on("plain", "bridge"), "two", nil)
	if err != nil || now.NameServer.String() != "127.0.0.11" {
		t.Fatalf("%+v, %v", now, err)
	}
	if got, err := askDNS(plain.Path, "udp", "api", dns.TypeA); err != nil || got != backend.Networks["two"].IPAddress.String() {
		t.Errorf("after connect: %q, %v", got, err)
	}
	w.detach("api")
	if got, err := askDNS(plain.Path, "udp", "api", dns.TypeA); err != nil || got != "192.0.2.53" {
		t.Errorf("after detach: %q, %v", got, err)
	}
}

// TestNamesWithoutEngine: a question that comes while no engine runs is answered after the next one has come.
func TestNamesWithoutEngine(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "n"})
	a := w.join(on("a", "n"))
	b := w.join(on("b", "n"))
	ports := w.m.boxes["a"].DNS
	w.kill()
	result := make(chan string, 1)
	go func() {
		got, err := tryIn(a.Path, func() (string, error) {
			conn, err := stdnet.Dial("udp", "127.0.0.11:53")
			if err != nil {
				return "", err
			}
			defer conn.Close()
			q, _ := new(dns.Msg).SetQuestion("b.", dns.TypeA).Pack()
			buf := make([]byte, 512)
			for range 100 { // as a client does, only more often
				if _, err := conn.Write(q); err != nil {
					return "", fmt.Errorf("refused: %w", err)
				}
				_ = conn.SetReadDeadline(time.Now().Add(short))
				n, err := conn.Read(buf)
				if os.IsTimeout(err) {
					continue
				}
				if err != nil {
					return "", err
				}
				m := new(dns.Msg)
				if err := m.Unpack(buf[:n]); err != nil {
					return "", err
				}
				return m.Answer[0].(*dns.A).A.String(), nil
			}
			return "", os.ErrDeadlineExceeded
		})
		result <- fmt.Sprint(got, err)
	}()
	w.start("a", "b")
	if got := <-result; got != fmt.Sprint(b.Addr.String(), nil) {
		t.Errorf("%s", got)
	}
	if now := w.m.boxes["a"].DNS; now != ports {
		t.Errorf("ports %v, were %v", now, ports)
	}
}

func TestManyQuestions(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "n"})
	a := w.join(on("a", "n"))
	const each, clients = 500, 4
	begin := time.Now()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			_, err := tryIn(a.Path, func() (bool, error) {
				conn, err := stdnet.Dial("udp", "127.0.0.11:53")
				if err != nil {
					return false, err
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(2 * long))
				client, c := &dns.Client{}, &dns.Conn{Conn: conn}
				for range each {
					m, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion("a.", dns.TypeA), c)
					if err != nil || len(m.Answer) != 1 {
						return false, fmt.Errorf("%v, %v", m, err)
					}
				}
				return true, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Logf("%.0f questions a second", each*clients/time.Since(begin).Seconds())
}

// TestFloodOfQuestions: one container asks 20,000 times, as fast as it can, for names whose server never answers, among them
// some that are known. The engine forwards a bounded number at once, and nobody else waits for it.
func TestFloodOfQuestions(t *testing.T) {
	needRoot(t)
	hostDNS(t)
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "n"})
	a, b := w.join(on("a", "n")), w.join(on("b", "n"))
	// 256 forwards of one container, see resolver; as many answers of the name server, which is in this process; the test's own.
	const questions, bound = 20_000, 2*256 + 64
	before := runtime.NumGoroutine()
	flooded := make(chan error, 1)
	begin := time.Now()
	go func() {
		_, err := tryIn(a.Path, func() (bool, error) {
			conn, err := stdnet.Dial("udp", "127.0.0.11:53")
			if err != nil {
				return false, err
			}
			defer conn.Close()
			for n := range questions {
				q, _ := new(dns.Msg).SetQuestion(fmt.Sprintf("%d.silent.example.", n), dns.TypeA).Pack()
				_, _ = conn.Write(q) // what does not fit into the socket's buffer is lost, as on any network
			}
			return true, nil
		})
		flooded <- err
	}()
	most, asked, slowest := 0, 0, time.Duration(0)
	for done := false; !done; {
		select {
		case err := <-flooded:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		start := time.Now()
		if got, err := askDNS(b.Path, "udp", "a", dns.TypeA); err != nil || got != a.Addr.String() {
			t.Fatalf("another container: %q, %v", got, err)
		}
		asked++
		slowest = max(slowest, time.Since(start))
		most = max(most, runtime.NumGoroutine())
	}
	t.Logf("%.0f questions a second; another container asked %d times, the slowest took %v; %d goroutines, %d before",
		questions/time.Since(begin).Seconds(), asked, slowest, most, before)
	if most > before+bound {
		t.Errorf("%d goroutines for one container's questions, %d before", most, before)
	}
	if got, err := askDNS(a.Path, "udp", "b", dns.TypeA); err != nil || got != b.Addr.String() {
		t.Errorf("the container itself after it: %q, %v", got, err)
	}
}

func TestEditHosts(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	got := string(EditHosts([]byte("127.0.0.1\tlocalhost\n10.0.0.1\tweb\n1.2.3.4\tmine"), []string{"web"}, []netip.Addr{b}, []netip.Addr{a}))
	if got != "127.0.0.1\tlocalhost\n1.2.3.4\tmine\n10.0.0.2\tweb\n" {
		t.Errorf("%q", got)
	}
}
