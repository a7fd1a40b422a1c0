package acceptance

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"naru/platform/paths"
)

// wiring is what one client believes of its networks and containers; what an engine's death interrupted is unknown.
type wiring struct {
	name string
	nets map[string]bool // acknowledged: there or gone; not in it when unknown
	done map[string]int
}

// addresses prints a container's IPv4 addresses.
const addresses = `python3 -c 'import socket, fcntl, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _, n in socket.if_nameindex():
    try: print(socket.inet_ntoa(fcntl.ioctl(s, 0x8915, struct.pack("256s", n.encode()))[20:24]))
    except OSError: pass' | grep -v '^127' | sort | tr '\n' ' '`

// TestNetworksKilledAtRandom kills the engine while clients make and remove networks, and put containers on them and
// take them off. What was acknowledged holds, every container has the addresses that inspect tells, none is given twice,
// and in the end no link, namespace, rule or address is left. NARU_TEST_ROUNDS and NARU_TEST_SEED choose how often and
// which moments.
func TestNetworksKilledAtRandom(t *testing.T) {
	rounds, seed := numberFrom("NARU_TEST_ROUNDS", 3), uint64(numberFrom("NARU_TEST_SEED", 20261125))
	requireBuilt(t, "direct")
	w := newWorld(t, "direct")
	t.Cleanup(w.stop)
	img := w.image(t, "bookworm")
	w.sh(t, "naru network create first >/dev/null && naru run --rm --network first -p 127.0.0.1::80 "+img+" true && naru network rm first")
	before, rules := count(t, w), wireCensus(t, w)
	random := rand.New(rand.NewPCG(seed, 0))
	clients := []*wiring{{name: "a"}, {name: "b"}, {name: "c"}}
	for _, c := range clients {
		c.nets, c.done = map[string]bool{}, map[string]int{}
	}
	for round := range rounds {
		var all sync.WaitGroup
		killed := make(chan struct{})
		for _, c := range clients {
			r := rand.New(rand.NewPCG(random.Uint64(), 0))
			all.Go(func() { c.work(w, img, r, killed) })
		}
		time.Sleep(500*time.Millisecond + time.Duration(random.IntN(300))*time.Millisecond) // the random moment
		close(killed)
		killNextEngine(t, w, 0, 0)
		all.Wait()
		checkWiring(t, w, clients)
		if t.Failed() {
			t.Fatalf("round %d of seed %d", round, seed)
		}
	}
	done := map[string]int{}
	for _, c := range clients {
		for verb, n := range c.done {
			done[verb] += n
		}
	}
	t.Logf("%d rounds of seed %d, acknowledged: %v", rounds, seed, done)
	w.sh(t, "naru ps -aq | xargs -r naru rm -f >/dev/null; naru network prune -f >/dev/null")
	if left := w.sh(t, "naru ps -aq; naru network ls -q --filter type=custom"); left != "" {
		t.Errorf("left: %s", left)
	}
	census(t, w, before)
	awaitPool(t, w)
	if after := wireCensus(t, w); after != rules {
		t.Errorf("rules are left:\nbefore only\n%safter only\n%s", linesOnlyIn(rules, after), linesOnlyIn(after, rules))
	}
}

// wireCensus lists the table's networks and ports, and the routing rules and black holes. What the bridge table has of
// ready namespaces changes by itself.
func wireCensus(t *testing.T, w *world) string {
	t.Helper()
	return w.sh(t, "nft list table inet "+paths.Home(w.home).Name()+"; ip rule; for t in $(ip rule | grep -o 'lookup [0-9]*' | cut -d' ' -f2); do ip route show table $t; done")
}

// work does random things until the engine was killed.
func (c *wiring) work(w *world, img string, r *rand.Rand, killed <-chan struct{}) {
	for {
		net, box := c.name+"-net"+strconv.Itoa(r.IntN(3)), c.name+"-box"+strconv.Itoa(r.IntN(3))
		verb, script := "", ""
		switch r.IntN(6) {
		case 0:
			verb, script = "create", "naru network create "+net
		case 1:
			verb, script = "remove", "naru network rm "+net
		case 2:
			verb, script = "run", fmt.Sprintf("naru run -d --name %s --network %s -p 127.0.0.1::80 %s sleep 1000", box, net, img)
		case 3:
			verb, script = "connect", fmt.Sprintf("naru network connect --alias x %s %s", net, box)
		case 4:
			verb, script = "disconnect", fmt.Sprintf("naru network disconnect %s %s", net, box)
		case 5:
			verb, script = "rm", "naru rm -f "+box
		}
		res := w.exec(result{script: script})
		if res.code == 0 {
			c.done[verb]++
		}
		switch {
		case verb != "create" && verb != "remove":
		case res.code == 0:
			c.nets[net] = verb == "create"
		default:
			select {
			case <-killed:
				delete(c.nets, net) // it may have been done
			default:
			}
		}
		select {
		case <-killed:
			return
		default:
		}
	}
}

// checkWiring compares what inspect tells with what is.
func checkWiring(t *testing.T, w *world, clients []*wiring) {
	t.Helper()
	there := " " + strings.Join(strings.Fields(w.sh(t, "naru network ls --format '{{.Name}}'")), " ") + " "
	for _, c := range clients {
		for net, want := range c.nets {
			if got := strings.Contains(there, " "+net+" "); got != want {
				t.Errorf("network %s is there: %v, acknowledged was %v", net, got, want)
			}
		}
	}
	owner := map[string]string{}
	for _, id := range strings.Fields(w.sh(t, "naru ps -q")) {
		told := w.sh(t, "naru inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$e.IPAddress}}\n{{end}}' "+id+` | grep . | sort | tr '\n' ' '`)
		res := w.exec(result{script: "naru exec " + id + " sh -c " + quote(addresses)})
		if res.code != 0 && strings.Contains(res.stderr, "is not running") {
			continue // the removal that the engine's death interrupted had killed it
		}
		is := res.stdout
		if strings.TrimSpace(told) != strings.TrimSpace(is) {
			t.Errorf("container %s has %q, inspect tells %q", id, is, told)
		}
		for _, addr := range strings.Fields(is) {
			if owner[addr] != "" {
				t.Errorf("containers %s and %s both have %s", id, owner[addr], addr)
			}
			owner[addr] = id
		}
	}
}
