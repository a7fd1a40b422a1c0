package build

import (
	"context"
	"fmt"
	"net"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/moby/api/types/registry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ownSession is for a client that has none: it gives BuildKit the credentials that came with the request.
func (b *Builder) ownSession(ctx context.Context, creds map[string]registry.AuthConfig) (id string, end func(), err error) {
	s, err := session.NewSession(ctx, "")
	if err != nil {
		return "", nil, fmt.Errorf("make session: %w", err)
	}
	s.Allow(credentials{all: creds})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx, func(ctx context.Context, _ string, meta map[string][]string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _ = b.sessions.HandleConn(ctx, theirs, meta) }() // ends with the session
			return ours, nil
		})
	}()
	return s.ID(), func() {
		cancel()
		_ = s.Close()
		<-done
	}, nil
}

// credentials answers for registries by the addresses that docker's clients use as keys.
type credentials struct {
	auth.UnimplementedAuthServer
	all map[string]registry.AuthConfig
}

func (c credentials) Register(server *grpc.Server) { auth.RegisterAuthServer(server, c) }

func (c credentials) Credentials(_ context.Context, req *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	keys := []string{req.Host, "https://" + req.Host, "http://" + req.Host}
	if req.Host == "registry-1.docker.io" {
		keys = append(keys, "https://index.docker.io/v1/", "docker.io", "index.docker.io")
	}
	for _, key := range keys {
		if a, ok := c.all[key]; ok {
			if a.IdentityToken != "" {
				return &auth.CredentialsResponse{Secret: a.IdentityToken}, nil
			}
			return &auth.CredentialsResponse{Username: a.Username, Secret: a.Password}, nil
		}
	}
	return &auth.CredentialsResponse{}, nil
}

// FetchToken leaves the talk with the token server to BuildKit.
func (credentials) FetchToken(context.Context, *auth.FetchTokenRequest) (*auth.FetchTokenResponse, error) {
	return nil, status.Error(codes.Unavailable, "client side tokens not supported")
}

func (credentials) GetTokenAuthority(context.Context, *auth.GetTokenAuthorityRequest) (*auth.GetTokenAuthorityResponse, error) {
	return nil, status.Error(codes.Unavailable, "client side tokens not supported")
}

func (credentials) VerifyTokenAuthority(context.Context, *auth.VerifyTokenAuthorityRequest) (*auth.VerifyTokenAuthorityResponse, error) {
	return nil, status.Error(codes.Unavailable, "client side tokens not supported")
}
