package acceptance

import (
	"strings"
	"testing"
)

// lanScript puts containers on networks of the drivers macvlan and ipvlan, whose parent is a link of the VM's.
const lanScript = `
reach() { naru run --rm --network $1 $IMG bash -c 'exec 3<>/dev/tcp/$0/6379 && echo PING >&3 && head -n 1 <&3' $2 2>/dev/null | tr -d '\r'; }
for kind in macvlan ipvlan; do
  naru network create -d $kind --subnet 10.99.0.0/24 --gateway 10.99.0.1 -o parent=eth0.10 lan >/dev/null
  naru network create -d $kind --subnet 10.98.0.0/24 nowhere >/dev/null
  naru run -d --name db --network lan --ip 10.99.0.9 $IMG redis-server --protected-mode no >/dev/null
  naru exec db bash -c 'until exec 3<>/dev/tcp/127.0.0.1/6379; do :; done 2>/dev/null'
  echo $kind $(reach lan db) $(reach lan 10.99.0.9) apart$(reach bridge 10.99.0.9 | grep PONG)
  naru run --rm --network lan $IMG sh -c 'cut -f 1-3 /proc/net/route | grep "	00000000	"'
  naru network connect nowhere db; naru exec db sh -c 'ls /sys/class/net | tr "\n" " "'; naru network disconnect nowhere db; naru exec db sh -c 'ls /sys/class/net | tr "\n" " "'; echo
  naru network inspect -f '{{.Driver}} {{.Internal}} {{.Options.parent}} {{(index .IPAM.Config 0).Gateway}}' lan
  naru rm -f db >/dev/null; naru network rm lan nowhere
done
naru network create -d macvlan -o parent=nosuch x; naru network create -d macvlan -o macvlan_mode=odd x; naru network create -d ipvlan -o parent=lo x
`

const lanWants = `macvlan +PONG +PONG apart
eth0	00000000	0100630A
eth0 eth1 lo eth0 lo 
macvlan false eth0.10 10.99.0.1
lan
nowhere
ipvlan +PONG +PONG apart
eth0	00000000	0100630A
eth0 eth1 lo eth0 lo 
ipvlan false eth0.10 10.99.0.1
lan
nowhere
`

const lanErrors = `invalid subinterface vlan name nosuch, example formatting is eth0.10
requested macvlan mode 'odd' is not valid, 'bridge' mode is the macvlan driver default
loopback interface is not a valid ipvlan parent link
`

// TestLan: networks straight on a link of the host's, in the VM: not every kernel that tests run on has the drivers.
func TestLan(t *testing.T) {
	w := inContext(t, "machine")
	got := w.exec(result{script: lanScript, dir: "lan", extra: []string{"IMG=" + w.image(t, "bookworm")}})
	if got.stdout != lanWants {
		t.Errorf("got %q\nwant %q\nstderr: %s", got.stdout, lanWants, got.stderr)
	}
	for line := range strings.Lines(lanErrors) {
		if !strings.Contains(got.stderr, strings.TrimSpace(line)) {
			t.Errorf("stderr has no %q:\n%s", line, got.stderr)
		}
	}
	if left := w.inside(t, "ls /sys/class/net | grep -E '^(dm-|eth0[.])'; true"); left != "" {
		t.Errorf("links are left: %s", left)
	}
}
