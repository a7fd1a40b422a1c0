package network

import (
	"context"
	"fmt"
	stdnet "net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"

	"naru/guest/api"
)

func TestUDP(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	for _, id := range []string{"first", "second"} { // the second must not be shadowed by the first one's tracked flow
		s := w.attach(id, publish("53/udp", "", "5353"))
		server := in(t, s.Path, func() (stdnet.PacketConn, error) { return stdnet.ListenPacket("udp4", ":53") })
		go func() {
			buf := make([]byte, 100)
			if _, from, err := server.ReadFrom(buf); err == nil {
				_, _ = server.WriteTo([]byte(id), from)
			}
		}()
		client, err := stdnet.DialUDP("udp4", &stdnet.UDPAddr{Port: 5454}, &stdnet.UDPAddr{IP: stdnet.IPv4(127, 0, 0, 1), Port: 5353})
		if err != nil {
			t.Fatal(err)
		}
		_ = client.SetDeadline(time.Now().Add(long))
		_, _ = client.Write([]byte("x"))
		buf := make([]byte, 100)
		n, err := client.Read(buf)
		if err != nil || string(buf[:n]) != id {
			t.Errorf("%s: %q, %v", id, buf[:n], err)
		}
		_ = client.Close()
		_ = server.Close()
		w.detach(id)
	}
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	var mu sync.Mutex
	seen := map[netip.Addr]bool{}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			id := fmt.Sprint("c", i)
			s, err := w.m.Attach(context.Background(), Request{ContainerID: id, Name: id, Mode: "bridge", Ports: publish("80", "", "")})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			if seen[s.Addr] {
				t.Errorf("%s given twice", s.Addr)
			}
			seen[s.Addr] = true
			mu.Unlock()
			if i%2 == 0 {
				if err := w.m.Detach(context.Background(), id); err != nil {
					t.Error(err)
				}
				mu.Lock()
				delete(seen, s.Addr)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if n := strings.Count(run(t, "nft", "list", "map", "inet", w.opts.Name, "ports"), " : 172."); n != 20 {
		t.Errorf("%d published ports, want 20", n)
	}
}

func TestFirewallRestart(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	a := w.attach("a", publish("80", "", "8080"))
	serveIn(t, a.Path, ":80")
	run(t, "nft", "flush", "ruleset")
	w.attach("b", publish("80", "", "8081"))
	if got, err := askFrom("", "127.0.0.1:8080", long); err != nil {
		t.Errorf("after the ruleset was flushed: %q, %v", got, err)
	}
	run(t, "nft", "flush", "ruleset")
	w.detach("a")
}

// TestFlushedRuleset: isolation is back soon after somebody flushed all tables, or only our rules.
func TestFlushedRuleset(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "one"})
	w.create(network.CreateRequest{Name: "two"})
	a, r := w.join(on("a", "one")), on("b", "two")
	r.Ports = publish("80", "", "8080")
	b := w.join(r)
	serveIn(t, b.Path, ":80")
	for _, flush := range [][]string{{"flush", "ruleset"}, {"flush", "table", "inet", w.opts.Name}, {"delete", "table", "inet", w.opts.Name}} {
		run(t, "nft", flush...)
		begin := time.Now()
		for whole := false; !whole; {
			var err error
			if whole, err = w.m.table.whole(); err != nil || time.Since(begin) > long {
				t.Fatalf("%v: %v", flush, err)
			}
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%v: rules were back after %v", flush, took)
		} else {
			t.Logf("%v: rules were back after %v", flush, took)
		}
		if got, err := askFrom(a.Path, b.Addr.String()+":80", short); err == nil {
			t.Errorf("%v: another network was reached: %q", flush, got)
		}
		if _, err := askFrom("", "127.0.0.1:8080", long); err != nil {
			t.Errorf("%v: %v", flush, err)
		}
	}
}

