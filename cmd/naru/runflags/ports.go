package runflags

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
)

// portSpec is one -p: a run of container ports and where they are published. hostStart 0 means any free port.
type portSpec struct {
	hostIP             netip.Addr
	start, end         uint16
	hostStart, hostEnd uint16
	proto              network.IPProtocol
}

// parsePorts reads the values of -p and --expose.
func parsePorts(publish, expose []string) (network.PortSet, network.PortMap, error) {
	exposed, bindings := network.PortSet{}, network.PortMap{}
	for _, value := range publish {
		spec, err := parsePublish(value)
		if err != nil {
			return nil, nil, err
		}
		spec.add(exposed, bindings)
	}
	for _, value := range expose {
		if strings.Contains(value, ":") {
			return nil, nil, fmt.Errorf("invalid port format for --expose: %s", value)
		}
		r, err := network.ParsePortRange(value)
		if err != nil {
			return nil, nil, fmt.Errorf("invalid range format for --expose: %w", err)
		}
		for port := range r.All() {
			exposed[port] = struct{}{}
		}
	}
	return exposed, bindings, nil
}

// add publishes each port of s. A run of host ports for one container port leaves the choice to the engine.
func (s portSpec) add(exposed network.PortSet, bindings network.PortMap) {
	for i := 0; i <= int(s.end-s.start); i++ {
		port, _ := network.PortFrom(s.start+uint16(i), s.proto)
		host := ""
		switch {
		case s.hostStart == 0:
		case s.start == s.end && s.hostStart != s.hostEnd:
			host = fmt.Sprintf("%d-%d", s.hostStart, s.hostEnd)
		default:
			host = strconv.Itoa(int(s.hostStart) + i)
		}
		exposed[port] = struct{}{}
		bindings[port] = append(bindings[port], network.PortBinding{HostIP: s.hostIP, HostPort: host})
	}
}

// parsePublish reads one -p: [[ip:][hostPort]:]containerPort[/protocol], or target=80,published=8080,….
func parsePublish(value string) (portSpec, error) {
	if strings.Contains(value, "=") {
		return parseLongPublish(value)
	}
	return parseShortPublish(value)
}

func parseShortPublish(value string) (s portSpec, err error) {
	rest, proto, hasProto := strings.Cut(value, "/")
	if s.proto, err = parseProto(proto, hasProto); err != nil {
		return s, err
	}
	ip, host, ctr := splitPublish(rest)
	if ctr == "" {
		return s, fmt.Errorf("no port specified: %s<empty>", value)
	}
	if s.hostIP, err = parseHostIP(ip); err != nil {
		return s, err
	}
	if s.start, s.end, err = parseSpan(ctr); err != nil {
		return s, fmt.Errorf("invalid containerPort: %s", ctr)
	}
	if host == "" {
		return s, nil
	}
	if s.hostStart, s.hostEnd, err = parseSpan(host); err != nil {
		return s, fmt.Errorf("invalid hostPort: %s", host)
	}
	if s.end-s.start != s.hostEnd-s.hostStart && s.start != s.end {
		return s, fmt.Errorf("invalid ranges specified for container and host Ports: %s and %s", ctr, host)
	}
	return s, nil
}

// splitPublish splits at the last two colons: the address may be IPv6, with or without brackets.
func splitPublish(s string) (ip, host, ctr string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", s
	}
	ctr, s = s[i+1:], s[:i]
	if i = strings.LastIndexByte(s, ':'); i < 0 {
		return "", s, ctr
	}
	return s[:i], s[i+1:], ctr
}

func parseProto(proto string, given bool) (network.IPProtocol, error) {
	if !given {
		return network.TCP, nil
	}
	switch p := network.IPProtocol(strings.ToLower(proto)); p {
	case network.TCP, network.UDP, network.SCTP:
		return p, nil
	}
	return "", fmt.Errorf("invalid proto: %s", proto)
}

func parseHostIP(s string) (netip.Addr, error) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if s == "" {
		return netip.Addr{}, nil
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return ip, fmt.Errorf("invalid IP address: %s", s)
	}
	return ip, nil
}

// parseSpan reads "80" or "80-90".
func parseSpan(s string) (start, end uint16, err error) {
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		last = first
	}
	a, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	b, err := strconv.ParseUint(last, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	if b < a {
		return 0, 0, errors.New("invalid range")
	}
	return uint16(a), uint16(b), nil
}

// parseLongPublish reads target=80,published=8080,protocol=tcp.
func parseLongPublish(value string) (s portSpec, err error) {
	s.proto = network.TCP
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return s, err
	}
	for _, field := range fields {
		key, v, ok := strings.Cut(field, "=")
		if !ok || v == "" {
			return s, fmt.Errorf("invalid field: %s", field)
		}
		switch strings.ToLower(key) {
		case "target":
			s.start, s.end, err = parseSpan(v)
		case "published":
			s.hostStart, s.hostEnd, err = parseSpan(v)
		case "protocol":
			s.proto, err = parseProto(v, true)
		case "mode":
			if v != "ingress" && v != "host" {
				err = fmt.Errorf("invalid publish mode value (%s): must be either 'ingress' or 'host'", v)
			}
		default:
			err = fmt.Errorf("invalid field key: %s", key)
		}
		if err != nil {
			return s, fmt.Errorf("invalid publish value %q: %w", value, err)
		}
	}
	if s.start == 0 {
		return s, fmt.Errorf("missing mandatory field '%s'", "target")
	}
	return s, nil
}
