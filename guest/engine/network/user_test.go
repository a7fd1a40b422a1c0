package network

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"

	"naru/guest/api"
)

func (w *world) create(req network.CreateRequest) string {
	w.t.Helper()
	id, err := w.m.Create(context.Background(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// on makes a request for a container on the networks named, the first of which is its mode.
func on(id string, nets ...string) Request {
	r := Request{ContainerID: id, Name: id, Mode: "none", Settings: map[string]*network.EndpointSettings{}}
	for i, n := range nets {
		if i == 0 {
			r.Mode = mode(n)
		}
		r.Settings[n] = &network.EndpointSettings{}
	}
	return r
}

func (w *world) join(r Request) *Sandbox {
	w.t.Helper()
	s, err := w.m.Attach(context.Background(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// subnetOf is an IPAM with one subnet of the user's.
func subnetOf(subnet string, more ...func(*network.IPAMConfig)) *network.IPAM {
	c := network.IPAMConfig{Subnet: netip.MustParsePrefix(subnet)}
	for _, f := range more {
		f(&c)
	}
	return &network.IPAM{Driver: "default", Config: []network.IPAMConfig{c}}
}

// TestMatrix: who reaches whom.
func TestMatrix(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	neighbour := newNeighbour(t)
	w.create(network.CreateRequest{Name: "one"})
	w.create(network.CreateRequest{Name: "two"})
	w.create(network.CreateRequest{Name: "inner", Internal: true})
	w.create(network.CreateRequest{Name: "shy", Options: map[string]string{optICC: "false"}})
	boxes := map[string]*Sandbox{}
	start := func(id, net string) {
		boxes[id] = w.join(on(id, net))
		serveIn(t, boxes[id].Path, ":80")
	}
	for _, c := range []struct{ id, net string }{{"a", "one"}, {"b", "one"}, {"c", "two"}, {"i", "inner"}, {"j", "inner"}, {"s", "shy"}, {"r", "shy"}, {"d", "bridge"}} {
		start(c.id, c.net)
	}
	published := on("p", "two")
	published.Ports = publish("80", "", "8080")
	boxes["p"] = w.join(published)
	serveIn(t, boxes["p"].Path, ":80")
	serveIn(t, neighbour, "192.0.2.2:80")

	path := func(id string) string {
		switch id {
		case "host":
			return ""
		case "neighbour":
			return neighbour
		}
		return boxes[id].Path
	}
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"a", "b", true}, {"b", "a", true}, {"i", "j", true}, {"a", "a", true},
		{"a", "c", false}, {"c", "a", false}, {"a", "d", false}, {"d", "a", false}, {"a", "i", false}, {"i", "a", false}, {"d", "c", false},
		{"s", "r", false}, {"r", "s", false}, {"a", "s", false},
		{"host", "a", true}, {"host", "i", true}, {"host", "s", true},
		{"neighbour", "a", false}, {"neighbour", "i", false}, {"neighbour", "p", false},
		{"a", "192.0.2.2", true}, {"s", "192.0.2.2", true}, {"i", "192.0.2.2", false},
		{"a", "192.0.2.1:8080", true}, {"s", "192.0.2.1:8080", true}, {"p", "192.0.2.1:8080", true}, {"c", "192.0.2.1:8080", true},
		{"d", "192.0.2.1:8080", true}, {"i", "192.0.2.1:8080", false}, {"neighbour", "192.0.2.1:8080", true}, {"host", "127.0.0.1:8080", true},
	} {
		addr := c.to
		if b := boxes[c.to]; b != nil {
			addr = b.Addr.String()
		}
		if !strings.Contains(addr, ":") {
			addr += ":80"
		}
		timeout := short
		if c.want {
			timeout = long
		}
		if got, err := askFrom(path(c.from), addr, timeout); (err == nil) != c.want {
			t.Errorf("%s to %s: %q, %v", c.from, c.to, got, err)
		}
	}
}

func TestCreateRefusals(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "there", IPAM: subnetOf("10.77.0.0/24")})
	no, yes := false, true
	for _, c := range []struct {
		req   network.CreateRequest
		class func(error) bool
		want  string
	}{
		{network.CreateRequest{Name: "bridge"}, errdefs.IsPermissionDenied, "operation is not permitted on predefined bridge network "},
		{network.CreateRequest{Name: " "}, errdefs.IsInvalidArgument, "invalid name: name is empty"},
		{network.CreateRequest{Name: "there"}, errdefs.IsConflict, "network with name there already exists"},
		{network.CreateRequest{Name: "x", Driver: "nosuch"}, errdefs.IsNotFound, "plugin \"nosuch\" not found"},
		{network.CreateRequest{Name: "x", Driver: "host"}, errdefs.IsPermissionDenied, `only one instance of "host" network is allowed`},
		{network.CreateRequest{Name: "x", IPAM: subnetOf("10.77.0.0/16")}, errdefs.IsPermissionDenied, "invalid pool request: Pool overlaps with other one on this address space"},
		{network.CreateRequest{Name: "x", IPAM: subnetOf("10.78.0.1/24")}, errdefs.IsInvalidArgument, "invalid network config:\ninvalid subnet 10.78.0.1/24: it should be 10.78.0.0/24"},
		{network.CreateRequest{Name: "x", IPAM: subnetOf("10.78.0.0/24", func(c *network.IPAMConfig) { c.Gateway = netip.MustParseAddr("10.79.0.1") })},
			errdefs.IsInvalidArgument, "invalid network config:\ninvalid gateway 10.79.0.1: parent subnet 10.78.0.0/24 doesn't contain this address"},
		{network.CreateRequest{Name: "x", EnableIPv4: &no}, errdefs.IsInvalidArgument, "IPv4 or IPv6 must be enabled"},
		{network.CreateRequest{Name: "x", Options: map[string]string{optICC: "maybe"}}, errdefs.IsInvalidArgument,
			`failed to parse com.docker.network.bridge.enable_icc value: maybe (strconv.ParseBool: parsing "maybe": invalid syntax)`},
		{network.CreateRequest{Name: "x", Options: map[string]string{optMode4: "isolated"}}, errdefs.IsInvalidArgument,
			"gateway mode 'isolated' can only be used for an internal network"},
		{network.CreateRequest{Name: "x", Options: map[string]string{optMode6: "open"}}, errdefs.IsInvalidArgument,
			"failed to parse com.docker.network.bridge.gateway_mode_ipv6 value: open (unknown gateway mode open)"},
		{network.CreateRequest{Name: "x", Scope: "swarm"}, errdefs.IsPermissionDenied, "cannot create a swarm scoped network when swarm is not active"},
		{network.CreateRequest{Name: "x", ConfigOnly: true, Internal: true}, errdefs.IsPermissionDenied, "configuration network can only contain network " +
			"specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported."},
		{network.CreateRequest{Name: "x", EnableIPv6: &yes, IPAM: subnetOf("fe80::/80")}, errdefs.IsInvalidArgument, "'fe80::/80' clashes with the Link-Local prefix 'fe80::/64'"},
	} {
		if _, err := w.m.Create(context.Background(), c.req); err == nil || !c.class(err) || err.Error() != c.want {
			t.Errorf("%+v: %v; want %s", c.req, err, c.want)
		}
	}
	if list, _ := w.m.List(Filter{"type": {"custom"}}); len(list) != 1 {
		t.Errorf("networks left: %+v", list)
	}
}

func TestAddressesOfTheUser(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "n", IPAM: subnetOf("10.77.0.0/24", func(c *network.IPAMConfig) {
		c.IPRange, c.Gateway = netip.MustParsePrefix("10.77.0.128/26"), netip.MustParseAddr("10.77.0.254")
		c.AuxAddress = map[string]netip.Addr{"router": netip.MustParseAddr("10.77.0.128")}
	})})
	first := w.join(on("first", "n"))
	if first.Addr.String() != "10.77.0.129" || first.Networks["n"].Gateway.String() != "10.77.0.254" {
		t.Errorf("first of the range: %+v", first.Networks["n"])
	}
	static := on("static", "n")
	mac := network.HardwareAddr{2, 0, 0, 0, 0, 9}
	static.Settings["n"] = &network.EndpointSettings{MacAddress: mac, Aliases: []string{"db"}, IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("10.77.0.7")}}
	s := w.join(static)
	if e := s.Networks["n"]; e.IPAddress.String() != "10.77.0.7" || e.MacAddress.String() != mac.String() || strings.Join(e.DNSNames, " ") != "static db" {
		t.Errorf("static: %+v", e)
	}
	serveIn(t, s.Path, ":80")
	if _, err := askFrom(first.Path, "10.77.0.7:80", long); err != nil {
		t.Error(err)
	}
	static.ContainerID = "again"
	if _, err := w.m.Attach(context.Background(), static); !errdefs.IsPermissionDenied(err) || err.Error() != "Address already in use" {
		t.Errorf("an address twice: %v", err)
	}
	static.Settings["n"].IPAMConfig.IPv4Address = netip.MustParseAddr("10.78.0.7")
	if err := w.m.Validate(static); err == nil || err.Error() != "invalid config for network n: invalid endpoint settings:\nno configured subnet contains IP address 10.78.0.7" {
		t.Errorf("outside: %v", err)
	}
	static.Settings = map[string]*network.EndpointSettings{"bridge": {Aliases: []string{"x"}, IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("172.17.0.7")}}}
	if err := w.m.Validate(static); err == nil || err.Error() != "invalid config for network bridge: invalid endpoint settings:\n* user-specified IP address is supported on user-defined networks only\n"+
		"* network-scoped aliases are only supported for user-defined networks" {
		t.Errorf("on the default bridge: %v", err)
	}
	seen, err := w.m.Inspect("n")
	if err != nil || seen.Status.IPAM.Subnets[netip.MustParsePrefix("10.77.0.0/24")] != (network.SubnetStatus{IPsInUse: 6, DynamicIPsAvailable: 62}) {
		t.Errorf("status: %+v, %v", seen.Status, err)
	}
}

