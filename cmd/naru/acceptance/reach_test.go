package acceptance

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// prober tells what a container can reach. Its arguments are HOST:PORTS, where PORTS is "all" or a list; @NAME, an abstract
// unix socket; or FILES, LISTENERS and VSOCK. It prints what it reaches, a line each.
const prober = `import errno, os, select, socket, stat, sys, time

def opened(host, port):
    """Tells of an open port, and whether it is the name server's: 127.0.0.11:53 leads to a port of the container's own network."""
    if host == "127.0.0.11":
        try:
            s = socket.create_connection((host, port), 5)
            s.sendall(bytes.fromhex("000c 4e4e 0100 0000 0000 0000 0000"))  # no question: it answers so at once
            if s.recv(99)[2:5] == b"NN\x81":
                port = "DNS"
        except OSError:
            pass
    print("open", host, port)

def scan(host, ports):
    """Many connections at once: closed ports answer at once, and what does not answer is asked once more."""
    left, silent = list(ports), []
    for last in (False, True):
        waiting, poll = {}, select.poll()
        while left or waiting:
            while left and len(waiting) < 500:
                s, port = socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK), left.pop()
                e = s.connect_ex((host, port))
                if e == errno.EINPROGRESS:
                    waiting[s.fileno()] = (s, port, time.monotonic())
                    poll.register(s.fileno(), select.POLLOUT)
                elif e == 0:
                    opened(host, port)
                elif e == errno.EADDRNOTAVAIL: # every port of ours was used a moment ago
                    left.append(port)
                    time.sleep(0.1)
                    break
                elif e not in (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH):
                    print("error", host, port, os.strerror(e))
            for fd, _ in poll.poll(1000):
                s, port, _ = waiting.pop(fd)
                poll.unregister(fd)
                try:
                    s.getpeername()
                    if s.getsockname()[1] != port: # else it has met itself
                        opened(host, port)
                except OSError:
                    pass
                s.close()
            now = time.monotonic()
            for fd in [fd for fd, w in waiting.items() if now - w[2] > 3]:
                s, port, _ = waiting.pop(fd)
                poll.unregister(fd)
                s.close()
                silent.append(port)
        if len(silent) > 5000:
            return # a firewall that drops
        left, silent = silent, []

def abstract(name):
    s = socket.socket(socket.AF_UNIX)
    if s.connect_ex("\0" + name) == 0:
        print("open", "@" + name)

def files():
    for folder, _, names in os.walk("/"):
        for name in names:
            path = os.path.join(folder, name)
            try:
                if stat.S_ISSOCK(os.lstat(path).st_mode) and not path.startswith("/proc/"):
                    print("socket", path)
            except OSError:
                pass

def listeners():
    for kind, state in ("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07"):
        if os.path.exists("/proc/net/" + kind):
            for line in open("/proc/net/" + kind).readlines()[1:]:
                f = line.split()
                if f[3] == state:
                    print("listens", kind, f[1])

def vsock():
    try:
        socket.socket(40, socket.SOCK_STREAM)
        print("vsock")
    except OSError:
        pass

for arg in sys.argv[1:]:
    if arg == "FILES":
        files()
    elif arg == "LISTENERS":
        listeners()
    elif arg == "VSOCK":
        vsock()
    elif arg[0] == "@":
        abstract(arg[1:])
    else:
        host, ports = arg.split(":")
        scan(host, range(1, 65536) if ports == "all" else map(int, ports.split(",")))
print("done")
`

// The machine's network, see host/network: only DNS answers at its gateway.
const (
	machineGateway = "192.168.127.1"
	machineDNS     = "open 192.168.127.1 53"
)

