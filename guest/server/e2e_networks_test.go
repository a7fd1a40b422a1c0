package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// TestNetworkKills kills the engine at random moments while networks and containers' places on them come and go. Whatever
// it was doing: no address is given twice, what the engine says is what the kernel has, and nothing is left of the rest.
// NARU_TEST_KILLS is how often (4), NARU_TEST_SEED where it begins.
func TestNetworkKills(t *testing.T) {
	kills, seed := 4, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("NARU_TEST_KILLS")); err == nil {
		kills = n
	}
	if n, err := strconv.ParseUint(os.Getenv("NARU_TEST_SEED"), 10, 64); err == nil {
		seed = n
	}
	d := startDaemonAlone(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	k := &netKills{d: d}
	for i := range 4 {
		k.containers = append(k.containers, d.up(fmt.Sprintf("c%d", i), nil, "wait"))
	}
	for i := range 3 {
		name := fmt.Sprintf("keep%d", i)
		_, err := d.NetworkCreate(t.Context(), name, client.NetworkCreateOptions{})
		must(t, err)
		k.networks = append(k.networks, name)
	}
	for round := range kills {
		k.round(rnd.Uint64(), time.Duration(rnd.IntN(80))*time.Millisecond)
		if k.check(); t.Failed() {
			t.Fatalf("round %d of seed %d", round, seed)
		}
	}
	for _, id := range k.containers {
		_, err := d.ContainerRemove(t.Context(), id, client.ContainerRemoveOptions{Force: true})
		must(t, err)
	}
	_, err := d.NetworkPrune(t.Context(), client.NetworkPruneOptions{})
	must(t, err)
	k.check()
}

type netKills struct {
	d                    *daemon
	containers, networks []string
}

// round works from three sides until the engine is killed.
func (k *netKills) round(seed uint64, after time.Duration) {
	ctx, cancel := context.WithCancel(k.d.t.Context())
	var wg sync.WaitGroup
	for i := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, i))

		own, err := client.New(client.WithHost("unix://" + k.d.home + "/docker.sock"))
		must(k.d.t, err)
		wg.Go(func() {
			defer own.Close()
			for n := 0; ctx.Err() == nil; n++ {
				k.step(ctx, own, rnd, fmt.Sprintf("n%d-%d-%d", seed%1000, i, n))
			}
		})
	}
	time.Sleep(after) // the moment is the test
	cancel()
	k.d.killEngine()
	wg.Wait()
}

// step does one thing; what is refused or cut off is no matter.
func (k *netKills) step(ctx context.Context, c *client.Client, rnd *rand.Rand, name string) {
	id, net := k.containers[rnd.IntN(len(k.containers))], k.networks[rnd.IntN(len(k.networks))]
	switch rnd.IntN(6) {
	case 0:
		if _, err := c.NetworkCreate(ctx, name, client.NetworkCreateOptions{}); err == nil && rnd.IntN(2) == 0 {
			_, _ = c.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
		}
	case 1, 2:
		_, _ = c.NetworkConnect(ctx, net, client.NetworkConnectOptions{Container: id, EndpointConfig: &network.EndpointSettings{Aliases: []string{"x"}}})
	case 3, 4:
		_, _ = c.NetworkDisconnect(ctx, net, client.NetworkDisconnectOptions{Container: id})
	case 5:
		zero := 0
		_, _ = c.ContainerRestart(ctx, id, client.ContainerRestartOptions{Timeout: &zero})
	}
}

