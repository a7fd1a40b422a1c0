package network

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// The host's resolver files. Where the first one names only systemd-resolved's stub, which a container cannot reach,
// the second has the servers behind it.
const (
	hostResolvConf     = "/etc/resolv.conf"
	resolvedResolvConf = "/run/systemd/resolve/resolv.conf"
	hostHosts          = "/etc/hosts"
)

// publicDNS serves containers when the host names no server that they could reach, as in Docker.
var publicDNS = []string{"8.8.8.8", "8.8.4.4"}

// dotsSet reports whether the option ndots is set, by the user or else on the host.
func dotsSet(options []string) bool {
	if len(options) == 0 {
		host, err := readIfThere(hostResolvConf)
		if err != nil {
			return false
		}
		options = parseResolv(host).options
	}
	return slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "ndots:") })
}

// EmbeddedResolvConf is the content of /etc/resolv.conf where server answers: the host's, with that server alone.
func EmbeddedResolvConf(server netip.Addr, search, options []string) ([]byte, error) {
	host, err := readIfThere(hostResolvConf)
	if err != nil {
		return nil, err
	}
	if len(options) == 0 {
		options = parseResolv(host).options
	}
	options = slices.Clone(options)
	if !slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "ndots:") }) {
		options = append(options, "ndots:0")
	}
	return resolvConf(host, true, []string{server.String()}, search, options), nil
}

// ResolvConf is the content of a container's /etc/resolv.conf: the host's as it is in host mode, else with its
// loopback name servers left out, each part replaced by what the user gave.
func ResolvConf(mode container.NetworkMode, dns, search, options []string) ([]byte, error) {
	host, err := readIfThere(hostResolvConf)
	if err != nil {
		return nil, err
	}
	if !mode.IsHost() && len(reachable(parseResolv(host).servers)) == 0 {
		behind, err := readIfThere(resolvedResolvConf)
		if err != nil {
			return nil, err
		}
		if behind != nil {
			host = behind
		}
	}
	return resolvConf(host, mode.IsHost(), dns, search, options), nil
}

// hostServers are the name servers that the host asks.
func hostServers() (list []netip.Addr) {
	for _, path := range []string{hostResolvConf, resolvedResolvConf} {
		file, err := readIfThere(path)
		if err != nil {
			continue
		}
		for _, s := range parseResolv(file).servers {
			if addr, err := netip.ParseAddr(s); err == nil {
				list = append(list, addr)
			}
		}
	}
	return list
}

func readIfThere(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// resolv is a parsed resolv.conf.
type resolv struct{ servers, search, options []string }

func parseResolv(file []byte) resolv {
	var r resolv
	for line := range strings.Lines(string(file)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			r.servers = append(r.servers, f[1])
		case "search", "domain": // the last one counts
			r.search = f[1:]
		case "options":
			r.options = append(r.options, f[1:]...)
		}
	}
	return r
}

// reachable leaves out the servers that a container has no way to: loopback ones, and IPv6, which it has not yet.
func reachable(servers []string) []string {
	var out []string
	for _, s := range servers {
		if addr, err := netip.ParseAddr(s); err == nil && addr.Is4() && !addr.IsLoopback() {
			out = append(out, s)
		}
	}
	return out
}

func resolvConf(host []byte, verbatim bool, dns, search, options []string) []byte {
	if verbatim && len(dns)+len(search)+len(options) == 0 {
		return host
	}
	r := parseResolv(host)
	if !verbatim {
		r.servers = reachable(r.servers)
	}
	if len(dns) > 0 {
		r.servers = dns
	} else if len(r.servers) == 0 && !verbatim {
		r.servers = publicDNS
	}
	if len(search) > 0 {
		r.search = search
	}
	if len(r.search) == 1 && r.search[0] == "." { // Docker's way to say none
		r.search = nil
	}
	if len(options) > 0 {
		r.options = options
	}
	var b bytes.Buffer
	for _, s := range r.servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(r.search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(r.search, " "))
	}
	if len(r.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(r.options, " "))
	}
	return b.Bytes()
}

// defaultHosts are Docker's first lines of /etc/hosts.
const defaultHosts = `127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::	ip6-localnet
ff00::	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
`

// Hosts is the content of a container's /etc/hosts. extra are "name:address" or "name=address", where the address
// may be `host-gateway`; names are the container's own, for each of addrs; more are lines beside. In host mode the host's own file is the base.
func Hosts(mode container.NetworkMode, addrs []netip.Addr, gateway netip.Addr, names, extra []string, more ...string) ([]byte, error) {
	b := bytes.NewBufferString(defaultHosts)
	if mode.IsHost() {
		host, err := readIfThere(hostHosts)
		if err != nil {
			return nil, err
		}
		if host != nil {
			b = bytes.NewBuffer(host)
			if !bytes.HasSuffix(host, []byte("\n")) {
				b.WriteByte('\n')
			}
		}
		if !gateway.IsValid() {
			gateway = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
	}
	for _, e := range extra {
		name, ip, err := parseExtraHost(e, gateway)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(b, "%s\t%s\n", ip, name)
	}
	for _, line := range more {
		b.WriteString(line + "\n")
	}
	for _, addr := range addrs {
		b.WriteString(hostsLine(addr, names))
	}
	return b.Bytes(), nil
}

func hostsLine(addr netip.Addr, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("%s\t%s\n", addr, strings.Join(names, " "))
}

// EditHosts gives a hosts file the container's own lines for the addresses that it has now, in place of those that it had.
func EditHosts(content []byte, names []string, has, had []netip.Addr) []byte {
	var b bytes.Buffer
	left := slices.Clone(has)
	for line := range bytes.Lines(content) {
		is := func(a netip.Addr) bool { return string(line) == hostsLine(a, names) }
		if i := slices.IndexFunc(left, is); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else if slices.ContainsFunc(had, is) {
			continue
		}
		b.Write(line)
	}
	if b.Len() > 0 && !bytes.HasSuffix(b.Bytes(), []byte("\n")) {
		b.WriteByte('\n')
	}
	for _, a := range left {
		if !slices.Contains(had, a) { // else the container itself has removed it
			b.WriteString(hostsLine(a, names))
		}
	}
	return b.Bytes()
}

// parseExtraHost reads one --add-host.
func parseExtraHost(s string, gateway netip.Addr) (name, ip string, err error) {
	name, ip, ok := strings.Cut(s, "=")
	if !ok {
		name, ip, ok = strings.Cut(s, ":")
	}
	if !ok || name == "" {
		return "", "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("bad format for add-host: %q", s))
	}
	if ip == "host-gateway" {
		if !gateway.IsValid() {
			return "", "", errdefs.ErrInvalidArgument.WithMessage("unable to derive the IP value for host-gateway")
		}
		return name, gateway.String(), nil
	}
	ip = strings.TrimSuffix(strings.TrimPrefix(ip, "["), "]")
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "", "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid IP address in add-host: %q", ip))
	}
	return name, addr.String(), nil
}
