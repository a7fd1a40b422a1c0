package network

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/types/network"

	"naru/guest/api"
)

// TestIsolatedGateway: containers reach each other, the host has no address on their network, also after a restart.
func TestIsolatedGateway(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	yes := true
	id := w.create(network.CreateRequest{Name: "alone", Internal: true, EnableIPv6: &yes, IPAM: subnetOf("10.81.0.0/24"),
		Options: map[string]string{optMode4: "isolated", optMode6: "isolated"}})
	a, b := w.join(on("a", "alone")), w.join(on("b", "alone"))
	if got := a.Addrs[0].String(); got != "10.81.0.1" {
		t.Errorf("the first container has %s; no gateway needs 10.81.0.1", got)
	}
	check := func(when string) {
		t.Helper()
		if got := run(t, "ip", "addr", "show", "dev", w.m.nets[id].Device); strings.Contains(got, "inet") {
			t.Errorf("%s: the bridge has an address: %s", when, got)
		}
		for _, addr := range []string{a.Addrs[0].String() + ":80", "[" + a.Addrs[1].String() + "]:80"} {
			if got, err := ask(b.Path, "tcp", addr, long); err != nil {
				t.Errorf("%s: %s: %q, %v", when, addr, got, err)
			}
			if got, err := ask("", "tcp", addr, short); err == nil {
				t.Errorf("%s: the host reaches %s: %q", when, addr, got)
			}
		}
		if got := run(t, "nsenter", "--net="+a.Path, "ip", "route", "show", "default"); got != "" {
			t.Errorf("%s: a way out: %s", when, got)
		}
	}
	serve6(t, a.Path, ":80")
	check("new")
	w.kill()
	w.start("a", "b")
	check("restored")
}

// TestInhibitIPv4: the gateway is for others to be; the containers send there all the same.
func TestInhibitIPv4(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	id := w.create(network.CreateRequest{Name: "router", IPAM: subnetOf("10.82.0.0/24"), Options: map[string]string{optInhibit: "true"}})
	a := w.join(on("a", "router"))
	if got := run(t, "ip", "-4", "addr", "show", "dev", w.m.nets[id].Device); got != "" {
		t.Errorf("the bridge has an address: %s", got)
	}
	if got := run(t, "nsenter", "--net="+a.Path, "ip", "route", "show", "default"); !strings.Contains(got, "via 10.82.0.1 ") {
		t.Errorf("default route: %q", got)
	}
}
