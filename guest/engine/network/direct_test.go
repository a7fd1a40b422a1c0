package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"

	"naru/guest/api"
)

func TestPublishedPorts(t *testing.T) {
	for _, bridgeNF := range []string{"0", "1"} {
		t.Run("bridge-nf-call-iptables="+bridgeNF, func(t *testing.T) {
			needRoot(t)
			const path = "/proc/sys/net/bridge/bridge-nf-call-iptables"
			if err := os.WriteFile(path, []byte(bridgeNF), 0); err != nil && bridgeNF == "1" {
				t.Skipf("needs br_netfilter: run `modprobe br_netfilter` (%v)", err)
			}
			w := newWorld(t, api.ModeDirect)
			neighbour := newNeighbour(t)
			a := w.attach("a", publish("80", "", "8080"))
			b := w.attach("b", publish("80", "127.0.0.1", "8081"))
			serveIn(t, a.Path, ":80")
			serveIn(t, b.Path, ":80")
			gateway := a.Gateway.String()

			for _, c := range []struct{ name, from, addr, want string }{
				{"host, loopback", "", "127.0.0.1:8080", gateway},
				{"host, own address", "", "192.0.2.1:8080", "192.0.2.1"},
				{"host, gateway", "", gateway + ":8080", gateway},
				{"host, port on loopback only", "", "127.0.0.1:8081", gateway},
				{"neighbour", neighbour, "192.0.2.1:8080", "192.0.2.2"},
				{"other container, directly", b.Path, a.Addr.String() + ":80", b.Addr.String()},
				{"other container, host's address", b.Path, "192.0.2.1:8080", gateway},
				{"hairpin, host's address", a.Path, "192.0.2.1:8080", gateway},
				{"hairpin, gateway", a.Path, gateway + ":8080", gateway},
			} {
				got, err := askFrom(c.from, c.addr, long)
				if err != nil || got != c.want {
					t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
				}
			}
			for _, c := range []struct{ name, from, addr string }{
				{"neighbour, unpublished container port", neighbour, a.Addr.String() + ":80"},
				{"neighbour, port on the host's loopback only", neighbour, "192.0.2.1:8081"},
				{"container, port on the host's loopback only", a.Path, gateway + ":8081"},
			} {
				if got, err := askFrom(c.from, c.addr, short); err == nil {
					t.Errorf("%s: reached it, got %q", c.name, got)
				}
			}
			w.detach("a")
			if got, err := askFrom("", "127.0.0.1:8080", short); err == nil {
				t.Errorf("after detach: got %q", got)
			}
		})
	}
}

// TestHostLoopbackIsClosed sends from a container and from a neighbour to 127.0.0.1 of the host, past their own lo.
func TestHostLoopbackIsClosed(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	neighbour := newNeighbour(t)
	a := w.attach("a", nil)
	b := w.attach("b", publish("80", "127.0.0.1", "8081"))
	serveIn(t, "", "127.0.0.1:9999")
	serveIn(t, b.Path, ":80")
	for _, c := range []struct{ name, path, dev, via string }{
		{"container", a.Path, "eth0", a.Gateway.String()},
		{"neighbour", neighbour, "nbr1", "192.0.2.1"},
	} {
		for _, args := range []string{
			"sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf." + c.dev + ".route_localnet=1",
			"ip addr del 127.0.0.1/8 dev lo",
			"ip route add 127.0.0.0/8 via " + c.via + " dev " + c.dev,
		} {
			run(t, "nsenter", append([]string{"--net=" + c.path}, strings.Fields(args)...)...)
		}
		for _, addr := range []string{"127.0.0.1:9999", "127.0.0.1:8081"} {
			if got, err := askFrom(c.path, addr, short); err == nil {
				t.Errorf("%s reached %s of the host: %q", c.name, addr, got)
			}
		}
	}
}

func TestInsideOfNamespaces(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	a := w.attach("a", nil)
	if out := run(t, "nsenter", "--net="+a.Path, "ip", "-o", "addr"); !strings.Contains(out, "eth0    inet "+a.Addr.String()+"/16") ||
		!strings.Contains(out, "inet6 ::1/128") || strings.Contains(out, "fe80") {
		t.Errorf("addresses:\n%s", out)
	}
	if out := run(t, "nsenter", "--net="+a.Path, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"); out != "0\n" {
		t.Errorf("ip_unprivileged_port_start = %s", out)
	}
	none, err := w.m.Attach(context.Background(), Request{ContainerID: "n", Mode: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if out := run(t, "nsenter", "--net="+none.Path, "ip", "-o", "link"); strings.Contains(out, "eth0") || !strings.Contains(out, "LOOPBACK,UP") {
		t.Errorf("links of none:\n%s", out)
	}
	host, err := w.m.Attach(context.Background(), Request{ContainerID: "h", Mode: "host"})
	if err != nil || host.Path != "" || host.Networks["host"].EndpointID == "" {
		t.Errorf("host: %+v, %v", host, err)
	}
	seen, err := w.m.Inspect("bridge")
	if err != nil || len(seen.Containers) != 1 || seen.Containers["a"].IPv4Address.Addr() != a.Addr {
		t.Errorf("inspect: %+v, %v", seen, err)
	}
	if _, err := w.m.Attach(context.Background(), Request{ContainerID: "x", Mode: "nope"}); err == nil || err.Error() != "network nope not found" {
		t.Errorf("unknown network: %v", err)
	}
}

func TestPortConflicts(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	w.attach("a", publish("80", "", "8080"))
	serveIn(t, "", "127.0.0.1:9090")
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ip, port, want string }{
		{"", "8080", "Bind for 0.0.0.0:8080 failed: port is already allocated"},
		{"127.0.0.1", "8080", "Bind for 127.0.0.1:8080 failed: port is already allocated"},
		{"", "9090", fmt.Sprintf("address already in use by %s, process %d", strings.TrimSpace(string(comm)), os.Getpid())},
		{"203.0.113.9", "80", "cannot assign requested address"},
	} {
		_, err := w.m.Attach(context.Background(), Request{ContainerID: "b", Name: "web", Mode: "bridge", Ports: publish("80", c.ip, c.port)})
		if err == nil || !strings.HasPrefix(err.Error(), "driver failed programming external connectivity on endpoint web (") ||
			!strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s:%s: %v; want …%s", c.ip, c.port, err, c.want)
		}
	}
	if len(w.m.ports.held) != 1 {
		t.Errorf("held after conflicts: %v", w.m.ports.held)
	}
	dynamic := w.attach("c", publish("80", "", "")).Ports
	for _, b := range dynamic {
		if b[0].HostPort < "49153" {
			t.Errorf("dynamic port %s", b[0].HostPort)
		}
	}
	ranged := w.attach("d", publish("80", "", "8080-8082")).Ports
	for _, b := range ranged {
		if b[0].HostPort != "8081" {
			t.Errorf("port of a range: %s", b[0].HostPort)
		}
	}
}

