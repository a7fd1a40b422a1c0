package build

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/worker"
)

// frontends are what turns a Dockerfile into steps: only the one that is compiled in.
func frontends(workers worker.Infos) map[string]frontend.Frontend {
	builtin := forwarder.NewGatewayForwarder(workers, dockerfile.Build)
	return map[string]frontend.Frontend{"dockerfile.v0": builtin, "gateway.v0": syntax{builtin}}
}

// syntax is asked for by a Dockerfile whose first line is "# syntax=IMAGE". BuildKit would pull that image and run it with
// the builder's rights. The Dockerfile frontend of whatever release is the one that is here anyhow; others are refused.
type syntax struct{ builtin frontend.Frontend }

func (s syntax) Solve(ctx context.Context, bridge frontend.FrontendLLBBridge, exec executor.Executor, opts map[string]string,
	inputs map[string]*pb.Definition, sid string, sm *session.Manager) (*frontend.Result, error) {
	if source := opts["source"]; !isDockerfile(source) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"naru does not run the frontend %q: only docker/dockerfile, which is built in", source))
	}
	return s.builtin.Solve(ctx, bridge, exec, opts, inputs, sid, sm)
}

// isDockerfile tells whether an image is a release of the Dockerfile frontend.
func isDockerfile(image string) bool {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil || reference.Domain(named) != "docker.io" {
		return false
	}
	path := reference.Path(named)
	return path == "docker/dockerfile" || strings.HasPrefix(path, "docker/dockerfile-upstream")
}
