package network

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"

	"naru/guest/api"
)

// small makes bridges small for one test.
func small(t *testing.T, ports int) {
	before := portsPerBridge
	portsPerBridge = ports
	t.Cleanup(func() { portsPerBridge = before })
}

// bridgesOf counts the bridges of a network.
func bridgesOf(t *testing.T, n *netEntry) (count int) {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil && !interrupted(err) {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Type() == "bridge" && (l.Attrs().Name == n.Device || strings.HasSuffix(l.Attrs().Name, n.ID[:12])) {
			count++
		}
	}
	return count
}

// TestShards: a network with more containers than a bridge has ports is one network all the same, for the next engine,
// too, and leaves nothing.
func TestShards(t *testing.T) {
	small(t, 3)
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "many"})
	w.create(network.CreateRequest{Name: "shy", Options: map[string]string{optICC: "false"}})
	boxes := map[string][]*Sandbox{}
	var ids []string
	start := func(net string) {
		id := fmt.Sprint(net, len(ids))
		r := on(id, net)
		if len(ids) == 6 {
			r.Ports = publish("80", "", "8080")
		}
		b := w.join(r)
		serveIn(t, b.Path, ":80")
		boxes[net], ids = append(boxes[net], b), append(ids, id)
	}
	for range 7 {
		start("many")
	}
	for range 4 {
		start("shy")
	}
	check := func() {
		t.Helper()
		for i, from := range boxes["many"] {
			for _, to := range boxes["many"][i+1:] {
				if _, err := askFrom(from.Path, to.Addr.String()+":80", long); err != nil {
					t.Errorf("%s to %s: %v", from.Addr, to.Addr, err)
				}
			}
			if _, err := askFrom("", from.Addr.String()+":80", long); err != nil {
				t.Errorf("the host to %s: %v", from.Addr, err)
			}
		}
		if _, err := askFrom("", "127.0.0.1:8080", long); err != nil {
			t.Errorf("published port: %v", err)
		}
		for _, pair := range [][2]int{{0, 1}, {0, 3}, {3, 0}} { // on one bridge, and on two
			from, to := boxes["shy"][pair[0]], boxes["shy"][pair[1]]
			if got, err := askFrom(from.Path, to.Addr.String()+":80", short); err == nil {
				t.Errorf("%s to %s, who must not talk: %q", from.Addr, to.Addr, got)
			}
		}
		if got, err := askFrom(boxes["many"][0].Path, boxes["shy"][3].Addr.String()+":80", short); err == nil {
			t.Errorf("another network: %q", got)
		}
		if n := bridgesOf(t, w.m.named("many")); n != 3 {
			t.Errorf("7 containers on %d bridges", n)
		}
	}
	check()
	if err := w.m.Close(); err != nil {
		t.Fatal(err)
	}
	w.start(ids...)
	check()
	w.detach(ids[0])
	w.detach(ids[1])
	boxes["many"] = boxes["many"][2:]
	start("many")
	start("many")
	check() // their places are taken first
	for _, id := range ids {
		w.detach(id)
	}
	n := w.m.named("many")
	if err := w.m.Remove(context.Background(), "many"); err != nil {
		t.Fatal(err)
	}
	if left := bridgesOf(t, n); left != 0 {
		t.Errorf("%d bridges are left", left)
	}
}

// TestThousand puts NARU_TEST_CONTAINERS containers on one network, by default more than a bridge of small size takes.
func TestThousand(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("NARU_TEST_CONTAINERS"))
	if err != nil {
		t.Skip("needs sysctl net.ipv4.neigh.default.gc_thresh{1,2,3}=65536, which the engine sets itself in the host's namespace: NARU_TEST_CONTAINERS=1100 go test -run TestThousand ./guest/engine/network")
	}
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "crowd", IPAM: subnetOf("10.90.0.0/16")})
	begin := time.Now()
	var boxes []*Sandbox
	for i := range count {
		b := w.join(on(fmt.Sprint("c", i), "crowd"))
		boxes = append(boxes, b)
		serveIn(t, b.Path, ":80")
	}
	t.Logf("%d containers were attached in %v", count, time.Since(begin))
	begin = time.Now()
	for i, b := range boxes {
		to := boxes[(i*7+count/2)%count]
		if _, err := askFrom(b.Path, to.Addr.String()+":80", long); err != nil {
			t.Fatalf("%d, %s to %s: %v", i, b.Addr, to.Addr, err)
		}
		if _, err := askFrom("", b.Addr.String()+":80", long); err != nil {
			t.Fatalf("the host to %d, %s: %v", i, b.Addr, err)
		}
	}
	t.Logf("each asked another, and the host all, in %v; %d bridges", time.Since(begin), bridgesOf(t, w.m.named("crowd")))
}
