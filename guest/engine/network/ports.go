package network

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// Host ports for those who want any free one: the dynamic range of RFC 6335, as Docker's.
const firstDynamic, lastDynamic = 49153, 65535

// binding is one published port.
type binding struct {
	Proto    string     // "tcp" or "udp"
	HostIP   netip.Addr `json:",omitzero"` // invalid: not said; 0.0.0.0 on Linux, the host's default in a machine
	HostPort uint16
	Port     uint16 // of the container
	ID       uint64 `json:",omitempty"` // machine mode: of the publish request
}

// target names the container's port as api.Hello.Target does.
func (b binding) target(addr netip.Addr) string {
	return b.Proto + ":" + netip.AddrPortFrom(addr, b.Port).String()
}

// shownIP is the host's address as Docker names it.
func (b binding) shownIP() netip.Addr {
	if b.HostIP.IsValid() {
		return b.HostIP
	}
	return netip.IPv4Unspecified()
}

// wish is one port that a container wants to have published, on a host port of first to last; 0 is any.
type wish struct {
	binding
	first, last uint16
}

// wishes reads what is to be published. Fixed ports come first, so that no dynamic one takes their place.
func wishes(ports network.PortMap) ([]wish, error) {
	var out []wish
	for port, bindings := range ports {
		proto := string(port.Proto())
		if proto != "tcp" && proto != "udp" {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid proto: %s: naru publishes tcp and udp ports", proto))
		}
		for _, b := range bindings {
			w := wish{binding: binding{Proto: proto, Port: port.Num(), HostIP: b.HostIP.Unmap()}}
			var err error
			if w.first, w.last, err = parseHostPort(b.HostPort); err != nil {
				return nil, err
			}
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b wish) int {
		return cmp.Or(cmp.Compare(b2i(a.first == 0), b2i(b.first == 0)), cmp.Compare(a.Port, b.Port),
			cmp.Compare(a.Proto, b.Proto), a.HostIP.Compare(b.HostIP), cmp.Compare(a.first, b.first))
	})
	return out, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// parseHostPort reads "", "0", "8080" or "8000-8010".
func parseHostPort(s string) (first, last uint16, err error) {
	if s == "" {
		return 0, 0, nil
	}
	lo, hi, isRange := strings.Cut(s, "-")
	if !isRange {
		hi = lo
	}
	a, err1 := strconv.ParseUint(lo, 10, 16)
	b, err2 := strconv.ParseUint(hi, 10, 16)
	if err1 != nil || err2 != nil || b < a || a == 0 && b != 0 {
		return 0, 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid port specification: %q", s))
	}
	return uint16(a), uint16(b), nil
}

// portTable knows which host ports are given away. On Linux it holds each by a bound socket, so that no other
// program takes it and one that has it is noticed. Safe for concurrent use.
type portTable struct {
	holdsNothing bool // machine mode: the ports are the other host's

	mu   sync.Mutex // guards all below
	held map[portKey][]heldPort
	next uint16 // where the search for a dynamic port goes on
}

type portKey struct {
	proto string
	port  uint16
}

type heldPort struct {
	ip   netip.Addr
	fd   int   // -1 for none
	door *door // nil where the kernel leads everything on
}

func (h heldPort) close() {
	if h.door != nil {
		h.door.close()
	}
	if h.fd >= 0 {
		_ = unix.Close(h.fd)
	}
}

func newPortTable() *portTable {
	return &portTable{held: map[portKey][]heldPort{}, next: firstDynamic}
}

// reserve takes a host port for w, whose container has the address addr. In machine mode a wish for any port stays
// at 0: the host finds one, and claim books it.
func (t *portTable) reserve(w wish, addr netip.Addr) (binding, error) {
	b := w.binding
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.first != 0 {
		var err error
		for p := int(w.first); p <= int(w.last); p++ {
			b.HostPort = uint16(p)
			if err = t.claimLocked(b, addr); err == nil {
				return b, nil
			}
		}
		return binding{}, err
	}
	if t.holdsNothing {
		return b, nil
	}
	for range lastDynamic - firstDynamic + 1 {
		b.HostPort = t.next
		if t.next++; t.next == 0 { // past 65535
			t.next = firstDynamic
		}
		err := t.claimLocked(b, addr)
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return binding{}, err
		}
	}
	return binding{}, errors.New("all ports are allocated")
}

// reserveBoth takes the same port on all IPv4 and all IPv6 addresses of the host, as far as they can lead to the container.
func (t *portTable) reserveBoth(w wish, v4, v6 netip.Addr) ([]binding, error) {
	six := w
	six.HostIP = netip.IPv6Unspecified()
	if !v6.IsValid() && w.Proto == "tcp" && hasIPv6() {
		v6 = v4 // by a door
	}
	if !v6.IsValid() || !v4.IsValid() {
		if !v4.IsValid() {
			w, v4 = six, v6
		}
		b, err := t.reserve(w, v4)
		if err != nil {
			return nil, err
		}
		return []binding{b}, nil
	}
	for tries := 0; ; tries++ {
		b, err := t.reserve(w, v4)
		if err != nil {
			return nil, err
		}
		six.binding.HostPort = b.HostPort
		if err = t.claim(six.binding, v6); err == nil {
			return []binding{b, six.binding}, nil
		}
		t.release(b)
		if w.first == w.last && w.first != 0 || tries == 1000 || !errors.Is(err, unix.EADDRINUSE) {
			return nil, err
		}
		if w.first != 0 { // go on in the range
			w.first = b.HostPort + 1
		}
		if w.first > w.last {
			return nil, err
		}
	}
}

