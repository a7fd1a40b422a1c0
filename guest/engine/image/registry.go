package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
)

// userAgent names us to registries.
const userAgent = "naru"

// newResolver talks to the registry of one pull or push, until close is called. Credentials go to that registry and to the
// token server it names, to nobody else.
func (s *Store) newResolver(registryHost string, auth registry.AuthConfig) (_ remotes.Resolver, closeIdle func()) {
	transport := s.transport()
	h := registryAt(registryHost, transport)
	if auth.RegistryToken != "" {
		h.Header = http.Header{"Authorization": {"Bearer " + auth.RegistryToken}}
	} else {
		h.Authorizer = docker.NewDockerAuthorizer(docker.WithAuthClient(h.Client),
			docker.WithAuthCreds(func(asked string) (string, string, error) {
				switch {
				case asked != h.Host:
					return "", "", nil
				case auth.IdentityToken != "":
					return "", auth.IdentityToken, nil
				}
				return auth.Username, auth.Password, nil
			}))
	}
	return docker.NewResolver(docker.ResolverOptions{
		Headers: http.Header{"User-Agent": {userAgent}},
		Hosts:   func(string) ([]docker.RegistryHost, error) { return []docker.RegistryHost{h}, nil },
	}), transport.CloseIdleConnections
}

// registryAt is how a registry is reached.
func registryAt(name string, transport *http.Transport) docker.RegistryHost {
	h := docker.RegistryHost{
		Client:       &http.Client{Transport: transport},
		Host:         name,
		Scheme:       "https",
		Path:         "/v2",
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityPush,
	}
	if name == "docker.io" {
		h.Host = hubHost
	}
	if isLoopback(name) {
		h.Scheme = "http"
	}
	return h
}

// transport is containerd's, but for loopback addresses where the user's loopback is not this machine's.
func (s *Store) transport() *http.Transport {
	t := docker.DefaultHTTPTransport(nil)
	if s.o.DialLoopback == nil {
		return t
	}
	direct := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if isLoopback(addr) {
			return s.o.DialLoopback(ctx, addr)
		}
		return direct(ctx, network, addr)
	}
	return t
}

// isLoopback tells whether a registry's host[:port] is this machine, by name or address alone: only then is plain
// HTTP spoken. "localhost.example.com" or a name that resolves to 127.0.0.1 is not.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() && ip.Zone() == ""
}

// registryError gives an error of a pull or push (action says which) Docker's words and the class for its HTTP status.
func registryError(ctx context.Context, action string, named reference.Named, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	name := reference.FamiliarName(named)
	var status remoteerrors.ErrUnexpectedStatus
	var dial *url.Error
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return denied(action, name)
	case errors.As(err, &status):
		switch status.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return denied(action, name)
		case http.StatusTooManyRequests:
			return errdefs.ErrResourceExhausted.WithMessage("toomanyrequests: the registry limits how often " + name + " may be asked for")
		}
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("registry answered %s to %s %s",
			status.Status, status.RequestMethod, redacted(status.RequestURL)))
	case errors.As(err, &dial):
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("%s %q: %s", dial.Op, redacted(dial.URL), dial.Err))
	}
	return storeError(err)
}

// unknownManifest is the registry's answer that it has no such name, as Docker tells it. Other errors stay.
func unknownManifest(named reference.Named, err error) error {
	if !errdefs.IsNotFound(err) {
		return err
	}
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf(
		"manifest for %s not found: manifest unknown: manifest unknown", reference.FamiliarString(named)))
}

func denied(action, name string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("%s access denied for %s, repository does not exist or may "+
		"require 'docker login': denied: requested access to the resource is denied", action, name))
}

// redacted is an address without its query, which may carry a signature.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.RawQuery = ""
	return u.Redacted()
}

// storeError shortens what containerd says about a full disk. The class is Docker's: a 429 would make clients try again.
func storeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return errdefs.ErrInternal.WithMessage("write image: no space left on device")
	case errors.Is(err, syscall.EDQUOT):
		return errdefs.ErrInternal.WithMessage("write image: disk quota exceeded")
	}
	return err
}
