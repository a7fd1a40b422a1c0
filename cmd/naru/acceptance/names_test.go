package acceptance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// namesRow: what a program in a container with these options is answered. Containers web and api are on the network "named",
// both by the alias "all"; web has the addresses $W4 and $W6, api $A4. Upstream is a name server of the host's, or of the neighbour's.
type namesRow struct {
	options string // of run
	ask     string // KIND=NAME, see testdata/resolve
	want    string
	only    string            // "glibc" where the other C library cannot
	but     map[string]string // by engine
}

var namesRows = []namesRow{
	{"--network named", "a=web", "$W4", "", nil},
	{"--network named", "aaaa=web", "$W6", "", nil},
	{"--network named", "a=web.named", "$W4", "", nil},
	{"--network named", "a=WEB", "$W4", "", nil},
	{"--network named", "a=all", "$W4 $A4", "", nil},
	{"--network named", "ptr=$W4", "web.named", "", nil},
	{"--network named", "ptr=$W6", "web.named", "", nil},
	{"--network named", "mx=web", "none", "", nil},
	{"--network named", "a=www.example.test", "192.0.2.10", "", nil},
	{"--network named", "aaaa=www.example.test", "2001:db8:77::10", "", nil},
	{"--network named", "ptr=192.0.2.10", "www.example.test", "", nil},
	{"--network named", "mx=example.test", "2", "", nil},
	{"--network named", "txt=example.test", "1", "", nil},
	{"--network named", "srv=_http._tcp.example.test", "3", "", nil},
	{"--network named", "txt=big.example.test", "20", "glibc", nil}, // by TCP, which musl knows since 1.2.4
	{"--network named", "a=nosuch.example.test", "none", "", nil},
	{"--network named", "a=www", "none", "", nil},
	{"--network named --dns-search example.test", "a=www", "192.0.2.10", "glibc", nil}, // with ndots:0 musl never uses the search list
	{"--network named --dns-search example.test", "a=web", "$W4", "", nil},
	{"--network named --dns-search example.test --dns-opt ndots:3", "a=sub.www", "192.0.2.11", "", nil},
	{"--network named --dns 192.0.2.2", "a=www.example.test", "192.0.2.20", "", nil},
	{"--network named --dns 192.0.2.2", "a=web", "$W4", "", nil},
	{"--network bridge --dns 192.0.2.2", "a=www.example.test", "192.0.2.20", "", nil},
	{"--network inner", "a=www.example.test", "none", "", nil},
	{"--network inner", "a=kept", "$K4", "", nil},
}

// TestNames: names as programs of two C libraries see them, beside a real dockerd.
func TestNames(t *testing.T) {
	programs := t.TempDir()
	for libc, compile := range map[string][]string{"glibc": {"gcc"}, "musl": {"musl-gcc", "-static"}} {
		args := append(compile[1:], "-O2", "-o", filepath.Join(programs, libc), "testdata/resolve/resolve.c")
		if libc == "glibc" {
			args = append(args, "-lresolv")
		}
		if out, err := exec.Command(compile[0], args...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v %s; run `scripts/setup test`", compile[0], err, out)
		}
	}
	onIslands(t, contexts, func(t *testing.T, i *island) {
		i.upstream(t, i.host, "127.0.0.1", "10")
		i.upstream(t, i.neighbour, neighbourV4, "20")
		i.sh(t, "mkdir -p names && cp $FROM/* names/", "FROM="+programs)
		vars := strings.NewReplacer(strings.Fields(i.sh(t, `set -e
$D network create --subnet 10.214.1.0/24 --ipv6 --subnet fd12:214:1::/64 named >/dev/null; $D network create --internal inner >/dev/null
$D run -d --name web --network named --network-alias all $IMG sleep 1000 >/dev/null; $D run -d --name api --network named --network-alias all $IMG sleep 1000 >/dev/null
$D run -d --name kept --network inner $IMG sleep 1000 >/dev/null
$D inspect -f '{{range .NetworkSettings.Networks}}$W4 {{.IPAddress}} $W6 {{.GlobalIPv6Address}}{{end}}' web; $D inspect -f '{{range .NetworkSettings.Networks}}$A4 {{.IPAddress}}{{end}}' api
$D inspect -f '{{range .NetworkSettings.Networks}}$K4 {{.IPAddress}}{{end}}' kept`))...)
		byOptions := map[string][]namesRow{}
		for _, r := range namesRows {
			byOptions[r.options] = append(byOptions[r.options], r)
		}
		for options, rows := range byOptions {
			for _, libc := range []string{"glibc", "musl"} {
				t.Run(libc+" "+options, func(t *testing.T) { i.names(t, libc, options, rows, vars) })
			}
		}
		if i.engine == "docker" {
			return // it reads the host's file when a container starts
		}
		i.sh(t, "$D run -d --name lives --network named -v $PWD/names:/names $IMG sleep 1000 >/dev/null")
		i.resolvConf(t, neighbourV4)
		if got := i.sh(t, `for n in $(seq 100); do got=$($D exec lives /names/glibc a=www.example.test); [ "$got" = 192.0.2.20 ] && break; sleep 0.1; done; echo $got`); got != "192.0.2.20" {
			t.Errorf("after the host's resolver has changed: %s", got)
		}
	})
}

