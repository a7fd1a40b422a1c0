package build

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/containerd/containerd/v2/defaults"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Sessions are the clients that give builds their files, secrets and credentials: POST /session.
func (b *Builder) Sessions() *session.Manager { return b.sessions }

// used tells whether there is, or ever was, a build.
func (b *Builder) used() bool {
	b.mu.Lock()
	open := b.parts != nil
	b.mu.Unlock()
	if open {
		return true
	}
	_, err := os.Stat(filepath.Join(b.root(), "cache.db"))
	return err == nil
}

// GRPC returns BuildKit's own API, for buildx: POST /grpc and gRPC on the engine's socket. The first call opens the
// builder.
func (b *Builder) GRPC(ctx context.Context) (*grpc.Server, error) {
	p, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	return p.grpc(), nil
}

// server makes the gRPC server once.
type server struct {
	once sync.Once
	s    *grpc.Server
}

func (p *parts) grpc() *grpc.Server {
	p.server.once.Do(func() {
		p.server.s = grpc.NewServer(
			grpc.ChainUnaryInterceptor(asText, asDocker, grpcerrors.UnaryServerInterceptor),
			grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
			grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize), grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize))
		p.control.Register(p.server.s)
	})
	return p.server.s
}

// asDocker changes what a build by BuildKit's own API says only because nothing was said: base images are looked for here
// first (see resolveMode), and an image that goes to the image store alone has no provenance unless the user wants it.
func asDocker(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if solve, ok := req.(*controlapi.SolveRequest); ok {
		if mode := solve.FrontendAttrs[resolveMode]; mode == "" || mode == "default" {
			if solve.FrontendAttrs == nil {
				solve.FrontendAttrs = map[string]string{}
			}
			solve.FrontendAttrs[resolveMode] = preferLocal
		}
		const provenance = "attest:provenance"
		if strings.Contains(solve.FrontendAttrs[provenance], "inline-only=true") { // buildx's own default says so
			delete(solve.FrontendAttrs, provenance)
		}
	}
	return next(ctx, req)
}

// asText lets an error reach its client that quotes what is no UTF-8, of a file that is no Dockerfile: gRPC would break the
// connection off.
func asText(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	resp, err := next(ctx, req)
	if err == nil || utf8.ValidString(err.Error()) {
		return resp, err
	}
	text := status.Convert(err).Proto()
	text.Message = strings.ToValidUTF8(text.Message, "\uFFFD")
	return resp, status.FromProto(text).Err()
}
