package build

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/source"
	gitsource "github.com/moby/buildkit/source/git"
	srctypes "github.com/moby/buildkit/source/types"
)

// withoutGit answers for repositories where BuildKit has no program to fetch them with: it would only say that it does not know
// the scheme.
type withoutGit struct{}

// registerGit sees to it that a build that needs git hears that it is missing.
func registerGit(sources *source.Manager) {
	if gitsource.Supported() != nil {
		sources.Register(withoutGit{})
	}
}

func (withoutGit) Schemes() []string { return []string{srctypes.GitScheme} }

func (withoutGit) Identifier(_, ref string, _ map[string]string, _ *pb.Platform) (source.Identifier, error) {
	return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("cannot fetch %s: git is not installed where the engine runs; clone it, and build from the folder", ref))
}

func (withoutGit) Resolve(context.Context, source.Identifier, *session.Manager, solver.Vertex) (source.SourceInstance, error) {
	return nil, errdefs.ErrFailedPrecondition.WithMessage("git is not installed where the engine runs")
}
