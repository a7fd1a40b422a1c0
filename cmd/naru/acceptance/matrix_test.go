package acceptance

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// answerer says its name to whoever asks, by TCP and UDP, at the ports that it gets.
const answerer = `import socket, sys, threading
name = sys.argv[1].encode()
def tcp(s):
    while True:
        c, _ = s.accept(); c.sendall(name); c.close()
def udp(s):
    while True:
        _, who = s.recvfrom(99); s.sendto(name, who)
host = sys.argv[3] if len(sys.argv) > 3 else "::"
for port in map(int, sys.argv[2].split(",")):
    for kind, serve in (socket.SOCK_STREAM, tcp), (socket.SOCK_DGRAM, udp):
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        if ":" in host: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, port))
        if kind == socket.SOCK_STREAM: s.listen(64)
        threading.Thread(target=serve, args=(s,)).start()
print("up", flush=True)
`

// asker asks all of the targets PROTOCOL/ADDRESS/PORT/WANT at once and prints who has answered each, "-" for nobody. A target that
// should answer is asked for half a minute, one that should not for a second.
const asker = `import socket, sys, threading, time
got = {}
def ask(proto, addr, port, patience):
    s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(patience)
    s.connect((addr, int(port)))
    if proto == "udp": s.send(b"?")
    return s.recv(99).decode() or "-"
def one(target):
    proto, addr, port, want = target.split("/")
    end = time.monotonic() + (30 if want != "-" else 1)
    while True:
        try:
            got[target] = ask(proto, addr, port, 1)
        except OSError:
            got[target] = "-"
        if got[target] == want or time.monotonic() > end: return
        time.sleep(0.1)
threads = [threading.Thread(target=one, args=(t,)) for t in sys.argv[1:]]
for t in threads: t.start()
for t in threads: t.join()
for t in sys.argv[1:]: print(got[t])
`

// matrixSetup makes three networks and eight containers. All but the published ones serve port 80.
const matrixSetup = `set -e
sub() { printf -- '--subnet 10.214.%s.0/24 --ipv6 --subnet fd12:214:%s::/64' $1 $1; }
$D network create $(sub 1) one; $D network create $(sub 2) two; $D network create --internal $(sub 3) inner; $D network create $(sub 4) -o com.docker.network.bridge.enable_icc=false shy
up() { local name=$1 net=$2; shift 2; $D run -d --name c-$name --network $net "$@" -e CODE="$ANSWERER" $IMG python3 -c 'import os; exec(os.environ["CODE"])' $name $PORTS; }
PORTS=80
up a one; up b one; up c two; up i inner; up j inner; up s shy; up r shy; up d bridge
PORTS=80,81,82,83,84,85,86,87
up p two -p 0.0.0.0:18080:80 -p 0.0.0.0:18080:80/udp -p '[::]:18080:80' -p '[::]:18080:80/udp' \
  -p 127.0.0.1:18081:81 -p 127.0.0.1:18081:81/udp -p '[::1]:18081:81' \
  -p 192.0.2.1:18082:82 -p 192.0.2.1:18082:82/udp -p 127.0.0.1:18082:82 -p '[2001:db8:77::1]:18082:82' \
  -p 0.0.0.0:18083-18085:83-85 -p 18086:86
$D run -d --name c-q -P --expose 80 --network two -e CODE="$ANSWERER" $IMG python3 -c 'import os; exec(os.environ["CODE"])' q 80
for n in a b c i j s r d p q; do until $D logs c-$n | grep -q up; do sleep 0.1; done; done`

// reachRow: from each of the first, whether the second answers by TCP and UDP at IPv4 and IPv6. The second is a container, with its port,
// or an address of the host; then only that one is asked, by the protocols given.
type reachRow struct {
	from, to string
	proto    string // "" for both
	who      string // that answers; "" for nobody
	// where an engine means to differ: "docker", "machine", to who answers there
	but map[string]string
}

