package server

import (
	"fmt"
	"net/http"

	"github.com/containerd/errdefs"
)

// unservedRoutes are the endpoints of Docker's API that naru does not serve. Checkpoints answer as those of a dockerd without experiments,
// cluster volumes as those of one outside a swarm.
func unservedRoutes() []route {
	refuse := func(err error) handlerFunc {
		return func(http.ResponseWriter, *http.Request, map[string]string) error { return err }
	}
	noExperiments := errdefs.ErrNotImplemented.WithMessage(
		"This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.")
	noCluster := errdefs.ErrUnavailable.WithMessage("volume update only valid for cluster volumes, but swarm is unavailable")
	return []route{
		{"GET", "/containers/{id:*}/checkpoints", refuse(noExperiments)},
		{"POST", "/containers/{id:*}/checkpoints", refuse(noExperiments)},
		{"DELETE", "/containers/{id}/checkpoints/{checkpoint}", refuse(noExperiments)},
		{"PUT", "/volumes/{name:*}", refuse(noCluster)},
		{"GET", "/images/{name:*}/attestations", func(_ http.ResponseWriter, r *http.Request, _ map[string]string) error {
			_, path := splitVersion(r.URL.Path)
			return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("naru does not serve %s %s yet", r.Method, path))
		}},
	}
}