// TestReach: no control plane of ours, and nothing that listens on the host's loopback only, is reachable from a container,
// whatever its network.
func TestReach(t *testing.T) {
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			loopback, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer loopback.Close()
			port := loopback.Addr().(*net.TCPAddr).Port
			abstract := fmt.Sprintf("@naru-reach-%d", port)
			hidden, err := net.Listen("unix", abstract)
			if err != nil {
				t.Fatal(err)
			}
			defer hidden.Close()
			// What somebody might listen on who should not: the loopback's port, ssh, HTTP, Docker, the ports of our vsock.
			few := fmt.Sprintf("%d,22,80,1024,1025,2375,2376,8080", port)
			gateway := w.sh(t, "naru network inspect -f '{{(index .IPAM.Config 0).Gateway}}' bridge")
			always := []string{"FILES", "VSOCK", gateway + ":" + few}
			if name == "machine" {
				always = append(always, "169.254.169.254:"+few, "192.168.127.254:"+few, "192.168.127.2:"+few, machineGateway+":"+few)
			}
			always = slices.Clip(always)
			isolated := append(always, abstract, "LISTENERS", "127.0.0.1:"+few, "0.0.0.0:"+few)
			isolated = slices.Clip(isolated)

			// Networks of the user's: their own gateways, and the name server, which answers DNS and nothing else.
			w.sh(t, "naru network create reach-open; naru network create --internal reach-inner")
			names := "127.0.0.11:" + few + ",53"
			inner := slices.Concat(always, []string{abstract, "127.0.0.1:" + few, "0.0.0.0:" + few, names})
			gateways := map[string]string{}
			for _, net := range []string{"reach-open", "reach-inner"} {
				gateways[net] = w.sh(t, "naru network inspect -f '{{(index .IPAM.Config 0).Gateway}}' "+net)
				inner = append(inner, gateways[net]+":"+few)
			}
			w.sh(t, "naru run -d --name reach "+img+" sleep 100000")
			for _, mode := range []struct {
				network string
				probes  []string
				may     string
			}{
				{"bridge", isolated, ""},
				{"container:reach", isolated, ""},
				{"none", isolated, ""},
				{"reach-open", inner, "open 127.0.0.11 DNS"},
				{"reach-inner", inner, "open 127.0.0.11 DNS"},
				{"host", always, ""},
			} {
				switch name + " " + mode.network {
				case "direct bridge", "direct container:reach":
					mode.probes = append(mode.probes, gateway+":all")
				case "direct reach-open", "direct reach-inner":
					mode.probes = append(slices.Clip(mode.probes), gateways[mode.network]+":all", "127.0.0.11:all")
				case "machine bridge":
					mode.probes, mode.may = append(mode.probes, machineGateway+":all"), machineDNS
				case "machine host": // the guest's own addresses, on which nothing of ours listens
					mode.probes = append(mode.probes, abstract, "LISTENERS", "127.0.0.1:"+few)
				}
				got := w.sh(t, "naru run --rm --network "+mode.network+" "+img+` python3 -c "$PROBER" `+strings.Join(mode.probes, " "), "PROBER="+prober)
				lines := strings.Split(got, "\n")
				if lines[len(lines)-1] != "done" {
					t.Errorf("--network %s: the prober did not end: %s", mode.network, got)
				}
				for _, line := range lines[:len(lines)-1] {
					if line != mode.may && !(name == "direct" && hostsOwn(line, port)) {
						t.Errorf("--network %s: %s", mode.network, line)
					}
				}
			}
			w.sh(t, "naru rm -f reach; naru network rm reach-open reach-inner")
		})
	}
}

// hostsOwn tells whether an open port is one that a program of the host, not of ours, has opened to all its neighbours.
func hostsOwn(line string, loopback int) bool {
	f := strings.Fields(line)
	if len(f) != 3 || f[0] != "open" || f[2] == fmt.Sprint(loopback) {
		return false
	}
	out, err := exec.Command("ss", "-ltnpH", "sport = :"+f[2]).Output()
	return err == nil && len(out) > 0 && !strings.Contains(string(out), "naru")
}
