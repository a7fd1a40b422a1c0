package image

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

const (
	loginTime   = 15 * time.Second // for each request to the registry, as in Docker
	loginClient = "docker"         // the name that token servers know such clients by
	hubHost     = "registry-1.docker.io"
)

// hubNames are what Docker Hub is called by.
var hubNames = []string{"", "docker.io", "index.docker.io", hubHost}

// Login checks credentials against the registry they are for. The result is an identity token that can be used in place
// of the password, "" where the registry gives none. Wrong credentials are errdefs.ErrUnauthenticated when a token server
// refuses them; a registry that checks a password itself is answered as Docker does, which gives no class to that.
func (s *Store) Login(ctx context.Context, c registry.AuthConfig) (identityToken string, err error) {
	host, err := loginHost(c.ServerAddress)
	if err != nil {
		return "", err
	}
	e, err := s.endpointAt(ctx, "https", host, s.patience)
	if err != nil {
		return "", err
	}
	defer e.close()
	e.host.Client.Timeout, e.tokens.Timeout = loginTime, loginTime
	l := login{base: e.host.Scheme + "://" + host + "/v2/", client: e.host.Client, tokens: e.tokens, credentials: c}
	challenges, err := l.challenges(ctx)
	if err != nil {
		return "", err
	}
	authorization, identityToken, err := l.authorize(ctx, challenges)
	if err != nil {
		return "", err
	}
	return identityToken, l.check(ctx, authorization)
}

// loginHost is the registry's host[:port] in what the user or his configuration calls it.
func loginHost(server string) (string, error) {
	if server != "" && !strings.HasPrefix(server, "http://") && !strings.HasPrefix(server, "https://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", errdefs.ErrInvalidArgument.WithMessage("unable to parse server address: " + err.Error())
	}
	if slices.Contains(hubNames, u.Host) {
		return hubHost, nil
	}
	return u.Host, nil
}

// login is one check.
type login struct {
	base        string
	client      *http.Client
	tokens      *http.Client // for the token server
	credentials registry.AuthConfig
}

// challenges asks the registry how it wants to be convinced. None means that it is open to all.
func (l login) challenges(ctx context.Context) ([]auth.Challenge, error) {
	resp, err := l.get(ctx, "")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		return nil, nil
	}
	return auth.ParseAuthHeader(resp.Header), nil
}

func (l login) get(ctx context.Context, authorization string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base, nil)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("unable to parse server address: " + err.Error())
	}
	req.Header.Set("User-Agent", userAgent)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return l.client.Do(req)
}

// authorize makes the Authorization header that a challenge asks for, a token before a password.
func (l login) authorize(ctx context.Context, challenges []auth.Challenge) (header, identityToken string, err error) {
	for _, c := range challenges {
		if c.Scheme == auth.BearerAuth {
			token, identityToken, err := l.token(ctx, c)
			return "Bearer " + token, identityToken, err
		}
	}
	for _, c := range challenges {
		if c.Scheme == auth.BasicAuth {
			req := http.Request{Header: http.Header{}}
			req.SetBasicAuth(l.credentials.Username, l.credentials.Password)
			return req.Header.Get("Authorization"), "", nil
		}
	}
	return "", "", nil
}

// token asks the token server that a challenge names.
// https://distribution.github.io/distribution/spec/auth/token/
func (l login) token(ctx context.Context, c auth.Challenge) (token, identityToken string, err error) {
	user := l.credentials.Username
	o, err := auth.GenerateTokenOptions(ctx, l.base, user, cmp.Or(l.credentials.IdentityToken, l.credentials.Password), c)
	if err != nil {
		return "", "", err
	}
	o.FetchRefreshToken = true
	headers := http.Header{"User-Agent": {userAgent}}
	if l.credentials.IdentityToken != "" {
		o.Username = "" // an identity token stands for itself
		got, err := auth.FetchTokenWithOAuth(ctx, l.tokens, headers, loginClient, o)
		if err != nil {
			return "", "", l.refused(err)
		}
		return got.AccessToken, cmp.Or(got.RefreshToken, l.credentials.IdentityToken), nil
	}
	if o.Realm, err = withParameters(o.Realm, url.Values{"client_id": {loginClient}, "account": {user}}); err != nil {
		return "", "", err
	}
	got, err := auth.FetchToken(ctx, l.tokens, headers, o)
	if err != nil {
		return "", "", l.refused(err)
	}
	return got.Token, got.RefreshToken, nil
}

func withParameters(address string, more url.Values) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	q := u.Query()
	for name, values := range more {
		if values[0] != "" {
			q[name] = values
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// refused gives a token server's answer Docker's words.
func (l login) refused(err error) error {
	var status remoteerrors.ErrUnexpectedStatus
	if !errors.As(err, &status) {
		return err
	}
	text := fmt.Sprintf("Get %q: ", l.base)
	why := refusal(status.Body)
	switch status.StatusCode {
	case http.StatusUnauthorized:
		return errdefs.ErrUnauthenticated.WithMessage(text + "unauthorized: " + cmp.Or(why, "authentication required"))
	case http.StatusForbidden:
		return errdefs.ErrPermissionDenied.WithMessage(text + "denied: " + cmp.Or(why, "requested access to the resource is denied"))
	case http.StatusTooManyRequests:
		why = cmp.Or(why, "too many requests")
	}
	return errors.New(text + cmp.Or(why, "token server answered "+status.Status))
}

// refusal finds the reason in a body: Docker Hub has `details`, others the specification's list of errors.
func refusal(body []byte) string {
	var told struct {
		Details string `json:"details"`
		Errors  []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &told) != nil {
		return ""
	}
	if told.Details == "" && len(told.Errors) > 0 {
		return told.Errors[0].Message
	}
	return told.Details
}

func (l login) check(ctx context.Context, authorization string) error {
	resp, err := l.get(ctx, authorization)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("login attempt to %s failed with status: %d %s", l.base, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return nil
}
