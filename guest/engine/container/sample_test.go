package container

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestParseInterfaces(t *testing.T) {
	const dev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:       1       2    3    4    5     6          7         8        9      10   11   12   13    14      15         16
  tun0:       1       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0
`
	got := parseInterfaces(dev, func(name string) bool { return strings.HasPrefix(name, "eth") })
	want := container.NetworkStats{RxBytes: 1, RxPackets: 2, RxErrors: 3, RxDropped: 4, TxBytes: 9, TxPackets: 10, TxErrors: 11, TxDropped: 12}
	if len(got) != 1 || got["eth0"] != want {
		t.Errorf("%+v", got)
	}
}

func TestSystemCPU(t *testing.T) {
	used, processors, err := systemCPU()
	if err != nil || used == 0 || processors == 0 {
		t.Errorf("%d %d %v", used, processors, err)
	}
}
