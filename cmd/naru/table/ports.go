package table

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// portRun is a run of container ports that stand for one item of the list.
type portRun struct{ first, last uint16 }

// Ports is the list of a container's ports, runs joined: "0.0.0.0:8000-8002->8000-8002/tcp, 443/tcp".
func Ports(ports []container.PortSummary) string {
	ports = slices.Clone(ports)
	slices.SortFunc(ports, func(a, b container.PortSummary) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), a.IP.Compare(b.IP),
			cmp.Compare(a.PublicPort, b.PublicPort), cmp.Compare(a.Type, b.Type))
	})
	type key struct{ ip, proto string }
	var order []key
	runs := map[key]*portRun{}
	var items, mapped []string
	for _, p := range ports {
		k := key{proto: p.Type}
		if p.IP.IsValid() {
			k.ip = p.IP.String()
			if p.PublicPort != p.PrivatePort {
				mapped = append(mapped, fmt.Sprintf("%s->%d/%s",
					net.JoinHostPort(k.ip, strconv.Itoa(int(p.PublicPort))), p.PrivatePort, p.Type))
				continue
			}
		}
		run := runs[k]
		switch {
		case run == nil:
			runs[k] = &portRun{p.PrivatePort, p.PrivatePort}
			order = append(order, k)
		case p.PrivatePort == run.last+1:
			run.last = p.PrivatePort
		case p.PrivatePort != run.last:
			items = append(items, run.String(k.ip, k.proto))
			*run = portRun{p.PrivatePort, p.PrivatePort}
		}
	}
	for _, k := range order {
		items = append(items, runs[k].String(k.ip, k.proto))
	}
	return strings.Join(append(items, mapped...), ", ")
}

func (r portRun) String(ip, proto string) string {
	span := strconv.Itoa(int(r.first))
	if r.last != r.first {
		span += "-" + strconv.Itoa(int(r.last))
	}
	if ip == "" {
		return span + "/" + proto
	}
	return fmt.Sprintf("%s->%s/%s", net.JoinHostPort(ip, span), span, proto)
}