// TestRestore lets one Manager die without a word and another one take over while a connection is open.
func TestRestore(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	a := w.attach("a", publish("80", "", "8080"))
	gone := w.attach("gone", publish("81", "", "8082"))
	serveIn(t, a.Path, ":80")
	w.kill()
	run(t, "nft", "add", "element", "inet", w.opts.Name, "ports", "{ tcp . 7 : 1.2.3.4 . 7 }")
	w.start("a")
	if got, err := askFrom("", "127.0.0.1:8080", long); err != nil || got != a.Gateway.String() {
		t.Errorf("published port after restore: %q, %v", got, err)
	}
	rules := run(t, "nft", "list", "table", "inet", w.opts.Name)
	if !strings.Contains(rules, "8080") || strings.Contains(rules, "8082") || strings.Contains(rules, "1.2.3.4") {
		t.Errorf("table after restore:\n%s", rules)
	}
	if _, err := os.Stat(gone.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("leaked namespace: %v", err)
	}
	if _, err := w.m.Attach(context.Background(), Request{ContainerID: "b", Name: "b", Mode: "bridge", Ports: publish("80", "", "8080")}); err == nil {
		t.Error("port of a restored container was given away")
	}
	if b := w.attach("b", nil); b.Addr == a.Addr {
		t.Errorf("address %s given twice", b.Addr)
	}
	w.detach("a")
	if rules := run(t, "nft", "list", "table", "inet", w.opts.Name); strings.Contains(rules, "8080") {
		t.Errorf("table after detach:\n%s", rules)
	}
}

// kill leaves everything behind that the end of the process would leave.
func (w *world) kill() {
	for _, n := range w.m.nets {
		if n.pool != nil {
			n.pool.close(func(*space) {})
		}
	}
	if w.m.bare != nil {
		w.m.bare.close(func(s *space) { s.dns.Close() })
	}
	w.m.dns.Close()
	_ = w.m.watch.Close()
	w.m.watching.Wait()
	w.m.drops.Wait()
	w.m.ports.releaseAll()
	w.m.host.close()
}

func TestTeardownLeavesNothing(t *testing.T) {
	needRoot(t)
	census := func() string {
		links, err := netlink.LinkList()
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, l := range links {
			b.WriteString(l.Attrs().Name + " ")
		}
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		return b.String() + run(t, "nft", "list", "tables") + string(mounts) + run(t, "ss", "-tuln")
	}
	before := census()
	t.Run("", func(t *testing.T) {
		w := newWorld(t, api.ModeDirect)
		w.attach("a", publish("80", "", "8080"))
		w.attach("b", publish("53/udp", "", ""))
		w.detach("b")
	})
	if after := census(); after != before {
		t.Errorf("census before:\n%s\nafter:\n%s", before, after)
	}
}

func BenchmarkAttachDetach(b *testing.B) {
	w := newWorld(b, api.ModeDirect)
	w.create(network.CreateRequest{Name: "user"})
	for _, c := range []struct{ name, net, hostPort string }{
		{"plain", "bridge", "none"}, {"published", "bridge", ""}, {"user", "user", "none"}, {"user published", "user", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			req := Request{ContainerID: "a", Name: "a", Mode: mode(c.net)}
			if c.hostPort == "" {
				req.Ports = publish("80", "", "")
			}
			for b.Loop() {
				if _, err := w.m.Attach(context.Background(), req); err != nil {
					b.Fatal(err)
				}
				if err := w.m.Detach(context.Background(), "a"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPublish adds and removes one port while 2,000 others are there.
func BenchmarkPublish(b *testing.B) {
	w := newWorld(b, api.ModeDirect)
	ports := network.PortMap{}
	for i := range 2000 {
		port, _ := network.PortFrom(uint16(1000+i), network.TCP)
		ports[port] = []network.PortBinding{{HostPort: strconv.Itoa(20000 + i)}}
	}
	w.attach("many", ports)
	one := w.attach("one", publish("80", "", "8080"))
	list := []published{{binding{Proto: "tcp", HostPort: 8081, Port: 81}, one.Addr}}
	for b.Loop() {
		if err := w.m.table.publish(list); err != nil {
			b.Fatal(err)
		}
		if err := w.m.table.withdraw(list); err != nil {
			b.Fatal(err)
		}
	}
}
