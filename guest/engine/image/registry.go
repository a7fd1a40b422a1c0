package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
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
// token server it names, to nobody else. Docker Hub's mirrors are asked before it, but nothing is pushed to them.
func (s *Store) newResolver(ctx context.Context, registryHost string, auth registry.AuthConfig) (_ remotes.Resolver, closeIdle func(), _ error) {
	return s.trackedResolver(ctx, registryHost, auth, nil)
}

// trackedResolver is newResolver with a tracker that learns how blobs got to the registry; nil for none.
func (s *Store) trackedResolver(ctx context.Context, registryHost string, auth registry.AuthConfig, tracker docker.StatusTracker) (_ remotes.Resolver, closeIdle func(), _ error) {
	e, err := s.endpoint(ctx, registryHost)
	if err != nil {
		return nil, nil, err
	}
	authorize(&e, auth)
	h := e.host
	hosts, closes := []docker.RegistryHost{}, []func(){e.close}
	if registryHost == "docker.io" {
		for _, m := range s.o.Registries.Mirrors {
			mirror, err := s.mirror(ctx, m)
			if err != nil {
				return nil, nil, err
			}
			hosts, closes = append(hosts, mirror.host), append(closes, mirror.close)
		}
	}
	hosts = append(hosts, h)
	return docker.NewResolver(docker.ResolverOptions{
			Headers: http.Header{"User-Agent": {userAgent}}, Tracker: tracker,
			Hosts: func(string) ([]docker.RegistryHost, error) { return hosts, nil },
		}), func() {
			for _, c := range closes {
				c()
			}
		}, nil
}

// authorize makes requests to the endpoint carry the credentials.
func authorize(e *endpoint, auth registry.AuthConfig) {
	if auth.RegistryToken != "" {
		e.host.Header = http.Header{"Authorization": {"Bearer " + auth.RegistryToken}}
		return
	}
	e.host.Authorizer = authorizer(*e, func() (string, string) {
		if auth.IdentityToken != "" {
			return "", auth.IdentityToken
		}
		return auth.Username, auth.Password
	})
}

func authorizer(e endpoint, credentials func() (name, secret string)) docker.Authorizer {
	return docker.NewDockerAuthorizer(docker.WithAuthClient(e.tokens),
		docker.WithAuthCreds(func(asked string) (string, string, error) {
			if asked != e.host.Host {
				return "", "", nil
			}
			name, secret := credentials()
			return name, secret, nil
		}))
}

// mirror is asked without credentials, and not for long: the registry itself is there too.
func (s *Store) mirror(ctx context.Context, address string) (endpoint, error) {
	u, err := url.Parse(address)
	if err != nil {
		return endpoint{}, err
	}
	p := s.patience
	p.tries = min(2, p.tries)
	e, err := s.endpointAt(ctx, u.Scheme, u.Host, p)
	e.host.Capabilities = docker.HostCapabilityPull | docker.HostCapabilityResolve
	e.host.Authorizer = authorizer(e, func() (string, string) { return "", "" })
	return e, err
}

// isLoopback tells whether a registry's host[:port] is this machine, by name or address alone: only then is plain
// HTTP spoken. "localhost.example.com" or a name that resolves to 127.0.0.1 is not.
func isLoopback(host string) bool {
	host = hostname(host)
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
	var answer *statusError
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
	case errors.As(err, &answer):
		if answer.status == http.StatusTooManyRequests {
			return errdefs.ErrResourceExhausted.WithMessage("toomanyrequests: " + answer.Error())
		}
		return errdefs.ErrUnavailable.WithMessage(answer.Error())
	case errdefs.IsPermissionDenied(err):
		return errdefs.ErrPermissionDenied.WithMessage(innermost(err))
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