var (
	noProxy = map[string]string{"direct": ""}  // see docs/compat.md
	noRoute = map[string]string{"machine": ""} // containers of the VM have no addresses of the host's network
)

var matrix = []reachRow{
	{from: "a", to: "b:80", who: "b"}, {from: "b", to: "a:80", who: "a"}, {from: "a", to: "a:80", who: "a"}, {from: "i", to: "j:80", who: "j"},
	{from: "a d i s", to: "c:80"}, {from: "c d i s", to: "a:80"}, {from: "a c", to: "i:80"}, {from: "s", to: "r:80"},
	{from: "a c", to: "d:80"},
	{from: "host", to: "a:80", who: "a", but: noRoute}, {from: "host", to: "i:80", who: "i", but: noRoute},
	// Not published is out of reach for the neighbour, even though it has a route.
	{from: "neighbour", to: "a:80"}, {from: "neighbour", to: "i:80"}, {from: "neighbour", to: "p:87"}, {from: "neighbour", to: "d:80"},
	// A port published at every address: from the host, the neighbour, other networks, its own (hairpin), itself.
	{from: "host", to: "127.0.0.1:18080", who: "p"}, {from: "host", to: "192.0.2.1:18080", who: "p"}, {from: "host", to: "192.0.2.3:18080", who: "p"},
	{from: "host", to: "[::1]:18080", proto: "tcp", who: "p"}, {from: "host", to: "[::1]:18080", proto: "udp", who: "p", but: noProxy}, {from: "host", to: "[2001:db8:77::1]:18080", who: "p"},
	{from: "neighbour a c d p s", to: "192.0.2.1:18080", who: "p"}, {from: "neighbour", to: "192.0.2.3:18080", who: "p"},
	{from: "neighbour", to: "[2001:db8:77::1]:18080", who: "p"}, {from: "a c p", to: "[2001:db8:77::1]:18080", proto: "tcp", who: "p"},
	{from: "i", to: "192.0.2.1:18080"}, {from: "i", to: "[2001:db8:77::1]:18080"},
	// On the loopback only.
	{from: "host", to: "127.0.0.1:18081", who: "p"}, {from: "host", to: "[::1]:18081", proto: "tcp", who: "p"},
	{from: "neighbour a i host", to: "192.0.2.1:18081"}, {from: "neighbour", to: "127.0.0.1:18081"}, {from: "a", to: "127.0.0.1:18081"},
	// At several addresses, exactly those.
	{from: "host neighbour a", to: "192.0.2.1:18082", who: "p"}, {from: "host", to: "127.0.0.1:18082", proto: "tcp", who: "p"},
	{from: "host neighbour", to: "192.0.2.3:18082"}, {from: "host neighbour", to: "[2001:db8:77::1]:18082", proto: "tcp", who: "p"}, {from: "neighbour", to: "[2001:db8:77::3]:18082"},
	// A range, the default address, a random port.
	{from: "host", to: "127.0.0.1:18083", proto: "tcp", who: "p"}, {from: "neighbour", to: "192.0.2.1:18085", proto: "tcp", who: "p"}, {from: "neighbour", to: "192.0.2.1:18083", proto: "udp"},
	{from: "host", to: "127.0.0.1:18086", proto: "tcp", who: "p"}, {from: "neighbour", to: "192.0.2.1:18086", proto: "tcp", who: "p", but: map[string]string{"machine": ""}},
	{from: "host", to: "127.0.0.1:$Q", proto: "tcp", who: "q"},
	// The host's own services, and the neighbour's: not from an internal network, and nothing that is on the loopback.
	{from: "a d", to: "192.0.2.1:7000", proto: "tcp", who: "host"}, {from: "i", to: "192.0.2.1:7000"}, {from: "a d i", to: "192.0.2.1:7001"},
	{from: "a d s", to: "192.0.2.2:7000", who: "neighbour"}, {from: "i", to: "192.0.2.2:7000"},
	{from: "a", to: "[2001:db8:77::2]:7000", who: "neighbour"},
}

