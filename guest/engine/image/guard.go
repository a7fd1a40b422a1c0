package image

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
)

// guard lets requests through to one registry, and to the servers that this registry sends us to (token servers, storage
// behind a redirect, places to upload to) only so far as a registry may be trusted: no plain HTTP where it is spoken to
// with TLS, no address of this machine or of its link, and no credentials but a token server's own.
type guard struct {
	next     http.RoundTripper
	registry string // host[:port] as in its URLs
	secure   bool   // the registry is spoken to with TLS
	local    bool   // the registry itself is on this machine, or the user has named it insecure
	tokens   bool   // requests are those of an authorizer, to the token server of the registry's choice
	foreign  *foreignHosts
	schemes  *sync.Map // Store.schemes
}

// foreignHosts are the host:port that a registry has named, which must not turn out to be this machine when dialled.
type foreignHosts struct {
	mu  sync.Mutex // guards all
	all map[string]bool
}

func (f *foreignHosts) add(u *url.URL) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	f.mu.Lock()
	f.all[net.JoinHostPort(u.Hostname(), port)] = true
	f.mu.Unlock()
}

func (f *foreignHosts) has(addr string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[addr]
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	var wanted *part
	if !g.tokens {
		req, wanted = partOf(req)
	}
	resp, err := g.roundTrip(req)
	if err != nil || wanted == nil {
		return resp, err
	}
	if err := wanted.check(resp); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

func (g *guard) roundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == g.registry && (req.URL.Scheme == "https" || !g.secure) {
		resp, err := g.next.RoundTrip(req)
		if err != nil || resp.StatusCode == http.StatusBadRequest {
			g.schemes.Delete(g.registry) // another server may be there now
		}
		return resp, err
	}
	if err := g.allowed(req.URL); err != nil {
		return nil, err
	}
	if !g.local {
		g.foreign.add(req.URL)
	}
	redirected := req.Response != nil
	if redirected && req.Header.Get("Content-Type") == "application/x-www-form-urlencoded" &&
		req.URL.Host != req.Response.Request.URL.Host {
		return nil, refusedURL(req.URL, "credentials are not sent on to another server")
	}
	if req.Header.Get("Authorization") != "" && (redirected || !g.tokens) {
		req = req.Clone(req.Context())
		req.Header.Del("Authorization")
	}
	return g.next.RoundTrip(req)
}

func (g *guard) allowed(u *url.URL) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return refusedURL(u, "unknown scheme")
	case g.secure && u.Scheme != "https":
		return refusedURL(u, "plain HTTP, but the registry is spoken to with TLS")
	case !g.local && isLoopback(u.Host):
		return refusedURL(u, "an address of this machine")
	}
	if ip, err := netip.ParseAddr(strings.Trim(u.Hostname(), "[]")); err == nil && !g.local {
		return checkForeign(ip)
	}
	return nil
}

func refusedURL(u *url.URL, why string) error {
	return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("the registry's redirect to %s is refused: %s", redacted(u.String()), why))
}

// checkForeign refuses addresses that only mean something on this machine or its link, such as a cloud's metadata service.
func checkForeign(ip netip.Addr) error {
	ip = ip.Unmap()
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsUnspecified() {
		return errdefs.ErrPermissionDenied.WithMessage("the registry's redirect to " + ip.String() +
			" is refused: a loopback or link-local address")
	}
	return nil
}

// dialForeign connects to a server of the registry's choice: looked at is the address that its name stands for in the end.
func dialForeign(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTime, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return checkForeign(to.Addr())
	}}
	return d.DialContext(ctx, network, addr)
}