// check compares what the engine says with what the kernel has, until both agree: what ended while no engine ran is
// taken in after a moment, and what the kernel removes goes after a while.
func (k *netKills) check() {
	k.d.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		problems := k.problems()
		if len(problems) == 0 {
			return
		}
		if time.Now().After(deadline) {
			k.d.t.Error(strings.Join(problems, "\n"))
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (k *netKills) problems() (list []string) {
	ctx := k.d.t.Context()
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	taken := map[netip.Addr]string{}
	links := 0
	for _, id := range k.containers {
		c, err := k.d.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		if cerrdefs.IsNotFound(err) {
			continue // removed at the end
		}
		if err != nil || !c.Container.State.Running {
			_, err := k.d.ContainerStart(ctx, id, client.ContainerStartOptions{}) // it was killed in its restart
			say("%s does not run: started: %v", id[:12], err)
			continue
		}
		want := []string{}
		for name, e := range c.Container.NetworkSettings.Networks {
			links++
			if other, twice := taken[e.IPAddress]; twice {
				say("%s of %s is %s's too", e.IPAddress, id[:12], other)
			}
			taken[e.IPAddress] = id[:12]
			want = append(want, netip.PrefixFrom(e.IPAddress, e.IPPrefixLen).String())
			n, err := k.d.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
			if err != nil || n.Network.Containers[id].IPv4Address.Addr() != e.IPAddress {
				say("network %s says of %s: %+v, %v; it says %s", name, id[:12], n.Network.Containers[id], err, e.IPAddress)
			}
		}
		got, err := addresses(fmt.Sprint(c.Container.State.Pid))
		slices.Sort(want)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			say("%s has %v in the kernel (%v), %v by its inspect", id[:12], got, err, want)
		}
	}
	return append(list, k.census(links)...)
}

// census counts bridges, veth pairs and the table's bridges.
func (k *netKills) census(endpoints int) []string {
	list, err := k.d.NetworkList(k.d.t.Context(), client.NetworkListOptions{Filters: client.Filters{}.Add("driver", "bridge")})
	must(k.d.t, err)
	pid := fmt.Sprint(k.d.cmd.Process.Pid)
	const spare = 6 + 2 + 4 + 1 // of the pools, ready or on the way
	bridges, err1 := inNet(pid, "ip", "-br", "link", "show", "type", "bridge")
	veths, err2 := inNet(pid, "ip", "-br", "link", "show", "type", "veth")
	set, err3 := inNet(pid, "nft", "list", "set", "inet", k.d.name, "bridges")
	if err := errors.Join(err1, err2, err3); err != nil {
		return []string{err.Error()}
	}
	b, v, s := strings.Count(bridges, "\n"), strings.Count(veths, "\n"), strings.Count(set, `"`)/2
	if b == len(list.Items) && s == b && v >= endpoints && v <= endpoints+spare {
		return nil
	}
	return []string{fmt.Sprintf("%d networks, %d endpoints; in the kernel:\n%s%s%s", len(list.Items), endpoints, bridges, veths, set)}
}

func inNet(pid string, args ...string) (string, error) {
	out, err := exec.Command("nsenter", append([]string{"--net=/proc/" + pid + "/ns/net"}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return string(out), nil
}

// addresses are the IPv4 addresses in a process's namespace, but lo's.
func addresses(pid string) (list []string, err error) {
	var links []struct {
		Ifname string
		Addrs  []struct {
			Local string `json:"local"`
			Len   int    `json:"prefixlen"`
		} `json:"addr_info"`
	}
	out, err := inNet(pid, "ip", "-j", "-4", "addr")
	if err == nil {
		err = json.Unmarshal([]byte(out), &links)
	}
	for _, l := range links {
		for _, a := range l.Addrs {
			if l.Ifname != "lo" {
				list = append(list, fmt.Sprintf("%s/%d", a.Local, a.Len))
			}
		}
	}
	return list, err
}

// TestNetworks goes through the API with user-defined networks and real containers.
func TestNetworks(t *testing.T) {
	d := startDaemonAlone(t)
	ctx := t.Context()
	events := d.Events(ctx, client.EventsListOptions{Filters: client.Filters{}.Add("type", "network")})
	made, err := d.NetworkCreate(ctx, "back", client.NetworkCreateOptions{Labels: map[string]string{"a": "b"}})
	must(t, err)
	one := d.up("one", &container.HostConfig{NetworkMode: "back"}, "wait")
	two := d.up("two", nil, "wait")
	_, err = d.NetworkConnect(ctx, "back", client.NetworkConnectOptions{Container: "two"})
	must(t, err)
	n, err := d.NetworkInspect(ctx, made.ID[:12], client.NetworkInspectOptions{})
	must(t, err)
	if len(n.Network.Containers) != 2 || n.Network.Containers[one].Name != "one" {
		t.Errorf("containers: %+v", n.Network.Containers)
	}
	_, err = d.NetworkDisconnect(ctx, "back", client.NetworkDisconnectOptions{Container: two})
	must(t, err)
	_, err = d.ContainerRemove(ctx, "one", client.ContainerRemoveOptions{Force: true})
	must(t, err)
	_, err = d.ContainerStop(ctx, "two", client.ContainerStopOptions{})
	must(t, err)
	_, err = d.NetworkConnect(ctx, "back", client.NetworkConnectOptions{Container: "two", EndpointConfig: &network.EndpointSettings{Aliases: []string{"db"}}})
	must(t, err)
	if e := d.inspect("two").NetworkSettings.Networks; len(e) != 2 || e["back"] == nil {
		t.Errorf("networks of a stopped container: %+v", e)
	}
	_, err = d.NetworkDisconnect(ctx, "bridge", client.NetworkDisconnectOptions{Container: "two"})
	must(t, err)
	_, err = d.ContainerStart(ctx, "two", client.ContainerStartOptions{})
	must(t, err)
	if e := d.inspect("two").NetworkSettings.Networks; len(e) != 1 || !e["back"].IPAddress.IsValid() || !slices.Contains(e["back"].DNSNames, "db") {
		t.Errorf("networks after start: %+v", e)
	}
	_, err = d.ContainerRemove(ctx, "two", client.ContainerRemoveOptions{Force: true})
	must(t, err)
	_, err = d.NetworkRemove(ctx, "back", client.NetworkRemoveOptions{})
	must(t, err)
	want := "create back, connect back, connect bridge, connect back, disconnect back, disconnect back, disconnect bridge, connect back, disconnect back, destroy back"
	var got []string
	for range strings.Split(want, ", ") {
		select {
		case m := <-events.Messages:
			got = append(got, string(m.Action)+" "+m.Actor.Attributes["name"])
		case err := <-events.Err:
			t.Fatalf("events: %v", err)
		}
	}
	if strings.Join(got, ", ") != want {
		t.Errorf("events %v, want %s", got, want)
	}
}
