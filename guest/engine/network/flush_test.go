package network

import (
	"context"
	"fmt"
	stdnet "net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"

	"naru/guest/api"
)

// flushes is how often the ruleset is flushed: NARU_TEST_ROUNDS says it.
func flushes(t testing.TB) int {
	if n, err := strconv.Atoi(os.Getenv("NARU_TEST_ROUNDS")); err == nil {
		return n
	}
	return 10
}

// flood sends datagrams from a namespace until ctx ends, and counts them.
func flood(t *testing.T, ctx context.Context, wg *sync.WaitGroup, from, addr string) *atomic.Int64 {
	t.Helper()
	var sent atomic.Int64
	c := in(t, from, func() (stdnet.Conn, error) { return stdnet.Dial("udp", addr) })
	wg.Go(func() {
		defer c.Close()
		for ctx.Err() == nil {
			if _, err := c.Write([]byte("x")); err == nil {
				sent.Add(1)
			}
		}
	})
	return &sent
}

// hear counts the datagrams that reach an address of a namespace.
func hear(t *testing.T, path, addr string) *atomic.Int64 {
	t.Helper()
	var got atomic.Int64
	c := in(t, path, func() (stdnet.PacketConn, error) { return stdnet.ListenPacket("udp", addr) })
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			if _, _, err := c.ReadFrom(buf); err != nil {
				return
			}
			got.Add(1)
		}
	}()
	return &got
}

// TestFlushUnderLoad: somebody flushes nftables again and again while others send without pause. No datagram gets where
// it must not, in no family, and the rules are back each time.
func TestFlushUnderLoad(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	neighbour := newNeighbour(t)
	w.create(network.CreateRequest{Name: "one", EnableIPv6: ptr(true)})
	w.create(network.CreateRequest{Name: "two", EnableIPv6: ptr(true)})
	w.create(network.CreateRequest{Name: "inner", Internal: true})
	a, c, i := w.join(on("a", "one")), w.join(on("c", "two")), w.join(on("i", "inner"))
	peer := w.join(on("b", "one"))
	// Containers of an internal network have no way out; a privileged one could make itself one.
	run(t, "nsenter", "--net="+i.Path, "ip", "route", "add", "default", "via", w.m.named("inner").V4.Gateway.String())

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	type way struct {
		name      string
		sent, got *atomic.Int64
	}
	var closed []way
	for _, x := range []struct{ name, from, to, addr string }{
		{"one to two", a.Path, c.Path, c.Addrs[0].String()},
		{"one to two, IPv6", a.Path, c.Path, "[" + c.Addrs[1].String() + "]"},
		{"one to an internal network", a.Path, i.Path, i.Addr.String()},
		{"an internal network to one", i.Path, a.Path, a.Addr.String()},
		{"an internal network to a neighbour", i.Path, neighbour, "192.0.2.2"},
		{"a neighbour to one", neighbour, a.Path, a.Addr.String()},
	} {
		port := fmt.Sprint(7000 + len(closed))
		got := hear(t, x.to, ":"+port)
		closed = append(closed, way{x.name, flood(t, ctx, &wg, x.from, x.addr+":"+port), got})
	}
	open := way{"within one", nil, hear(t, peer.Path, ":6999")}
	open.sent = flood(t, ctx, &wg, a.Path, peer.Addr.String()+":6999")

	var took []time.Duration
	for range flushes(t) {
		before := open.sent.Load()
		run(t, "nft", "flush", "ruleset")
		took = append(took, awaitTable(t, w, before, open.sent))
	}
	stop()
	wg.Wait()
	slices.Sort(took)
	if median := took[len(took)/2]; median > time.Second {
		t.Errorf("the rules were back after %v", median)
	}
	for _, x := range closed {
		if n := x.got.Load(); n > 0 || x.sent.Load() == 0 {
			t.Errorf("%s: %d of %d datagrams got through", x.name, n, x.sent.Load())
		}
	}
	if open.got.Load() == 0 {
		t.Error("within one: nothing got through")
	}
	t.Logf("%d flushes, %d datagrams within one network meanwhile, %d from one to two", flushes(t), open.got.Load(), closed[0].sent.Load())
}

// awaitTable waits until the rules are back, and some datagrams more were sent. It tells how long that took.
func awaitTable(t *testing.T, w *world, before int64, sent *atomic.Int64) (took time.Duration) {
	t.Helper()
	begin := time.Now()
	for {
		whole, err := w.m.table.whole()
		if err == nil && whole && sent.Load() > before+100 {
			break
		}
		if time.Since(begin) > long {
			t.Fatalf("the rules are not back, or nothing is sent: whole %t, %v, %d sent, %d before", whole, err, sent.Load(), before)
		}
	}
	return time.Since(begin)
}

func ptr[T any](v T) *T { return &v }

// TestGuardGoes: nothing of the guard is left after an engine's end.
func TestGuardGoes(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "one", EnableIPv6: ptr(true)})
	w.join(on("a", "one"))
	count := func() (n int) {
		for _, family := range families {
			rules, err := netlink.RuleList(family)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rules {
				if r.Priority >= w.m.guard.pref && r.Priority <= w.m.guard.pref+2 {
					n++
				}
			}
			routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: w.m.guard.table}, netlink.RT_FILTER_TABLE)
			if err != nil {
				t.Fatal(err)
			}
			n += len(routes)
		}
		return n
	}
	if n := count(); n != 3+3+2+1 { // two IPv4 subnets with the default bridge's
		t.Errorf("%d rules and routes", n)
	}
	if err := w.m.guard.sync(w.m.sorted()); err != nil || count() != 9 {
		t.Errorf("again: %d, %v", count(), err)
	}
	if err := w.m.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d rules and routes are left", n)
	}
}