// TestReachability: who reaches whom, the same beside a real dockerd and in both contexts.
func TestReachability(t *testing.T) {
	// In the VM by NARU_TEST_FULL=1: there the engine once closed a connection in the middle of the set-up, in one of six
	// runs, and why is not known yet.
	in := []string{"direct"}
	if os.Getenv("NARU_TEST_FULL") != "" {
		in = contexts
	}
	onIslands(t, in, func(t *testing.T, i *island) {
		i.sh(t, matrixSetup, "ANSWERER="+answerer)
		i.serve(t, i.host, "host", "7000", "::")
		i.serve(t, i.host, "host", "7001", "127.0.0.1")
		i.serve(t, i.neighbour, "neighbour", "7000", "::")
		addrs := map[string]string{}
		for _, line := range strings.Split(i.sh(t, `for n in a b c i j s r d p q; do $D inspect -f '{{range .NetworkSettings.Networks}}{{$.Name}}4={{.IPAddress}} {{$.Name}}6={{.GlobalIPv6Address}}{{end}}' c-$n; done; echo Q=$($D port c-q 80 | head -n 1 | sed 's/.*://')`), "\n") {
			for _, pair := range strings.Fields(line) {
				k, v, _ := strings.Cut(strings.TrimPrefix(pair, "/"), "=")
				addrs[strings.TrimPrefix(k, "c-")] = v
			}
		}
		probes := map[string][]string{} // of each asker, PROTOCOL/ADDRESS/PORT/WANT
		names := map[string][]string{}
		for _, r := range matrix {
			who, differs := r.but[i.engine]
			if !differs {
				who = r.who
			}
			if who == "" {
				who = "-"
			}
			for _, from := range strings.Fields(r.from) {
				for _, target := range r.targets(addrs) {
					probes[from] = append(probes[from], target+"/"+who)
					names[from] = append(names[from], r.to)
				}
			}
		}
		for from, targets := range probes {
			t.Run(from, func(t *testing.T) {
				t.Parallel()
				pid, script := i.host, `python3 -c "$ASKER" `
				switch from {
				case "host":
				case "neighbour":
					pid = i.neighbour
				default:
					script = "$D exec c-" + from + ` python3 -c "$ASKER" `
				}
				r := i.on(pid, script+strings.Join(targets, " "), "ASKER="+asker)
				got := strings.Fields(r.stdout)
				if r.code != 0 || len(got) != len(targets) {
					t.Fatal(r)
				}
				for n, target := range targets {
					if !strings.HasSuffix(target, "/"+got[n]) {
						t.Errorf("%s to %s: %s answers %s", from, names[from][n], got[n], target)
					}
				}
			})
		}
	})
}

// targets are PROTOCOL/ADDRESS/PORT of what a row asks.
func (r reachRow) targets(addrs map[string]string) []string {
	at := strings.LastIndex(r.to, ":")
	host, port := r.to[:at], r.to[at+1:]
	if port == "$Q" {
		port = addrs["Q"]
	}
	hosts := []string{strings.Trim(host, "[]")}
	if v4, ok := addrs[host+"4"]; ok {
		hosts = []string{v4}
		if v6 := addrs[host+"6"]; v6 != "" {
			hosts = append(hosts, v6)
		}
	}
	var out []string
	for _, h := range hosts {
		for _, proto := range []string{"tcp", "udp"} {
			if r.proto == "" || r.proto == proto {
				out = append(out, fmt.Sprintf("%s/%s/%s", proto, h, port))
			}
		}
	}
	return out
}

// serve runs the answerer on the host or the neighbour until the test ends.
func (i *island) serve(t *testing.T, pid int, name, ports, host string) {
	t.Helper()
	out := i.start(t, pid, "exec python3 -c \"$ANSWERER\" "+name+" "+ports+" "+host, "ANSWERER="+answerer)
	if line, err := out.ReadString('\n'); line != "up\n" {
		t.Fatalf("%s does not serve: %q, %v", name, line, err)
	}
}