// names asks all rows of one set of options in one container.
func (i *island) names(t *testing.T, libc, options string, rows []namesRow, vars *strings.Replacer) {
	var asks []string
	for _, r := range rows {
		asks = append(asks, vars.Replace(r.ask))
	}
	got := strings.Split(i.sh(t, "$D run --rm "+options+" -v $PWD/names:/names $IMG /names/"+libc+" "+strings.Join(asks, " ")), "\n")
	if len(got) != len(rows) {
		t.Fatalf("%q for %q", got, asks)
	}
	for n, r := range rows {
		want, differs := r.but[i.engine]
		if !differs {
			want = r.want
		}
		if r.only != "" && r.only != libc {
			continue
		}
		if got[n] != vars.Replace(want) {
			t.Errorf("%s: %s, want %s", r.ask, got[n], vars.Replace(want))
		}
	}
}

// upstream serves example.test on port 53 of an address of the island's; last is the last part of www's address, which tells who answers.
func (i *island) upstream(t *testing.T, pid int, addr, last string) {
	t.Helper()
	records := map[string][]string{}
	add := func(name string, lines ...string) { records[name] = append(records[name], lines...) }
	add("www.example.test.", "A 192.0.2."+last, "AAAA 2001:db8:77::"+last)
	add("sub.www.example.test.", "A 192.0.2.11")
	add(last+".2.0.192.in-addr.arpa.", "PTR www.example.test.")
	add("example.test.", "MX 10 mail.example.test.", "MX 20 www.example.test.", `TXT "v=spf1 -all"`)
	add("_http._tcp.example.test.", "SRV 0 1 80 www.example.test.", "SRV 0 2 80 www.example.test.", "SRV 0 3 80 www.example.test.")
	for n := range 20 {
		add("big.example.test.", fmt.Sprintf(`TXT "%d%s"`, n, strings.Repeat("x", 200)))
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		lines, known := records[strings.ToLower(q.Question[0].Name)]
		if !known {
			m.Rcode = dns.RcodeNameError
		}
		for _, line := range lines {
			if rr, err := dns.NewRR(q.Question[0].Name + " 1 IN " + line); err == nil && rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		size := dns.MinMsgSize
		if w.LocalAddr().Network() == "tcp" {
			size = dns.MaxMsgSize
		} else if opt := q.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		m.Truncate(size)
		_ = w.WriteMsg(m)
	})
	packets, streams := listenIn(t, pid, net.JoinHostPort(addr, "53"))
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: streams, Handler: handler}} {
		go func() { _ = s.ActivateAndServe() }()
	}
	t.Cleanup(func() { _ = packets.Close(); _ = streams.Close() })
}

// listenIn opens sockets in a process's network.
func listenIn(t *testing.T, pid int, addr string) (packets net.PacketConn, streams net.Listener) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread goes with the goroutine
		done <- func() error {
			ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			if packets, err = net.ListenPacket("udp4", addr); err != nil {
				return err
			}
			streams, err = net.Listen("tcp4", addr)
			return err
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return packets, streams
}

// resolvConf makes server the host's resolver.
func (i *island) resolvConf(t *testing.T, server string) {
	t.Helper()
	if err := os.WriteFile(i.conf, []byte("nameserver "+server+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}