// hasIPv6 tells whether this host's kernel has IPv6 switched on.
var hasIPv6 = sync.OnceValue(func() bool {
	fd, err := holdPort("tcp", netip.IPv6Loopback(), 0)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
})

// claim books exactly b.
func (t *portTable) claim(b binding, addr netip.Addr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.claimLocked(b, addr)
}

func (t *portTable) claimLocked(b binding, addr netip.Addr) error {
	key, ip := portKey{b.Proto, b.HostPort}, b.shownIP()
	for _, h := range t.held[key] {
		if h.ip.Is4() == ip.Is4() && (h.ip == ip || h.ip.IsUnspecified() || ip.IsUnspecified()) {
			return &bindError{cause: unix.EADDRINUSE, text: fmt.Sprintf("Bind for %s failed: port is already allocated", netip.AddrPortFrom(ip, b.HostPort))}
		}
	}
	held := heldPort{ip: ip, fd: -1}
	if !t.holdsNothing {
		var err error
		if held.fd, err = holdPort(b.Proto, ip, b.HostPort); err != nil {
			return newBindError(b, addr, err)
		}
		if needsDoor(b.Proto, ip, addr) {
			if held.door, err = openDoor(held.fd, netip.AddrPortFrom(addr, b.Port)); err != nil {
				held.close()
				return newBindError(b, addr, err)
			}
		}
	}
	t.held[key] = append(t.held[key], held)
	return nil
}

// release gives b back. Idempotent.
func (t *portTable) release(b binding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := portKey{b.Proto, b.HostPort}
	list := t.held[key]
	i := slices.IndexFunc(list, func(h heldPort) bool { return h.ip == b.shownIP() })
	if i < 0 {
		return
	}
	list[i].close()
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(t.held, key)
		return
	}
	t.held[key] = list
}

func (t *portTable) releaseAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, list := range t.held {
		for _, h := range list {
			h.close()
		}
		delete(t.held, key)
	}
}

// bindError says that a host port could not be had, in Docker's words; it wraps the cause. Who holds the port is found out only when
// somebody reads it: a search for a free port meets many that are taken.
type bindError struct {
	cause  error
	text   string
	holder func() string // nil where nobody else does
}

func (e *bindError) Error() string {
	if e.holder != nil {
		if who := e.holder(); who != "" {
			return e.text + " by " + who
		}
	}
	return e.text
}
func (e *bindError) Unwrap() error { return e.cause }

func newBindError(b binding, addr netip.Addr, cause error) error {
	text := fmt.Sprintf("failed to bind host port for %s:%s/%s: %s",
		netip.AddrPortFrom(b.shownIP(), b.HostPort), netip.AddrPortFrom(addr, b.Port), b.Proto, cause)
	if !errors.Is(cause, unix.EADDRINUSE) {
		return &bindError{cause: cause, text: text}
	}
	return &bindError{cause, text, sync.OnceValue(func() string { return holderOf(b.Proto, b.shownIP(), b.HostPort) })}
}

// dropAll is a socket filter that lets nothing in.
var dropAll = [1]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}

// holdPort binds a socket to the port and returns its descriptor. A TCP socket listens, because only a listening
// socket keeps others with SO_REUSEADDR away, and itself has SO_REUSEADDR, because connections of an earlier owner in
// TIME_WAIT would be in the way. Its filter drops the connections that come before the DNAT rule is there: the
// client tries again and reaches the container, instead of an accept queue that nobody serves.
func holdPort(proto string, ip netip.Addr, port uint16) (fd int, err error) {
	kind := unix.SOCK_STREAM
	if proto == "udp" {
		kind = unix.SOCK_DGRAM
	}
	family := unix.AF_INET
	var at unix.Sockaddr
	if ip.Is6() {
		family, at = unix.AF_INET6, &unix.SockaddrInet6{Port: int(port), Addr: ip.As16()}
	} else {
		at = &unix.SockaddrInet4{Port: int(port), Addr: ip.As4()}
	}
	if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if ip.Is6() {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return -1, err
		}
	}
	if proto == "tcp" {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return -1, err
		}
	}
	filter := &unix.SockFprog{Len: uint16(len(dropAll)), Filter: &dropAll[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, filter); err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, at); err != nil {
		return -1, err
	}
	if proto == "tcp" {
		if err := unix.Listen(fd, 1); err != nil {
			return -1, err
		}
	}
	return fd, nil
}
