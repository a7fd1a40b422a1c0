package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
)

// Registries are the user's settings for registries.
type Registries struct {
	Mirrors  []string // of Docker Hub: "https://mirror.example.com", asked in this order before the Hub and without credentials
	Insecure []string // "host[:port]" or address ranges ("10.0.0.0/8"): certificates are not checked, plain HTTP will do
	// CertsDir has a folder per "host[:port]", as Docker's /etc/docker/certs.d: *.crt are authorities, x.cert with x.key
	// our own certificate. "" for none.
	CertsDir string
}

// Check refuses what cannot be used, in Docker's words.
func (r Registries) Check() error {
	for _, m := range r.Mirrors {
		u, err := url.Parse(m)
		switch {
		case err != nil || u.Host == "":
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid mirror: %q is not a valid URI", m))
		case u.Scheme != "http" && u.Scheme != "https":
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid mirror: unsupported scheme %q in %q", u.Scheme, m))
		case u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.Trim(u.Path, "/") != "":
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid mirror: path, query, fragment or user in %q", m))
		}
	}
	for _, i := range r.Insecure {
		if _, err := netip.ParsePrefix(i); err == nil {
			continue
		}
		if i == "" || strings.Contains(i, "/") {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("insecure registry %q: expected host[:port] or an address range", i))
		}
	}
	return nil
}

// insecure tells whether TLS may be done without for a registry: this machine's, and those that the user has named. A range
// holds for the addresses that a name has, as in Docker.
func (r Registries) insecure(ctx context.Context, host string) bool {
	if isLoopback(host) {
		return true
	}
	name := hostname(host)
	var ranges []netip.Prefix
	for _, i := range r.Insecure {
		if p, err := netip.ParsePrefix(i); err == nil {
			ranges = append(ranges, p)
		} else if strings.EqualFold(i, host) || strings.EqualFold(i, name) {
			return true
		}
	}
	if len(ranges) == 0 {
		return false
	}
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	for _, a := range addrs {
		for _, p := range ranges {
			if p.Contains(a.Unmap()) {
				return true
			}
		}
	}
	return false
}

// hostname is a host[:port] without the port and brackets.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// tlsConfig has the authorities and certificates that the user has put into the registry's folder.
func (r Registries) tlsConfig(host string, insecure bool) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
	if r.CertsDir == "" || host != filepath.Base(host) {
		return c, nil
	}
	dir := filepath.Join(r.CertsDir, host)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read certificates of %s: %w", host, err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch filepath.Ext(path) {
		case ".crt":
			err = addAuthority(c, path)
		case ".cert":
			err = addCertificate(c, path)
		case ".key":
			if _, statErr := os.Stat(strings.TrimSuffix(path, ".key") + ".cert"); statErr != nil {
				err = fmt.Errorf("missing client certificate %s.cert for key %s", strings.TrimSuffix(e.Name(), ".key"), e.Name())
			}
		}
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
	}
	return c, nil
}

// addAuthority makes a server prove itself even when it may be insecure: the user has said by whom.
func addAuthority(c *tls.Config, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read certificate authority: %w", err)
	}
	if c.RootCAs == nil {
		if c.RootCAs, err = x509.SystemCertPool(); err != nil {
			c.RootCAs = x509.NewCertPool()
		}
	}
	if !c.RootCAs.AppendCertsFromPEM(data) {
		return fmt.Errorf("no certificate in %s", path)
	}
	c.InsecureSkipVerify = false
	return nil
}

func addCertificate(c *tls.Config, path string) error {
	key := strings.TrimSuffix(path, ".cert") + ".key"
	if _, err := os.Stat(key); err != nil {
		return fmt.Errorf("missing key %s for client certificate %s. CA certificates must use the extension .crt",
			filepath.Base(key), filepath.Base(path))
	}
	pair, err := tls.LoadX509KeyPair(path, key)
	if err != nil {
		return fmt.Errorf("client certificate %s: %w", path, err)
	}
	c.Certificates = append(c.Certificates, pair)
	return nil
}

// endpoint is how one registry, or a mirror, is reached until close.
type endpoint struct {
	host   docker.RegistryHost // without credentials
	tokens *http.Client        // for the token server that the registry names
	close  func()
}

// endpoint prepares to reach a registry by the name that images have it by. Errors of the user's certificates come at once.
func (s *Store) endpoint(ctx context.Context, name string) (endpoint, error) {
	host := name
	if name == "docker.io" {
		host = hubHost
	}
	return s.endpointAt(ctx, "https", host, s.patience)
}

func (s *Store) endpointAt(ctx context.Context, scheme, host string, p patience) (endpoint, error) {
	insecure := s.o.Registries.insecure(ctx, host)
	t := docker.DefaultHTTPTransport(nil)
	t.ResponseHeaderTimeout = 0 // the retrier's patience covers it
	foreign := &foreignHosts{all: map[string]bool{}}
	direct := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		switch {
		case s.o.DialLoopback != nil && isLoopback(addr):
			return s.o.DialLoopback(ctx, addr)
		case foreign.has(addr):
			return dialForeign(ctx, network, addr)
		}
		return direct(ctx, network, addr)
	}
	var err error
	if t.TLSClientConfig, err = s.o.Registries.tlsConfig(host, insecure); err != nil {
		return endpoint{}, err
	}
	if insecure && scheme == "https" {
		scheme = s.schemeOf(ctx, t, host)
	}
	g := guard{next: &retrier{next: t, patience: p}, registry: host, secure: scheme == "https", local: insecure,
		foreign: foreign, schemes: &s.schemes}
	tokens := g
	tokens.tokens = true
	return endpoint{
		host: docker.RegistryHost{
			Client: &http.Client{Transport: &g}, Host: host, Scheme: scheme, Path: "/v2",
			Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityPush,
		},
		tokens: &http.Client{Transport: &tokens},
		close:  t.CloseIdleConnections,
	}, nil
}

// schemeOf finds out what a registry that may be insecure speaks: TLS, or plain HTTP when it answers TLS with that. It must be
// known beforehand: a change of the scheme on the way would cost the credentials.
func (s *Store) schemeOf(ctx context.Context, t http.RoundTripper, host string) string {
	if known, ok := s.schemes.Load(host); ok {
		return known.(string)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/v2/", nil)
	if err != nil {
		return "https"
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := (&retrier{next: t, patience: patience{tries: 1, first: 1, stall: s.patience.stall}}).RoundTrip(req)
	scheme := "https"
	var status *statusError
	var record tls.RecordHeaderError
	switch {
	case err == nil:
		drain(resp)
	case errors.As(err, &status):
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		scheme = "http"
	default:
		return "https" // nobody there, or a certificate that is not trusted: the request itself will tell
	}
	s.schemes.Store(host, scheme)
	return scheme
}
