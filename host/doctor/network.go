package doctor

import (
	"net"
	"net/url"
	"os"
	"strings"
)

// network looks at what the settings of this shell mean for naru's traffic.
func (r *Report) network(o Options) {
	r.proxies()
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		r.add("network", "DOCKER_HOST", Note, "unset DOCKER_HOST", "DOCKER_HOST is set: commands go to %s", host)
	}
	if name := os.Getenv("DOCKER_CONTEXT"); name != "" {
		r.add("network", "DOCKER_CONTEXT", Note, "", "DOCKER_CONTEXT is set to %s: that is for Docker's own client, naru does not read it", name)
	}
	r.resolver()
}

// proxies checks each variable for what engines and containers can use.
func (r *Report) proxies() {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		value := os.Getenv(name)
		if value == "" {
			continue
		}
		u, err := url.Parse(value)
		if err == nil && u.Host == "" {
			u, err = url.Parse("http://" + value)
		}
		switch {
		case err != nil || u.Hostname() == "":
			r.add("network", "proxy", Problem, "export "+name+"=http://HOST:PORT", "%s is no URL of a proxy", name)
		case isLoopback(u.Hostname()):
			r.add("network", "proxy", Note, "", "%s names this host's loopback (%s): the engine reaches it, containers do not", name, u.Host)
		default:
			r.add("network", "proxy", OK, "", "%s is %s", name, u.Host)
		}
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// resolver looks at resolv.conf, where there is one.
func (r *Report) resolver() {
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return
	}
	servers := nameservers(string(data))
	if len(servers) == 0 {
		r.add("network", "DNS", Problem, "put a nameserver into /etc/resolv.conf", "/etc/resolv.conf names no server: no name outside of this host can be resolved")
		return
	}
	r.add("network", "DNS", OK, "", "names are resolved by %s", strings.Join(servers, ", "))
}

func nameservers(conf string) (servers []string) {
	for line := range strings.Lines(conf) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" {
			servers = append(servers, fields[1])
		}
	}
	return servers
}