func TestSubnetAvoidsTheHosts(t *testing.T) {
	needRoot(t)
	run(t, "ip", "link", "add", "dum0", "type", "bridge")
	defer run(t, "ip", "link", "del", "dum0")
	run(t, "ip", "addr", "add", "172.17.9.1/24", "dev", "dum0")
	run(t, "ip", "link", "set", "dum0", "up")
	run(t, "ip", "route", "add", "172.18.0.0/15", "dev", "dum0")
	w := newWorld(t, api.ModeDirect)
	if got := w.attach("a", nil).Addr; !netip.MustParsePrefix("172.20.0.0/16").Contains(got) {
		t.Errorf("address %s", got)
	}
	n, err := w.m.Inspect("bridge")
	if err != nil {
		t.Fatal(err)
	}
	w.kill()
	w.start()
	if again, err := w.m.Inspect(n.ID[:12]); err != nil || again.ID != n.ID || again.IPAM.Config[0].Subnet != n.IPAM.Config[0].Subnet {
		t.Errorf("after a restart: %+v, %v", again, err)
	}
}

func TestMACAddress(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	mac := network.HardwareAddr{2, 0, 0, 0, 0, 7}
	s, err := w.m.Attach(context.Background(), Request{ContainerID: "a", Name: "a", Mode: "default",
		Settings: map[string]*network.EndpointSettings{"default": {MacAddress: mac}}})
	if err != nil {
		t.Fatal(err)
	}
	serveIn(t, s.Path, ":80")
	if got := s.Networks["bridge"].MacAddress.String(); got != mac.String() {
		t.Errorf("MAC %s", got)
	}
	if !strings.Contains(run(t, "nsenter", "--net="+s.Path, "ip", "link", "show", "eth0"), mac.String()) {
		t.Error("eth0 has another MAC")
	}
	if _, err := askFrom("", s.Addr.String()+":80", long); err != nil {
		t.Error(err)
	}
}

func TestIPAM(t *testing.T) {
	a := newIPAM(&subnet{Pool: netip.MustParsePrefix("10.0.0.0/29"), Gateway: netip.MustParseAddr("10.0.0.1")}) // .0 network, .1 gateway, .7 broadcast
	var got []string
	for range 5 {
		addr, err := a.take()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, addr.String()[7:])
	}
	if strings.Join(got, " ") != "2 3 4 5 6" {
		t.Errorf("order %v", got)
	}
	if _, err := a.take(); err == nil {
		t.Error("a full subnet gave an address")
	}
	a.release(netip.MustParseAddr("10.0.0.2"))
	a.release(netip.MustParseAddr("10.0.0.5"))
	if addr, _ := a.take(); addr.String() != "10.0.0.2" {
		t.Errorf("after the last one: %s", addr)
	}
	if a.reserve(netip.MustParseAddr("10.0.0.2")) || !a.reserve(netip.MustParseAddr("10.0.0.5")) {
		t.Error("reserve")
	}
}

func TestResolvConf(t *testing.T) {
	host := "# comment\nnameserver 127.0.0.53\nnameserver 10.1.2.3\nnameserver fe80::1\nsearch a b\noptions edns0 trust-ad\n"
	for _, c := range []struct {
		name, host           string
		verbatim             bool
		dns, search, options []string
		want                 string
	}{
		{name: "filtered", host: host, want: "nameserver 10.1.2.3\nsearch a b\noptions edns0 trust-ad\n"},
		{name: "host mode", host: host, verbatim: true, want: host},
		{name: "given", host: host, dns: []string{"1.1.1.1"}, search: []string{"."}, options: []string{"ndots:1"}, want: "nameserver 1.1.1.1\noptions ndots:1\n"},
		{name: "nothing left", host: "nameserver 127.0.0.1\n", want: "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"},
	} {
		if got := string(resolvConf([]byte(c.host), c.verbatim, c.dns, c.search, c.options)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestHosts(t *testing.T) {
	b, err := Hosts("bridge", []netip.Addr{netip.MustParseAddr("172.17.0.2")}, netip.MustParseAddr("172.17.0.1"), []string{"web.example", "web"},
		[]string{"db:10.0.0.1", "up=host-gateway", "six:[::1]"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimPrefix(string(b), defaultHosts); got != "10.0.0.1\tdb\n172.17.0.1\tup\n::1\tsix\n172.17.0.2\tweb.example web\n" {
		t.Errorf("got %q", got)
	}
	if _, err := Hosts("bridge", nil, netip.Addr{}, nil, []string{"x:nope"}); err == nil || err.Error() != `invalid IP address in add-host: "nope"` {
		t.Errorf("bad address: %v", err)
	}
}