// TestSeveralNetworks: a container on three, the way out, ports that move with it, connect and disconnect while it runs.
func TestSeveralNetworks(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	ctx := context.Background()
	for _, n := range []string{"am", "bm"} {
		w.create(network.CreateRequest{Name: n})
	}
	w.create(network.CreateRequest{Name: "inner", Internal: true})
	r := on("c", "inner", "bm")
	r.Ports = publish("80", "", "8080")
	s := w.join(r)
	serveIn(t, s.Path, ":80")
	route := func() string { return run(t, "nsenter", "--net="+s.Path, "ip", "route", "show", "default") }
	if got := route(); !strings.Contains(got, "via "+s.Networks["bm"].Gateway.String()) {
		t.Errorf("default route: %s", got)
	}
	reach := func(when string) {
		t.Helper()
		if _, err := askFrom("", "127.0.0.1:8080", long); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	reach("published by way of bm")
	now, err := w.m.Connect(ctx, r, "am", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := route(); !strings.Contains(got, "via "+now.Networks["am"].Gateway.String()) || len(now.Networks) != 3 {
		t.Errorf("default route after connect: %s", got)
	}
	reach("published by way of am")
	if _, err := w.m.Connect(ctx, r, "am", nil); !errdefs.IsPermissionDenied(err) || err.Error() != "endpoint with name c already exists in network am" {
		t.Errorf("twice: %v", err)
	}
	if _, err := w.m.Connect(ctx, r, "host", nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("host: %v", err)
	}
	if err := w.m.Remove(ctx, "am"); !errdefs.IsPermissionDenied(err) || !strings.HasPrefix(err.Error(), `error while removing network: network am has active endpoints (name:"c" id:"`) {
		t.Errorf("remove in use: %v", err)
	}
	if _, err := w.m.Connect(ctx, r, "bridge", &network.EndpointSettings{GwPriority: 5}); err != nil {
		t.Fatal(err)
	}
	if got := route(); !strings.Contains(got, "via 172.17.0.1") {
		t.Errorf("default route by priority: %s", got)
	}
	for _, n := range []string{"bridge", "am"} {
		if now, err = w.m.Disconnect(ctx, r, n); err != nil {
			t.Fatal(err)
		}
	}
	if got := route(); !strings.Contains(got, "via "+now.Networks["bm"].Gateway.String()) {
		t.Errorf("default route after disconnect: %s", got)
	}
	reach("published by way of bm again")
	if now, err = w.m.Disconnect(ctx, r, "bm"); err != nil || len(now.Ports) != 0 || route() != "" {
		t.Errorf("only inside: %+v, %v, %s", now, err, route())
	}
	if err := w.m.Remove(ctx, "am"); err != nil {
		t.Error(err)
	}
	if _, err := w.m.Disconnect(ctx, r, "bm"); err == nil || err.Error() != "container c is not connected to network bm" {
		t.Errorf("not connected: %v", err)
	}
	if _, err := w.m.Inspect("am"); err == nil || err.Error() != "network am not found" {
		t.Errorf("removed: %v", err)
	}
}

// TestUserNetworksRestore: an engine dies with networks, containers on them, and a network that it was just making.
func TestUserNetworksRestore(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	w.create(network.CreateRequest{Name: "n", Labels: map[string]string{"a": "b"}})
	gone := w.create(network.CreateRequest{Name: "gone"})
	r := on("c", "n", "bridge")
	r.Ports = publish("80", "", "8080")
	s := w.join(r)
	serveIn(t, s.Path, ":80")
	w.m.nets[gone].Unfinished = true
	if err := w.m.saveNetwork(w.m.nets[gone], false); err != nil {
		t.Fatal(err)
	}
	stray, err := w.m.newBare()
	if err != nil {
		t.Fatal(err)
	}
	w.kill()
	w.start("c")
	w.m.drops.Wait()
	if _, err := askFrom("", "127.0.0.1:8080", long); err != nil {
		t.Error(err)
	}
	if list, err := w.m.List(Filter{"label": {"a=b"}}); err != nil || len(list) != 1 || list[0].Name != "n" {
		t.Errorf("list: %+v, %v", list, err)
	}
	for _, link := range []string{"br-" + gone[:12], stray.Link} {
		if _, err := netlink.LinkByName(link); err == nil {
			t.Errorf("%s is left", link)
		}
	}
	other := w.join(on("d", "n"))
	if other.Addr == s.Networks["n"].IPAddress {
		t.Errorf("address %s given twice", other.Addr)
	}
	w.detach("c")
	w.detach("d")
	if names, err := w.m.Prune(context.Background(), nil, time.Now()); err != nil || len(names) != 1 {
		t.Errorf("pruned %v, %v", names, err)
	}
}

func TestIPv6(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs a kernel with IPv6")
	}
	w := newWorld(t, api.ModeDirect)
	yes := true
	w.create(network.CreateRequest{Name: "six", EnableIPv6: &yes})
	r := on("a", "six")
	r.Ports = publish("80", "", "8080")
	a, b := w.join(r), w.join(on("b", "six"))
	e := a.Networks["six"]
	if !e.GlobalIPv6Address.IsValid() || e.GlobalIPv6PrefixLen != 64 || !e.IPv6Gateway.IsValid() || len(a.Ports[network.MustParsePort("80/tcp")]) != 2 {
		t.Errorf("%+v %+v", e, a.Ports)
	}
	serve6(t, a.Path, "[::]:80")
	for _, c := range []struct{ from, addr string }{{b.Path, "[" + e.GlobalIPv6Address.String() + "]:80"}, {"", "[" + e.GlobalIPv6Address.String() + "]:80"},
		{"", "[" + e.IPv6Gateway.String() + "]:8080"}, {b.Path, "[" + e.IPv6Gateway.String() + "]:8080"}, {b.Path, e.IPAddress.String() + ":80"}, {"", "127.0.0.1:8080"}} {
		if _, err := ask(c.from, "tcp", c.addr, long); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestManyNetworks(t *testing.T) {
	w := newWorld(t, api.ModeDirect)
	seen := []netip.Prefix{}
	begin := time.Now()
	for range 40 {
		id := w.create(network.CreateRequest{Name: newID()[:8]})
		p := w.m.nets[id].V4.Pool
		for _, q := range seen {
			if p.Overlaps(q) {
				t.Fatalf("%s overlaps %s", p, q)
			}
		}
		seen = append(seen, p)
	}
	t.Logf("a network takes %v", time.Since(begin)/40)
	count := 0
	pools4(func(netip.Prefix) bool { count++; return false })
	if count < 2000 {
		t.Errorf("%d pools", count)
	}
	if out, err := exec.Command("nft", "list", "set", "inet", w.opts.Name, "bridges").CombinedOutput(); err != nil || strings.Count(string(out), "br-") != 40 {
		t.Errorf("%s %v", out, err)
	}
}
